"""A port that one process hands over to the next: the listening sockets themselves, over a Unix socket at a path that both know.

    next      asks at the path, is given the sockets, and makes its stores ready; who gave them serves on
    next      takes connections, puts a Unix socket of its own at the path, and says so
    before    takes no more connections, answers over those that it has (``draining.py``), and ends

Both have the same sockets, and so the kernel has one queue of connections for both. It is there as long as one of them is: none is reset,
whoever ends first, is killed, or does not come to serve. (Sockets of one port by SO_REUSEPORT have a queue each, and what waits in the
queue of one that is closed is reset.)
"""

from __future__ import annotations

import logging
import os
import socket
import stat
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from gateway.config import Settings
from gateway.errors import ConfigError
from gateway.stores.kinds import kinds_of

ANSWER_S = 5.0  # for the process before to give its sockets
AGAIN_S = 0.05
SOCKETS_MAX = 250  # in one message; Linux takes 253
LATE_S = 1.0  # how much later than it should an unused connection is closed

HANDED_OVER = b"h"  # from the parent of workers to each
_READY = b"r"

_log = logging.getLogger("gateway.handover")

Watch = Callable[[socket.socket, Callable[[], None]], object]  # calls when there is something to read
Unwatch = Callable[[socket.socket], object]


def refuse_handover(settings: Settings) -> None:
    """ConfigError where a port is to be handed over that cannot be: by the system, or with rows in the memory of each process."""
    if not settings.handover:
        return
    where = f"handover = {settings.handover!r}"
    if not (hasattr(socket, "AF_UNIX") and hasattr(socket, "send_fds")):
        raise ConfigError(f"{where}: expected none on this system, where no process gives another its sockets")
    for name, kind in kinds_of(settings.urls).items():
        if not kind.shares_pools:
            raise ConfigError(f"stores.{name}.url: expected rows that the next process sees (handover), got a store of kind {kind.name}")
    if settings.workers > SOCKETS_MAX:
        raise ConfigError(f"workers = {settings.workers}: expected at most {SOCKETS_MAX} where they are handed over (handover)")
    path = Path(settings.handover)
    if not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
        raise ConfigError(f"{where}: expected a path in a folder that is there, and in which a file can be made")
    if path.exists() and not stat.S_ISSOCK(path.stat().st_mode):
        raise ConfigError(f"{where}: expected the path of a Unix socket, or of nothing, and a file is there")


def kept_s(settings: Settings) -> float:
    """Return for how long a process that has handed over its port has connections: each is used until then, or closed unused as ever."""
    return max(settings.keep_alive_timeout_s, settings.header_timeout_s) + LATE_S


def ask(path: str) -> tuple[list[socket.socket], socket.socket] | None:
    """Return the listening sockets of the process at a path, and the connection to it; None where there is none.

    ConfigError where it cannot be asked, is of another user, gives its port to another one, or says nothing within ANSWER_S.
    """
    until = time.monotonic() + ANSWER_S
    while True:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line.settimeout(ANSWER_S)
        given: list[socket.socket] | None = None
        try:
            line.connect(path)
            _refuse_stranger(path, line)
            given = _given(path, line)
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except TimeoutError:
            raise ConfigError(f"handover = {path!r}: expected the sockets of the gateway there within {ANSWER_S:g} s") from None
        except ConnectionError:
            pass
        except OSError as error:
            raise ConfigError(f"handover = {path!r}: expected a gateway that gives its port: {error.strerror}") from None
        finally:
            if given is None:
                line.close()
        if given is not None:
            return given, line
        if time.monotonic() >= until:
            raise ConfigError(f"handover = {path!r}: expected a gateway that gives its port, and the one there ends each time it is asked")
        time.sleep(AGAIN_S)  # it ended at this moment, or has handed over to the next, which is to be asked instead


