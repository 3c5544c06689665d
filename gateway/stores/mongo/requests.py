"""Which function answers which type of request, and which of them are of one document."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from gateway.stores.base import Advance, Bump, Claim, Delete, Insert, Lock, Remove, Request, Together, Update, Upsert, Within
from gateway.stores.mongo import changes, log
from gateway.stores.mongo.calls import Calls
from gateway.stores.mongo.reads import READS

Answer = Callable[[Calls, Any], Coroutine[Any, Any, Any]]


async def within(calls: Calls, request: Within[Any]) -> Any:
    return await READS[type(request.read)](calls, request.read)


def _of_one(_: Any) -> bool:
    return True


def _of_several(_: Any) -> bool:
    return False


def _of_its_keys(request: Request[Any]) -> bool:
    return request.keys_count < 2


# Outside of a transaction what is of several documents is one of its own.
WRITES: dict[type[Request[Any]], tuple[Answer, Callable[[Any], bool]]] = {
    Insert: (changes.insert, _of_its_keys),
    Update: (changes.update, _of_one),
    Remove: (changes.remove, _of_one),
    Lock: (changes.lock, _of_one),  # a read
    Together: (changes.together, _of_its_keys),
    Within: (within, _of_one),  # a read
    Bump: (log.bump, _of_its_keys),
    Advance: (log.advance, _of_its_keys),
    Claim: (log.claim, _of_several),
}

IN_TRANSACTIONS: dict[type[Request[Any]], Answer] = {
    **READS,
    **{type_: answer for type_, (answer, _) in WRITES.items()},
    Upsert: changes.upsert,
    Delete: changes.delete,
}
