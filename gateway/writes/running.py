"""Run a mutation's work in one transaction of one store, so that it happens once: again where others were in the way, never again for
the same idempotency key, and told to the audit where it was refused.

    ran = await run(ctx, "users", "createUser", work, arguments=arguments)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from gateway.writes.rows import Outcome
from gateway.writes.transaction import Transaction

T = TypeVar("T")


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
    ``retryAfter``) while a request of this key runs; Contended where others were in the way each time. StoreUnavailable and StoreTimeout
    with ``extensions.committed`` "unknown": nobody knows whether it happened; with a key, the same request finds out.
    """
    raise NotImplementedError