def _given(path: str, line: socket.socket) -> list[socket.socket] | None:
    """Return what is given; None where who was asked ended instead."""
    message, files, _, _ = socket.recv_fds(line, 8, SOCKETS_MAX)
    given = [socket.socket(fileno=file) for file in files]
    for each in given:
        os.set_inheritable(each.fileno(), False)
    if not message:
        return None
    if int(message) == 0:
        raise ConfigError(f"handover = {path!r}: expected a port that nobody takes, and another process is about to take this one")
    if int(message) != len(given):
        raise ConfigError(f"handover = {path!r}: expected {int(message)} sockets, got {len(given)}; may this process open few files?")
    return given


def _refuse_stranger(path: str, line: socket.socket) -> None:
    if _user_of(line) not in (None, 0, os.geteuid()):
        raise ConfigError(f"handover = {path!r}: expected a gateway of this user, and the one there is of user {_user_of(line)}")


def _user_of(line: socket.socket) -> int | None:
    """Return the user of the process at the other end; None where the system does not say."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    return int(struct.unpack("3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1])


class Handover:
    """One process's part in it: the next one's to the process ``before``, where there was one, and then that of who is asked itself."""

    def __init__(self, path: str, listeners: Sequence[socket.socket], before: socket.socket | None = None) -> None:
        self._path = path
        self._listeners = listeners
        self._before = before
        self._asked: socket.socket | None = None  # at the path
        self._file: tuple[int, int] | None = None  # of the path, as long as it is ours
        self._next: socket.socket | None = None
        self._unwatch: Unwatch = lambda _: None

    def begin(self, watch: Watch, unwatch: Unwatch, leave: Callable[[], None]) -> None:
        """Be the one that serves: end the process before, and give the sockets to the next. ``leave`` is called when that one serves."""
        self._watch, self._unwatch, self._leave = watch, unwatch, leave
        try:
            self._asked = self._put()
        except OSError as error:
            _log.error("nobody can take the port over, for there is no socket at %s: %s", self._path, error.strerror)
        else:
            watch(self._asked, self._hear)
        if self._before is not None:
            with suppress(OSError):  # it has ended by itself
                self._before.send(_READY)
            self._before.close()
            self._before = None
            _log.info("the port is taken over from the process before")

    def _put(self) -> socket.socket:
        """Return a socket at the path, which only this user can ask, instead of whatever was there."""
        beside = f"{self._path}.{os.getpid()}"
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with suppress(FileNotFoundError):
                os.unlink(beside)
            made.bind(beside)
            os.chmod(beside, 0o600)
            made.listen(8)
            made.setblocking(False)
            found = os.stat(beside)
            os.rename(beside, self._path)
        except OSError:
            made.close()
            raise
        self._file = (found.st_dev, found.st_ino)
        return made

    def _hear(self) -> None:
        assert self._asked is not None
        try:
            line, _ = self._asked.accept()
        except OSError:  # who asked is gone
            return
        try:
            if _user_of(line) not in (None, 0, os.geteuid()):
                line.close()
            elif self._next is not None:
                line.send(b"0")
                line.close()
            else:
                line.setblocking(False)
                socket.send_fds(line, [str(len(self._listeners)).encode()], [each.fileno() for each in self._listeners])
                self._next = line
                self._watch(line, self._hear_next)
                _log.info("the next process has the port, and gets ready")
        except OSError:
            line.close()

    def _hear_next(self) -> None:
        assert self._next is not None
        try:
            said = self._next.recv(1)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        self._unwatch(self._next)
        self._next.close()
        self._next = None
        if said != _READY:
            _log.warning("the process that was to take the port over has ended before it was ready; this one serves on")
            return
        _log.info("the next process serves the port; this one ends")
        self.end()
        self._leave()

    def end(self) -> None:
        """Give nothing to anybody any more. The path is left to the next process, where it is that one's by now."""
        for each in (self._asked, self._next):
            if each is not None:
                self._unwatch(each)
                each.close()
        self._asked = self._next = None
        with suppress(OSError):
            found = os.stat(self._path)
            if (found.st_dev, found.st_ino) == self._file:
                os.unlink(self._path)
        self._file = None

    def forget(self) -> None:
        """Close what a fork has of it, which is its parent's."""
        for each in (self._before, self._asked, self._next):
            if each is not None:
                each.close()
