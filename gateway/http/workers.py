"""Several processes that serve one port, and the one that started them, which serves nothing.

Each worker has a socket of its own on the port (SO_REUSEPORT), among which the kernel spreads connections. The parent keeps all of them
open: what a worker that dies had not taken yet waits for the next one in its place, and is not reset.

    SIGTERM, SIGINT    goes to all workers, which drain each as one alone does; a second one hurries them
    SIGHUP             the parent reads the settings for workers to come, then all workers do
    a worker ends      another one takes its place: at once, and later each time where it ends again and again
    the parent ends    its workers see it, and drain
    a port handed over the parent gives the sockets of all, and has all workers leave them (``handover.py``)

Everything here is done by one thread, so that a fork takes nothing along that somebody else holds.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

from gateway.config import Settings
from gateway.errors import ConfigError
from gateway.http.draining import ENDING_S
from gateway.http.handover import HANDED_OVER, Handover, kept_s
from gateway.http.reloading import reload
from gateway.stores.kinds import kinds_of

FAILED = 1
LIVED_S = 30.0  # a worker that ends after so long has had a good start
PAUSE_S, PAUSE_MAX_S = 0.25, 10.0  # before the second, third, … worker that takes the place of one that had none
LATE_S = 5.0  # how much later than it should a worker is killed

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGCHLD") if hasattr(signal, name))

_log = logging.getLogger("gateway.workers")


@dataclass(frozen=True, slots=True)
class Post:
    """What a worker is started with. ``lifeline`` says ``r`` to the parent once it takes connections, and ends with the parent.

    The parent says ``HANDED_OVER`` when the next process serves the port.
    """

    number: int  # from 0 on
    count: int
    restarts: int  # how many were in this place before
    settings: Settings
    listeners: Sequence[socket.socket]
    lifeline: socket.socket

    def say_ready(self) -> None:
        with suppress(OSError):  # it has ended
            self.lifeline.send(b"r")


Work = Callable[[Post], None]


@dataclass(slots=True)
class _Place:
    """Where one worker is, or is to be."""

    number: int
    listeners: Sequence[socket.socket]
    pid: int = 0  # 0: none
    line: socket.socket | None = None
    started_at: float = 0.0
    begun: int = 0  # workers so far
    quick_ends: int = 0  # in a row
    due_at: float = 0.0  # when the next one is started
    is_ready: bool = False


def refuse_workers(settings: Settings) -> None:
    """ConfigError where several workers are wanted that cannot be: by the system, or by a store that is in the memory of each."""
    if settings.workers == 1:
        return
    for name, kind in kinds_of(settings.urls).items():
        if not kind.shares_pools:
            raise ConfigError(f"stores.{name}.url: expected rows that all {settings.workers} workers see, got a store of kind {kind.name}")
    if not (hasattr(os, "fork") and hasattr(socket, "SO_REUSEPORT")):
        raise ConfigError(f"workers = {settings.workers}: expected 1 on this system, which has no fork or no SO_REUSEPORT")


def shared(listener: socket.socket, count: int) -> list[socket.socket]:
    """Return so many sockets on the address of ``listener``, which is closed: nobody else had it."""
    family, place = listener.family, listener.getsockname()
    listener.close()
    made: list[socket.socket] = []
    try:
        for _ in range(count):
            each = socket.socket(family, socket.SOCK_STREAM)
            made.append(each)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            each.bind(place)
    except OSError as exc:
        for each in made:
            each.close()
        raise ConfigError(f"host = '{place[0]}', port = {place[1]}: expected an address to listen on: {exc.strerror}") from None
    return made


def spread(listeners: Sequence[socket.socket], number: int, count: int) -> Sequence[socket.socket]:
    """Return those of worker ``number`` of ``count``. All are somebody's, and where there are fewer than workers, some are of several."""
    return listeners[number::count] or [listeners[number % len(listeners)]]


