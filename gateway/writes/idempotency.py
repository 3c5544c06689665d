"""One outcome for each idempotency key: what is kept of a mutation, so that the same request finds what the first has done.

It is one row in the store that is written, inserted at the transaction's end: of two requests of one key, in whatever processes, the second
waits there for the first, is rolled back, and has the outcome of the first. The outcome is what was written (noun, key, version), or the
error of a refusal; never the answer, which is made anew of what is selected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from typing import Any

import orjson

from gateway.errors import BadUserInput, CallerError, Conflict, Forbidden, InFlight, NotFound
from gateway.stores.base import Carries, Get, Insert
from gateway.writes.rows import Outcome
from gateway.writes.tables import tables_of

UNPACK_S = 5.0

_OF_CODE: Mapping[str, type[CallerError]] = {error.code: error for error in (BadUserInput, Conflict, Forbidden, NotFound)}

_running: set[tuple[int, str]] = set()  # in this process: the pool, and the id


class OtherArguments(BadUserInput):
    """A key was used for another write before."""


class Once:
    """One request with an idempotency key."""

    def __init__(self, ctx: Any, store: str, field: str, key: str, arguments: Any) -> None:
        self._ctx = ctx
        self._store = store
        self._rows = tables_of(store).idempotency
        self._id = orjson.dumps([ctx.subject, field, key]).decode()
        self._hash = sha256(orjson.dumps([field, arguments], default=str, option=orjson.OPT_SORT_KEYS)).hexdigest()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Have no other request of this key run in this process meanwhile. InFlight where one does."""
        mine = (id(self._ctx.stores[self._store]), self._id)
        if mine in _running:
            raise InFlight
        _running.add(mine)
        try:
            yield
        finally:
            _running.discard(mine)

    def kept(self, outcomes: Sequence[Outcome], at: str) -> Insert:
        """Return the insert of what the transaction has written; Conflict where the key is taken."""
        return self._insert({"wrote": [list(outcome) for outcome in outcomes]}, at)

    def refusal(self, error: CallerError, at: str) -> Insert:
        return self._insert({"refused": {"message": error.message, "extensions": error.extensions}}, at)

    def _insert(self, outcome: Mapping[str, Any], at: str) -> Insert:
        return Insert(self._rows, self._rows.names, [(self._id, self._hash, outcome, at)])

    async def first(self) -> Sequence[Outcome] | None:
        """Return what the first request of this key has written, or raise its refusal again; None where there is no outcome to see.

        OtherArguments where it had others.
        """
        store = self._ctx.stores[self._store]
        if isinstance(store, Carries):  # an outcome that is to be read has happened
            await self._ctx.stores.funnel.within(self._store, self._ctx.seconds(UNPACK_S), partial(store.unpack, [self._rows]))
        found = await self._ctx.ask(Get(self._rows, ("hash", "outcome"), [self._id]))
        if self._id not in found:
            return None
        hash_, outcome = found[self._id]
        if hash_ != self._hash:
            raise OtherArguments("This Idempotency-Key was used with other arguments: expected a key of its own for each write.")
        if "refused" in outcome:
            raise _again(outcome["refused"])
        return [Outcome(*each) for each in outcome["wrote"]]


def _again(refused: Mapping[str, Any]) -> CallerError:
    extensions = dict(refused["extensions"])
    error = _OF_CODE.get(extensions.get("code", ""), CallerError)(refused["message"])
    error.extensions.update(extensions)
    return error
