"""The gateway's own tables: in each store that is written, beside what is written, so that one transaction holds both.

They are collections as others are, so that every kind of store has them by its own means. Names begin with ``crossgraph_`` (``OURS`` of
``stores/migrating.py``). Times are the gateway's clock where they tell when something was done, the database's where they are leases: of
milliseconds, which are what all kinds hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from gateway.stores.base import Collection, Column, Index, Type

PENDING, PARKED = "pending", "parked"  # states of a delivery; one that is done is gone
DUE = "2000-01-01T00:00:00.000Z"  # when a delivery is due at first: at once, whatever clocks say


@dataclass(frozen=True, slots=True)
class Tables:
    """The gateway's own collections of one store."""

    versions: Collection
    outbox: Collection
    deliveries: Collection
    applied: Collection
    idempotency: Collection
    audit: Collection
    leases: Collection

    @property
    def all(self) -> tuple[Collection, ...]:
        return (self.versions, self.outbox, self.deliveries, self.applied, self.idempotency, self.audit, self.leases)


@lru_cache(maxsize=256)
def tables_of(store: str) -> Tables:
    """Return the gateway's own collections of the store of this name: the same objects each time."""
    return Tables(
        # How often each aggregate was written, also of those that are gone: rows that were loaded have none, which is 0.
        versions=_own(
            store,
            "crossgraph_versions",
            Column("noun"),
            Column("key"),
            Column("version", Type.INT),
            Column("is_deleted", Type.BOOL),
            key=("noun", "key"),
        ),
        # One row for each write of an aggregate, with its whole state afterwards. ``id`` is in the order of time (``ids.py``), ``position``
        # in the order in which it can be read: given after the commit, without gaps (``feed.py``).
        outbox=_own(
            store,
            "crossgraph_outbox",
            Column("id"),
            Column("noun"),
            Column("key"),
            Column("epoch", Type.INT),
            Column("version", Type.INT),
            Column("action"),  # insert, update, delete
            Column("state", Type.JSON, nullable=True),  # all columns by name, as wire values; null where it was deleted
            Column("at", Type.TIME),
            Column("position", Type.INT, nullable=True),
            indexes=(Index(("noun", "key", "version"), unique=True), Index(("position",)), Index(("noun", "position"))),
        ),
        # One row for each target that has yet to hear of a row of the outbox.
        deliveries=_own(
            store,
            "crossgraph_deliveries",
            Column("outbox"),
            Column("target"),
            Column("noun"),
            Column("key"),
            Column("version", Type.INT),
            Column("state"),
            Column("attempts", Type.INT),
            Column("next_at", Type.TIME),
            Column("lease_owner", nullable=True),
            Column("lease_until", Type.TIME, nullable=True),
            Column("error", nullable=True),
            Column("payload", Type.JSON, nullable=True),  # what the writer told besides the state
            key=("outbox", "target"),
            indexes=(Index(("target", "state", "outbox")), Index(("target", "noun", "key"))),
        ),
        # Which version of each aggregate a target in this store has.
        applied=_own(
            store,
            "crossgraph_applied",
            Column("target"),
            Column("noun"),
            Column("key"),
            Column("epoch", Type.INT),
            Column("version", Type.INT),
            key=("target", "noun", "key"),
        ),
        idempotency=_own(
            store,
            "crossgraph_idempotency",
            Column("id"),  # who, which field and which key, in one text (``idempotency.py``)
            Column("hash"),
            Column("outcome", Type.JSON),
            Column("at", Type.TIME),
            indexes=(Index(("at",)),),
        ),
        audit=_own(
            store,
            "crossgraph_audit",
            Column("id"),
            Column("at", Type.TIME),
            Column("subject"),
            Column("request_id"),
            Column("field"),  # of the mutation
            Column("noun", nullable=True),
            Column("key", nullable=True),
            Column("action"),  # insert, update, delete, refused
            Column("version", Type.INT, nullable=True),
            Column("before", Type.JSON, nullable=True),
            Column("after", Type.JSON, nullable=True),
            Column("error", Type.JSON, nullable=True),
            indexes=(Index(("at",)), Index(("subject", "at")), Index(("noun", "key", "at"))),
        ),
        # One row for each thing that one process does at a time, and what it counts.
        leases=_own(
            store,
            "crossgraph_leases",
            Column("id"),
            Column("owner", nullable=True),
            Column("until", Type.TIME, nullable=True),
            Column("value", Type.INT),
        ),
    )


def _own(store: str, name: str, *columns: Column, key: tuple[str, ...] = ("id",), indexes: tuple[Index, ...] = ()) -> Collection:
    label = "".join(part.capitalize() for part in name.split("_"))
    return Collection(name=name, store=store, columns=columns, key=key, indexes=indexes, label=label, managed=True)
