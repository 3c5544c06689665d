"""Write Cypher for what a log of writes is kept by: versions, gates and deliveries, each in one statement. Pure.

A transaction reads what is committed at the moment of each read, so that a node is locked before what is compared is read of it.
"""

from __future__ import annotations

from typing import Any

from gateway.caches import remembered
from gateway.stores.base import Advance, Bump, Claim
from gateway.stores.neo4j.changes import locked
from gateway.stores.neo4j.conditions import Parameters
from gateway.stores.neo4j.sources import Source, quoted
from gateway.stores.neo4j.ways import TEXTS_KEPT, TEXTS_LIMIT_BYTES

_UNITS = {0: "second", 3: "millisecond", 6: "microsecond", 9: "nanosecond"}  # by the digits of a time
_PENDING = "n.target = $target AND n.state = 'pending' AND n.outbox IS NOT NULL"
_DUE = f"{_PENDING} AND n.next_at <= now AND coalesce(n.lease_until <= now, true)"  # and leased by nobody
_HELD = "o.target = $target AND o.noun = n.noun AND o.key = n.key AND o.state = 'pending' AND o.lease_until > now"  # its aggregate


def bump_statement(source: Source, bump: Bump) -> tuple[str, Parameters]:
    """Answers [[key, version], …]."""
    return _bump_text(source), {"noun": bump.noun, "keys": sorted(bump.keys), "is_deleted": bump.is_deleted}


@remembered(TEXTS_KEPT, TEXTS_LIMIT_BYTES)
def _bump_text(source: Source) -> str:
    return (
        f"UNWIND $keys AS k MERGE (n:{quoted(source.label)} {{noun: $noun, key: k}}) {locked('n')}"
        " WITH k, n SET n.version = coalesce(n.version, 0) + 1, n.is_deleted = $is_deleted RETURN collect([k, n.version])"
    )


def advance_statement(source: Source, advance: Advance) -> tuple[str, Parameters]:
    """Answers [key, …]."""
    items: list[Any] = sorted(map(list, advance.items))
    return _advance_text(source), {"target": advance.target, "noun": advance.noun, "items": items}


@remembered(TEXTS_KEPT, TEXTS_LIMIT_BYTES)
def _advance_text(source: Source) -> str:
    return (
        f"UNWIND $items AS i MERGE (n:{quoted(source.label)} {{target: $target, noun: $noun, key: i[0]}}) {locked('n')}"
        " WITH i, n WHERE n.version IS NULL OR n.epoch < i[1] OR (n.epoch = i[1] AND n.version < i[2])"
        " SET n.epoch = i[1], n.version = i[2] RETURN collect(i[0])"
    )


def claim_statement(source: Source, claim: Claim) -> tuple[str, Parameters]:
    """Answers rows in all columns, oldest first."""
    parameters = {"target": claim.target, "owner": claim.owner, "limit": claim.limit, "milliseconds": round(claim.seconds * 1000)}
    return _claim_text(source), parameters


@remembered(TEXTS_KEPT, TEXTS_LIMIT_BYTES)
def _claim_text(source: Source) -> str:
    """Whoever claims waits for whoever else does, at the oldest delivery, and then sees what is left; and as an older one may have come
    between, so that the two did not meet there, each delivery is locked and looked at again.
    """
    label, unit = quoted(source.label), _UNITS[source.collection["lease_until"].precision]
    free = f"{_DUE} AND NOT EXISTS {{ MATCH (o:{label}) WHERE {_HELD} }}"
    return (
        f"CALL () {{ MATCH (n:{label}) WHERE {_PENDING} WITH n ORDER BY n.outbox LIMIT 1 {locked('n')} }}"
        f" WITH datetime.truncate('{unit}', datetime.realtime('Z')) AS now"
        f" MATCH (n:{label}) WHERE {free} WITH now, n ORDER BY n.outbox LIMIT $limit"
        # All of their aggregates, as long as these are not too many; of the first in any case.
        " WITH now, n.noun AS noun, n.key AS key, min(n.outbox) AS first"
        f" MATCH (n:{label}) WHERE {_DUE} AND n.noun = noun AND n.key = key"
        " WITH now, first, collect(n) AS its ORDER BY first"
        " WITH now, reduce(some = [], its IN collect(its) |"
        " CASE WHEN size(some) = 0 OR size(some) + size(its) <= $limit THEN some + its ELSE some END) AS some"
        f" UNWIND some AS n WITH now, n ORDER BY n.outbox {locked('n')}"
        f" WITH now, collect(n) AS every UNWIND every AS n WITH now, n WHERE {free}"
        " SET n.lease_owner = $owner, n.lease_until = now + duration({milliseconds: $milliseconds})"
        f" WITH n ORDER BY n.outbox RETURN collect({source.shown_list(source.collection.names)})"
    )
