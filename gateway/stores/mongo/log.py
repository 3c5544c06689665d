"""The log's own steps in MongoDB: of one document each is one command, of several it is part of a transaction.

No document is locked by being read. Two that count the same version, pass the same gate or claim of the same aggregate write the same
document, and the server gives up the one that came later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from pymongo import InsertOne, UpdateMany, UpdateOne

from gateway.errors import Conflict, Contended
from gateway.stores.base import Advance, Bump, Claim, Collection, Key, Row
from gateway.stores.mongo.answers import Document
from gateway.stores.mongo.calls import WRITE_TIMEOUT_S, Calls
from gateway.stores.mongo.changes import rows_of, touching
from gateway.stores.mongo.fields import Query

PENDING = "pending"  # of writes/tables.py

_Aggregate = tuple[str, Key]  # noun, key

# -------------------------------------------------------------------------------------------------------------- versions


async def bump(calls: Calls, bump: Bump) -> Mapping[Key, int]:
    with _contended(calls, bump.collection):
        if len(bump.keys) == 1:
            return await _bump_one(calls, bump, bump.keys[0])
        return await _bump_all(calls, bump) if bump.keys else {}


async def _bump_one(calls: Calls, bump: Bump, key: Key) -> Mapping[Key, int]:
    change = {"$inc": {"version": 1}, "$set": {"is_deleted": bump.is_deleted}}
    document = await calls.upsert(bump.collection, {"noun": {"$eq": bump.noun}, "key": {"$eq": key}}, change, after=True)
    assert document is not None
    return {key: int(document["version"])}


async def _bump_all(calls: Calls, bump: Bump) -> Mapping[Key, int]:
    """Count here and write what follows: where another has written in between, the server gives this up."""
    keys = sorted(bump.keys)
    documents = await calls.aggregate(bump.collection.place, [{"$match": {"noun": {"$eq": bump.noun}, "key": {"$in": keys}}}])
    before = {document["key"]: document for document in documents}
    versions = {key: int(before[key]["version"]) + 1 if key in before else 1 for key in keys}
    values = {key: {"version": version, "is_deleted": bump.is_deleted} for key, version in versions.items()}
    new = [InsertOne({"noun": bump.noun, "key": key, **values[key]}) for key in keys if key not in before]
    old = [UpdateOne({"_id": before[key]["_id"]}, {"$set": values[key]}) for key in keys if key in before]
    await calls.write(bump.collection, [*new, *old])
    return versions


# ----------------------------------------------------------------------------------------------------------------- gates


async def advance(calls: Calls, advance: Advance) -> frozenset[Key]:
    with _contended(calls, advance.collection):
        if len(advance.items) == 1:
            return await _advance_one(calls, advance, *advance.items[0])
        return await _advance_all(calls, advance) if advance.items else frozenset()


async def _advance_one(calls: Calls, advance: Advance, key: Key, epoch: int, version: int) -> frozenset[Key]:
    # A missing value is less than any: what is not there yet lets all pass.
    is_newer = {"$or": [{"$lt": ["$epoch", epoch]}, {"$and": [{"$eq": ["$epoch", epoch]}, {"$lt": ["$version", version]}]}]}
    kept = {name: {"$cond": [is_newer, value, f"${name}"]} for name, value in (("epoch", epoch), ("version", version))}
    before = await calls.upsert(advance.collection, _of_target(advance, {"$eq": key}), [{"$set": kept}])
    return frozenset({key} if before is None or _kept(before) < (epoch, version) else ())


async def _advance_all(calls: Calls, advance: Advance) -> frozenset[Key]:
    """Compare here and write what is newer: where another has written in between, the server gives this up."""
    keys = sorted(key for key, _, _ in advance.items)
    documents = await calls.aggregate(advance.collection.place, [{"$match": _of_target(advance, {"$in": keys})}])
    before = {document["key"]: document for document in documents}
    newer = {
        key: {"epoch": epoch, "version": version}
        for key, epoch, version in sorted(advance.items)
        if key not in before or _kept(before[key]) < (epoch, version)
    }
    its = {"target": advance.target, "noun": advance.noun}
    new = [InsertOne({**its, "key": key, **values}) for key, values in newer.items() if key not in before]
    old = [UpdateOne({"_id": before[key]["_id"]}, {"$set": values}) for key, values in newer.items() if key in before]
    await calls.write(advance.collection, [*new, *old])
    return frozenset(newer)


def _of_target(advance: Advance, key: Query) -> Query:
    return {"target": {"$eq": advance.target}, "noun": {"$eq": advance.noun}, "key": key}


def _kept(document: Document) -> tuple[int, int]:
    return document["epoch"], document["version"]


# ------------------------------------------------------------------------------------------------------------ deliveries


async def claim(calls: Calls, claim: Claim) -> Sequence[Row]:
    """Lease the deliveries of the oldest aggregates that are free, as many as fit into the limit, the first whatever it has.

    Two or more reads and one write. Of the aggregates that are given out what is not due is touched, too: so two that see different ones
    of the same aggregate as due have written the same document.
    """
    with _contended(calls, claim.collection):
        due, others, until = await _free(calls, claim)
        if not due:
            return []
        lease = {"lease_owner": claim.owner, "lease_until": until}
        writes = [UpdateMany(_of_ids(due), {"$set": lease}), *(touching(_of_ids(others)) if others else ())]
        await calls.write(claim.collection, writes)
    return rows_of(claim.collection, [{**document, **lease} for document in sorted(due, key=lambda document: str(document["outbox"]))])


async def claim_each(calls: Calls, claim: Claim) -> Sequence[Row]:
    """Lease deliveries without a transaction, each for itself: one that another has leased in between is left to him."""
    due, _, until = await _free(calls, claim)
    if not due:
        return []
    lease = {"lease_owner": claim.owner, "lease_until": until}
    now = until - timedelta(milliseconds=round(claim.seconds * 1000))
    is_free = {"$or": [{"lease_until": None}, {"lease_until": {"$lte": now}}]}
    await calls.write(claim.collection, [UpdateMany({**_of_ids(due), **is_free, "state": PENDING}, {"$set": lease})])
    got = await calls.aggregate(claim.collection.place, [{"$match": {**_of_ids(due), **lease}}])
    return rows_of(claim.collection, sorted(got, key=lambda document: str(document["outbox"])))


async def _free(calls: Calls, claim: Claim) -> tuple[list[Document], list[Document], Any]:
    """Return the deliveries to lease, what else their aggregates have, and until when."""
    place = claim.collection.place
    due: list[Document] = []
    others: list[Document] = []
    seen: set[_Aggregate] = set()
    after, now = "", None
    while True:
        heads = await calls.aggregate(place, _heads(claim, after))
        if not heads:
            break
        now = now or heads[0]["now"]
        new = [one for one in dict.fromkeys((head["noun"], head["key"]) for head in heads) if one not in seen]
        seen.update(new)
        found = _by_aggregate(await calls.aggregate(place, _all_of(claim, new, now)) if new else [])
        for one in new:
            its = found.get(one, [])
            its_due = [document for document in its if document["__is_due"]]
            if not its_due or any(document["__is_leased"] for document in its):
                continue
            if due and len(due) + len(its_due) > claim.limit:
                return due, others, _until(now, claim.seconds)
            due += its_due
            others += [document for document in its if not document["__is_due"]]
        if len(due) >= claim.limit or len(heads) < claim.limit:
            break
        after = heads[-1]["outbox"]
    return due, others, _until(now, claim.seconds) if due else None


def _heads(claim: Claim, after: str) -> list[Document]:
    """Return the pipeline for the oldest deliveries that are due, behind one of them."""
    state = {"target": {"$eq": claim.target}, "state": PENDING, "outbox": {"$gt": after}}
    return [
        {"$match": {**state, "$expr": _is_due("$$NOW")}},
        {"$sort": {"outbox": 1}},
        {"$limit": claim.limit},
        {"$project": {"_id": 0, "outbox": 1, "noun": 1, "key": 1, "now": "$$NOW"}},
    ]


def _all_of(claim: Claim, aggregates: Iterable[_Aggregate], now: Any) -> list[Document]:
    """Return the pipeline for all deliveries of aggregates, each of which says whether it is due, and whether it is leased."""
    by_noun: dict[str, list[Key]] = {}
    for noun, key in aggregates:
        by_noun.setdefault(noun, []).append(key)
    ways = [{"target": {"$eq": claim.target}, "noun": {"$eq": noun}, "key": {"$in": keys}} for noun, keys in by_noun.items()]
    is_pending = {"$eq": ["$state", PENDING]}
    told = {"__is_due": {"$and": [is_pending, _is_due(now)]}, "__is_leased": {"$gt": ["$lease_until", now]}}
    return [{"$match": ways[0] if len(ways) == 1 else {"$or": ways}}, {"$set": told}]


def _is_due(now: Any) -> Document:
    # A null is less than any time.
    return {"$and": [{"$lte": ["$next_at", now]}, {"$lte": ["$lease_until", now]}]}


def _by_aggregate(documents: Iterable[Document]) -> dict[_Aggregate, list[Document]]:
    found: dict[_Aggregate, list[Document]] = {}
    for document in documents:
        found.setdefault((document["noun"], document["key"]), []).append(document)
    return found


def _of_ids(documents: Iterable[Document]) -> Query:
    return {"_id": {"$in": [document["_id"] for document in documents]}}


def _until(now: Any, seconds: float) -> Any:
    return now + timedelta(milliseconds=round(seconds * 1000))


# --------------------------------------------------------------------------------------------------------------- helpers


@contextmanager
def _contended(calls: Calls, collection: Collection) -> Iterator[None]:
    """Raise Contended where another has made the same document first: nobody but these requests makes them."""
    try:
        with calls.translated(WRITE_TIMEOUT_S, collection):
            yield
    except Contended:
        raise
    except Conflict as exc:
        raise Contended(calls.name) from exc.__cause__
