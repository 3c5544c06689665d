"""The log as a stream: what subscriptions are fed from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from gateway.stores.base import Collection, Key
from gateway.writes.declarations import State


@dataclass(frozen=True, slots=True)
class Event:
    """A write of a noun, in the order in which all who follow it see it. ``cursor`` is opaque text: to go on after this event."""

    cursor: str
    key: Key
    version: int
    action: str  # insert, update, delete
    state: State | None  # as it was written; None where it was deleted
    before: State | None = None  # of an update, where it is known


class Feed(Protocol):
    """What follows the log of each store, once for all who listen in this process."""

    def follow(self, collection: Collection, after: str | None = None) -> AsyncIterator[Event]:
        """Give the writes of a collection from now on, or those after a cursor, without an end; ``aclose`` ends it.

        BadUserInput for what is no cursor of this collection; CursorExpired (``CURSOR_EXPIRED``) for one whose events are kept no more.
        Never blocks who feeds it: one that does not take its events in time gets SlowReader out of it.
        """
        ...