class Workers:
    """The parent's. ``work`` is what each worker does with its post, in a process of its own; it returns or raises SystemExit."""

    def __init__(
        self,
        settings: Settings,
        listeners: Sequence[socket.socket],
        work: Work,
        *,
        on_ready: Callable[[], None] | None = None,
        read: Callable[[], Settings] | None = None,
        handover: Handover | None = None,
    ) -> None:
        self._settings = settings
        self._listeners = listeners
        self._places = [_Place(number, spread(listeners, number, settings.workers)) for number in range(settings.workers)]
        self._handover = handover
        self._work = work
        self._on_ready = on_ready
        self._read = read
        self._is_serving = False  # all of the first were ready
        self._is_ending = False
        self._ends_at = float("inf")
        self._code = 0

    def run(self) -> int:
        """Have all places filled until told to end; return the exit code, once the last worker is gone."""
        told, tell = socket.socketpair()
        for end in (told, tell):
            end.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(told, selectors.EVENT_READ)
        self._own = (told, tell)
        signal.set_wakeup_fd(tell.fileno(), warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, _noted)
        for place in self._places:
            self._start(place)
        while self._is_needed():
            for key, _ in self._selector.select(self._seconds()):
                if key.fileobj is told:
                    self._signalled(told.recv(64))
                else:
                    key.data()
            self._look()
        signal.set_wakeup_fd(-1)
        return self._code

    def _is_needed(self) -> bool:
        return not self._is_ending or any(place.pid for place in self._places)

    def _seconds(self) -> float | None:
        """Return how long nothing is to be done, if nobody says anything."""
        times = [place.due_at for place in self._places if not place.pid] if not self._is_ending else [self._ends_at]
        return max(0.0, min(times) - time.monotonic()) if times else None

    # --------------------------------------------------------------------------------------------------------- workers

    def _start(self, place: _Place) -> None:
        ours, its = socket.socketpair()
        place.started_at, place.is_ready = time.monotonic(), False
        restarts, place.begun = place.begun, place.begun + 1
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()  # or what stands in its buffer is written by both
        # What is told to a worker before it can hear waits until then.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        place.pid = os.fork()
        if not place.pid:
            ours.close()
            self._be(Post(place.number, len(self._places), restarts, self._settings, place.listeners, its), place)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        its.close()
        place.line = ours
        self._watch(ours, partial(self._heard, place))

    def _be(self, post: Post, place: _Place) -> NoReturn:
        """Be a worker: with nothing of the parent's or of the others', and apart from the terminal's signals, which the parent has."""
        code = FAILED
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, _leave)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it has what was read last
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            os.setpgid(0, 0)
            self._selector.close()
            for end in self._own:
                end.close()
            for other in self._places:
                if other.line is not None:
                    other.line.close()
            for listener in self._listeners:
                if listener not in place.listeners:
                    listener.close()
            if self._handover is not None:
                self._handover.forget()
            self._work(post)
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else FAILED
        except ConfigError as error:
            _log.error("worker %d: %s", post.number, error.message)
        except BaseException as error:
            _log.error("worker %d ended", post.number, exc_info=error)
        finally:
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError, ValueError):
                    stream.flush()
            os._exit(code)

    def _heard(self, place: _Place) -> None:
        if place.line is None:
            return
        try:
            said = place.line.recv(1)
        except OSError:
            said = b""
        if not said:  # it is about to end; that it has is known by its signal
            self._selector.unregister(place.line)
            place.line.close()
            place.line = None
            return
        place.is_ready = True
        if not self._is_serving and all(each.is_ready for each in self._places):
            self._is_serving = True
            if self._handover is not None:
                self._handover.begin(self._watch, self._selector.unregister, self._hand_over)
            if self._on_ready is not None:
                self._on_ready()
        elif self._is_serving:
            _log.info("worker %d is back, after %.2f s", place.number, time.monotonic() - place.started_at)

    def _look(self) -> None:
        """Bury who has ended, and start who is due."""
        now = time.monotonic()
        for place in self._places:
            if place.pid:
                pid, status = os.waitpid(place.pid, os.WNOHANG)
                if pid:
                    self._ended(place, os.waitstatus_to_exitcode(status), now)
                elif now >= self._ends_at:
                    os.kill(place.pid, signal.SIGKILL)
        if not self._is_ending:
            for place in self._places:
                if not place.pid and place.due_at <= now:
                    self._start(place)
        elif now >= self._ends_at:
            self._ends_at = now + 1.0

    def _ended(self, place: _Place, code: int, now: float) -> None:
        place.pid = 0
        how = f"by signal {-code}" if code < 0 else f"with code {code}"
        if self._is_ending:
            if code:
                _log.warning("worker %d ended %s", place.number, how)
            return
        if not self._is_serving:  # what is wrong with the first is wrong with all
            _log.error("worker %d ended %s before it took connections; the others are ended, too", place.number, how)
            self._code = code if code > 0 else FAILED
            self._end(signal.SIGTERM)
            return
        place.quick_ends = 0 if now - place.started_at >= LIVED_S else place.quick_ends + 1
        pause = 0.0 if place.quick_ends < 2 else min(PAUSE_MAX_S, PAUSE_S * 2.0 ** (place.quick_ends - 2))
        place.due_at = now + pause
        _log.error("worker %d ended %s; another one is started in %g s", place.number, how, pause)

    # --------------------------------------------------------------------------------------------------------- signals

    def _signalled(self, numbers: bytes) -> None:
        for number in numbers:
            if number in (signal.SIGTERM, signal.SIGINT):
                self._end(signal.SIGTERM)
            elif number == signal.SIGHUP:
                if self._read is not None:
                    self._settings = reload(self._settings, self._read, ())
                self._send(signal.SIGHUP)

    def _end(self, number: int) -> None:
        self._leave_port(self._settings.drain_delay_s)
        self._send(number)

    def _leave_port(self, delay_s: float) -> None:
        if self._is_ending:
            return
        self._is_ending = True
        self._ends_at = time.monotonic() + delay_s + self._settings.drain_s + ENDING_S + LATE_S
        if self._handover is not None:
            self._handover.end()
        for listener in self._listeners:
            listener.close()  # or connections were taken that no worker takes any more

    def _hand_over(self) -> None:
        self._leave_port(kept_s(self._settings))
        for place in self._places:
            if place.line is not None:
                with suppress(OSError):  # it has ended
                    place.line.send(HANDED_OVER)

    def _watch(self, line: socket.socket, call: Callable[[], None]) -> None:
        self._selector.register(line, selectors.EVENT_READ, call)

    def _send(self, number: int) -> None:
        for place in self._places:
            if place.pid:
                with suppress(ProcessLookupError):
                    os.kill(place.pid, number)


def _leave(*_: object) -> NoReturn:
    raise SystemExit(0)


def _noted(*_: object) -> None:
    """Do nothing: the number of the signal is read where nothing else is done."""
