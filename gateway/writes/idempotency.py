"""One outcome for each idempotency key: what is kept of a mutation, so that the same request finds what the first has done.

Kept are two rows in the store that is written: a claim, which is inserted first and locks out whoever has the same key, and the outcome,
which is known last. Both are there, or neither. The outcome is what was written (noun, key, version), or the error of a refusal; never
the answer, which is made anew of what is selected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from typing import Any

import orjson

from gateway.errors import BadUserInput, CallerError, Conflict, Contended, Forbidden, InFlight, NotFound, StoreTimeout
from gateway.stores.base import Get, Insert
from gateway.writes.rows import Outcome
from gateway.writes.tables import tables_of
from gateway.writes.times import now
from gateway.writes.transaction import Transaction

CLAIM_S = 2.0  # to wait for a request of the same key, in another process; then it is in flight

_OF_CODE: Mapping[str, type[CallerError]] = {error.code: error for error in (BadUserInput, Conflict, Forbidden, NotFound)}

_running: set[tuple[int, str]] = set()  # of this process: the pool, and the id


class OtherArguments(BadUserInput):
    """A key was used for another write before."""


class Once:
    """One request with an idempotency key. ``is_claimed``: the key is its own; ``is_taken``: another has been there before."""

    def __init__(self, ctx: Any, store: str, field: str, key: str, arguments: Any) -> None:
        self._ctx = ctx
        self._store = store
        self._rows = tables_of(store).idempotency
        self._id = orjson.dumps([ctx.subject, field, key]).decode()
        self._hash = sha256(orjson.dumps([field, arguments], default=str, option=orjson.OPT_SORT_KEYS)).hexdigest()
        self.is_claimed = self.is_taken = False

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

    async def claim(self, tx: Transaction) -> None:
        """Take the key for a transaction, at its beginning; Conflict, and ``is_taken``, where it was.

        InFlight where another process holds it and does not end. One that has died holds nothing: its transaction is gone.
        """
        insert = Insert(self._rows, self._rows.names, [(f"claim {self._id}", self._hash, {}, now())])
        self.is_claimed = False
        try:
            await self._ctx.stores.funnel.within(self._store, CLAIM_S, partial(tx.ask_untold, insert))
        except Contended:
            raise
        except Conflict:
            self.is_taken = True
            raise
        except StoreTimeout as error:
            raise InFlight from error
        self.is_claimed = True

    def kept(self, outcomes: Sequence[Outcome], at: str) -> Insert:
        """Return the insert of what the transaction has written, for its end."""
        return Insert(self._rows, self._rows.names, [(self._id, self._hash, {"wrote": [list(outcome) for outcome in outcomes]}, at)])

    def refusal(self, error: CallerError, at: str) -> Insert:
        """Return the insert of a refusal, claim and all."""
        refused = {"refused": {"message": error.message, "extensions": error.extensions}}
        return Insert(self._rows, self._rows.names, [(f"claim {self._id}", self._hash, {}, at), (self._id, self._hash, refused, at)])

    async def first(self) -> Sequence[Outcome]:
        """Return what the first request of this key has written, or raise its refusal again.

        BadUserInput where it had other arguments; InFlight where there is no outcome to see.
        """
        found = await self._ctx.ask(Get(self._rows, ("hash", "outcome"), [self._id]))
        if self._id not in found:
            raise InFlight
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
