"""graphql-transport-ws: what a client says over a socket, and what that leads to. Pure: no I/O, no clock, no tasks.

    received     a message of the client's; returns what is to be done
    acknowledged, init_is_late          what happened meanwhile
    next, error, completed              what became of an operation, as messages; None where nobody asks for it any more

The protocol is https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md: ``connection_init`` comes first and once, each operation
has an id of the client's while it runs, and what breaks the rules ends the socket with a code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import orjson

from gateway.errors import CallerError, LimitExceeded
from gateway.http import requests
from gateway.service import Request

SUBPROTOCOL = "graphql-transport-ws"
ID_MAX = 255  # characters of an operation's id

GOING_AWAY = 1001
FLOOD = 1008
TOO_SLOW = TOO_MANY = 1013
BAD_MESSAGE = 4400
UNAUTHORIZED = 4401
FORBIDDEN = 4403
INIT_TIMEOUT = 4408
ID_TAKEN = 4409
INIT_AGAIN = 4429
INTERNAL = 4500


@dataclass(frozen=True, slots=True)
class Greet:
    """The client began: find out who it is, then ``acknowledged`` or a Close. ``payload`` is that of its connection_init."""

    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Start:
    """Run an operation under this id."""

    id: str
    request: Request


@dataclass(frozen=True, slots=True)
class Stop:
    """The client wants no more of this operation; what is on its way of it is dropped."""

    id: str


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message that belongs to no operation, or to one that was not begun."""

    message: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """End the socket; nothing is said after it."""

    code: int
    reason: str


Action = Greet | Start | Stop | Send | Close


class _State(Enum):
    NEW, GREETED, OPEN, CLOSED = range(4)


class Conversation:
    """One socket's. ``active`` are the ids of operations that run."""

    def __init__(self, *, subscriptions_max: int, json_depth_max: int, json_values_max: int) -> None:
        self._subscriptions_max = subscriptions_max
        self._depth_max = json_depth_max
        self._values_max = json_values_max
        self._state = _State.NEW
        self.active: set[str] = set()

    # ------------------------------------------------------------------------------------------------------ the client

    def received(self, text: str | None) -> Sequence[Action]:
        """Return what a message leads to; None stands for one that is no text."""
        if self._state is _State.CLOSED:
            return ()
        message = self._read(text)
        match message.get("type"):
            case "connection_init":
                return self._greet(message.get("payload"))
            case "ping":
                return self._answer_ping(message.get("payload"))
            case "pong":
                return ()
            case "subscribe":
                return self._subscribe(message)
            case "complete":
                return self._complete(message.get("id"))
            case _:
                return self._bad()

    def _read(self, text: str | None) -> Mapping[str, Any]:
        if text is None:
            return {}
        try:
            message = requests.decode(text.encode(), self._depth_max, self._values_max)
        except (CallerError, UnicodeEncodeError):
            return {}
        return message if isinstance(message, dict) else {}

    def _greet(self, payload: Any) -> Sequence[Action]:
        if payload is not None and not isinstance(payload, dict):
            return self._bad()
        if self._state is not _State.NEW:
            return self._close(INIT_AGAIN, "Too many initialisation requests")
        self._state = _State.GREETED
        return (Greet(payload or {}),)

    def _answer_ping(self, payload: Any) -> Sequence[Action]:
        if payload is not None and not isinstance(payload, dict):
            return self._bad()
        return (Send(orjson.dumps({"type": "pong"} if payload is None else {"type": "pong", "payload": payload})),)

    def _subscribe(self, message: Mapping[str, Any]) -> Sequence[Action]:
        its = message.get("id")
        if not isinstance(its, str) or not 0 < len(its) <= ID_MAX:
            return self._bad()
        try:
            request = requests.from_payload(message.get("payload"))
        except CallerError:
            return self._bad()
        if self._state is not _State.OPEN:
            return self._close(UNAUTHORIZED, "Unauthorized")
        if its in self.active:
            return self._close(ID_TAKEN, f"Subscriber for {its} already exists")
        if len(self.active) >= self._subscriptions_max:
            error = too_many_subscriptions(self._subscriptions_max)
            return (Send(_message("error", its, orjson.dumps([error.shown]))),)
        self.active.add(its)
        return (Start(its, request),)

    def _complete(self, its: Any) -> Sequence[Action]:
        if not isinstance(its, str) or not its:
            return self._bad()
        if its not in self.active:
            return ()  # ours and theirs have crossed
        self.active.discard(its)
        return (Stop(its),)

    def _bad(self) -> Sequence[Action]:
        return self._close(BAD_MESSAGE, "Invalid message received")

    def _close(self, code: int, reason: str) -> Sequence[Action]:
        self._state = _State.CLOSED
        return (Close(code, reason),)

    # --------------------------------------------------------------------------------------------------------- the server

    def acknowledged(self) -> Sequence[Action]:
        """Return what is said to a client of whom it is known who it is."""
        if self._state is not _State.GREETED:
            return ()
        self._state = _State.OPEN
        return (Send(b'{"type":"connection_ack"}'),)

    def init_is_late(self) -> Sequence[Action]:
        """Return what becomes of a client that did not begin in time."""
        return self._close(INIT_TIMEOUT, "Connection initialisation timeout") if self._state is _State.NEW else ()

    def next(self, its: str, payload: bytes) -> bytes | None:
        return _message("next", its, payload) if its in self.active else None

    def error(self, its: str, errors: bytes) -> bytes | None:
        """Return the last message of an operation that is not run, or not run on."""
        if its not in self.active:
            return None
        self.active.discard(its)
        return _message("error", its, errors)

    def completed(self, its: str) -> bytes | None:
        """Return the last message of an operation that has come to its end."""
        if its not in self.active:
            return None
        self.active.discard(its)
        return b'{"id":%b,"type":"complete"}' % orjson.dumps(its)


def _message(type_: str, its: str, payload: bytes) -> bytes:
    return b'{"id":%b,"type":"%b","payload":%b}' % (orjson.dumps(its), type_.encode(), payload)


def too_many_subscriptions(most: int) -> LimitExceeded:
    message = f"At most {most} operations run at a time over one connection (setting subscriptions_max)."
    return LimitExceeded("SUBSCRIPTION_LIMIT", message, limit=most, actual=most + 1, setting="subscriptions_max")
