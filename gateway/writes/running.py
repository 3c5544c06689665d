"""Run a mutation's work in one transaction of one store, so that it happens once: again where others were in the way, never again for
the same idempotency key, and told to the audit where it was refused.

    ran = await run(ctx, "users", "createUser", work, arguments=arguments)
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from gateway.errors import (
    BadUserInput,
    CallerError,
    Conflict,
    Contended,
    DeadlineExceeded,
    GatewayError,
    InFlight,
    OperatorError,
    StoreTimeout,
    StoreUnavailable,
)
from gateway.stores.base import Insert, Key, Together
from gateway.stores.moves import HELD_S
from gateway.writes import rows
from gateway.writes.idempotency import Once, OtherArguments
from gateway.writes.ids import new_id
from gateway.writes.rows import By, Outcome
from gateway.writes.tables import tables_of
from gateway.writes.times import now
from gateway.writes.transaction import Transaction

ATTEMPTS = 20  # of what others were in the way of: some seconds in all, where a request has them
PAUSE_S, PAUSE_MAX_S = 0.01, 0.25  # before the second attempt at most, and before any

T = TypeVar("T")

_log = logging.getLogger("gateway.audit")


@dataclass(frozen=True, slots=True)
class Ran(Generic[T]):
    """What became of a mutation. ``value`` is what its work returned; None where an earlier request of the same key did it.

    ``outcomes`` say which aggregates it wrote, in that order, to read them anew: noun, key, version, action.
    """

    value: T | None
    outcomes: Sequence[Outcome]
    is_repeated: bool = False


async def run(ctx: Any, store: str, field: str, work: Callable[[Transaction], Awaitable[T]], *, arguments: Any = None) -> Ran[T]:
    """Run ``work`` in a transaction of ``store``, for the mutation ``field``; its changes are committed when this returns.

    ``work`` may run several times (each in a transaction of its own, of which one is committed), so it changes nothing but by ``tx``.
    What it wrote is in ``ctx.committed`` too, with rows. ``arguments`` are the field's, JSON's values: with ``ctx.idempotency_key`` their
    hash says whether a request is the same again. Then the first outcome is returned (``is_repeated``), or the first refusal raised.

    A CallerError of ``work`` refuses the mutation: nothing of it is written but an audit row and, with a key, the refusal, both in a
    transaction of their own. BadUserInput for a key with other arguments than before, or of a store that keeps none; InFlight (409,
    ``retryAfter``) while a request of this key runs, or others were in the way each time; Contended where those
    were, without a key. StoreUnavailable and StoreTimeout with ``extensions.committed`` "unknown": nobody knows whether it happened;
    with a key, the same request finds out.
    """
    key = ctx.idempotency_key
    if key is None:
        return await _run(ctx, store, field, work, None)
    if store not in ctx.replication.stores:
        raise BadUserInput(f"An Idempotency-Key cannot be kept here: {field} writes to what is not managed, without a log.")
    once = Once(ctx, store, field, key, arguments)
    with once.alone():
        return await _run(ctx, store, field, work, once)


async def _run(ctx: Any, store: str, field: str, work: Callable[[Transaction], Awaitable[T]], once: Once | None) -> Ran[T]:
    attempt = 1
    while True:
        tx = Transaction(ctx, store, field=field, at_end=None if once is None else once.kept)
        has_worked = False
        try:
            async with tx:
                value = await work(tx)
                has_worked = True
            return Ran(value, [its.outcome for its in tx.written])
        except Exception as error:
            if once is not None and (outcomes := await _first(ctx, store, tx, once, error)) is not None:
                return Ran(None, outcomes, is_repeated=True)
            # The key is taken by what nobody can read: a request that is not committed yet, where the database tells before it is.
            is_taken = once is not None and isinstance(error, Conflict) and error.collection == tables_of(store).idempotency.name
            if is_taken or isinstance(error, Contended):
                if isinstance(error, Contended):
                    await _opened(ctx, error.store)
                if attempt < ATTEMPTS and await _paused(ctx, attempt):
                    attempt += 1
                    continue
            elif isinstance(error, CallerError):
                return await _refused(ctx, store, tx, once, error)
            # Who holds its rows may be the first request of this key, in a process that was killed: MongoDB keeps its transaction for a
            # minute. After the work its own rows are locked already: what it waited for at its end is the key.
            kinds = (Contended, StoreTimeout) if has_worked else (Contended,)
            if is_taken or (once is not None and isinstance(error, kinds) and "committed" not in error.extensions):
                raise InFlight from error
            raise


async def _first(ctx: Any, store: str, tx: Transaction, once: Once, error: Exception) -> Sequence[Outcome] | None:
    """Return the outcome of an earlier request of this key, after a run that failed: as that was there, or as it had been committed itself.

    None where there is none, or where nobody can tell.
    """
    if isinstance(error, (StoreUnavailable, StoreTimeout, DeadlineExceeded)) and error.extensions.get("committed") != "unknown":
        return None
    try:
        return await once.first()
    except OtherArguments as refusal:
        await _audit(ctx, store, tx.by, None, refusal, ())
        raise
    except OperatorError:
        return None


async def _opened(ctx: Any, store: str) -> None:
    """Return once a store that moves is open, of which a fence was found closed: by its own transactions, or those of its database."""
    gate = ctx.stores.gate
    if gate is not None and store in gate.names:
        await gate.opened(store, ctx.seconds(HELD_S))


async def _paused(ctx: Any, attempt: int) -> bool:
    """Wait a moment, another for each who waits; False where the request has no time for it."""
    pause = random.uniform(0, min(PAUSE_MAX_S, PAUSE_S * 2**attempt))
    if ctx.seconds(PAUSE_MAX_S) <= pause:
        return False
    await asyncio.sleep(pause)
    return True


async def _refused(ctx: Any, store: str, tx: Transaction, once: Once | None, error: CallerError) -> Ran[T]:
    """Keep a refusal, and raise it; where a request of the same key came first meanwhile, its outcome holds."""
    try:
        await _audit(ctx, store, tx.by, tx.about, error, () if once is None else (once.refusal(error, now()),))
    except Conflict:
        outcomes = None if once is None else await once.first()
        if outcomes is not None:
            return Ran(None, outcomes, is_repeated=True)
    raise error


async def _audit(ctx: Any, store: str, by: By, about: tuple[str, Key] | None, error: CallerError, kept: Sequence[Insert]) -> None:
    """Tell the audit of a refusal, in a transaction of its own. What goes wrong with it is logged: the refusal is the answer.

    Conflict where ``kept`` has an idempotency key that was taken meanwhile.
    """
    _log.info("%s: %s by %s: refused: %s", by.request_id, by.field, by.subject, error.message)
    if store not in ctx.replication.stores:
        return
    tables = tables_of(store)
    at = now()
    told = {"message": error.message, "code": error.extensions.get("code")}
    row = rows.refusal_row(tables, new_id(), at, by, about, told)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with Transaction(ctx, store, field=by.field) as tx:
                refusals = rows.deliveries(tables, rows.audit_deliveries(tables, [row])) if tx.has_own_audit else rows.audits(tables, [row])
                if kept:
                    await tx.pass_fences()
                await tx.ask_untold(Together((*kept, refusals)))
            return
        except Contended:
            if attempt == ATTEMPTS or not await _paused(ctx, attempt):
                break
        except Conflict:
            if kept:
                raise
            break
        except GatewayError as failed:
            _log.warning("%s: the refusal of %s is not in the audit: %s", by.request_id, by.field, failed.message)
            return
    _log.warning("%s: the refusal of %s is not in the audit: others wrote the same at the same time", by.request_id, by.field)
