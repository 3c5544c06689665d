"""What a log of writes is kept by, beside rows: versions that count up, gates that let only newer ones pass, deliveries that are claimed.

They are of the gateway's own collections (``gateway/writes/tables.py``), and need to be one step in the database, which a read and a write
are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from gateway.errors import NarrowingRefused
from gateway.stores.declarations import Collection, Key, Row
from gateway.stores.requests.conditions import Where
from gateway.stores.requests.request import TRANSACT, A, Ability, Request


@dataclass(frozen=True, slots=True)
class _OfLog(Request[A]):
    is_write: ClassVar[bool] = True

    collection: Collection

    @property
    def store(self) -> str:
        return self.collection.store

    @property
    def about(self) -> str:
        return self.collection.name

    @property
    def needs(self) -> frozenset[Ability]:
        return TRANSACT

    def narrowed(self, collection: Collection, where: Where) -> Self:  # noqa: ARG002 - no rule of a client's is about them
        if collection is self.collection:
            raise NarrowingRefused(self.operation, collection.name, "it is the gateway's own")
        return self


@dataclass(frozen=True, slots=True)
class Bump(_OfLog[Mapping[Key, int]]):
    """Count the version of each aggregate up by one, from 0 where it has none yet, and lock it to the transaction's end.

    ``collection`` is ``tables.versions``: its key is (noun, key). Answered with the new version by key. ``is_deleted`` is kept with it.
    """

    operation: ClassVar[str] = "bump"

    collection: Collection
    noun: str
    keys: Sequence[Key]  # unique
    is_deleted: bool = False

    @property
    def keys_count(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class Advance(_OfLog[frozenset[Key]]):
    """Let newer versions pass at a target: keep (epoch, version) of each key where it is greater than what is kept, and lock it.

    ``collection`` is ``tables.applied``: its key is (target, noun, key). Answered with the keys that advanced; those not in it have that
    version or a newer one already. The lock comes before the comparison: of two at once the newer wins, whoever comes first.
    """

    operation: ClassVar[str] = "advance"

    collection: Collection
    target: str
    noun: str
    items: Sequence[tuple[Key, int, int]]  # key, epoch, version; keys are unique

    @property
    def keys_count(self) -> int:
        return len(self.items)


@dataclass(frozen=True, slots=True)
class Claim(_OfLog[Sequence[Row]]):
    """Lease up to ``limit`` deliveries for one target, oldest first: pending, due, leased by nobody, their aggregate neither.

    ``collection`` is ``tables.deliveries``. "Now" is the database's clock. Answered with their rows in all columns. Two that claim at the
    same time get different ones. Of an aggregate all that are due are claimed together, or none: while another holds a lease on one of
    them, none is given out.
    """

    operation: ClassVar[str] = "claim"

    collection: Collection
    target: str
    owner: str
    limit: int
    seconds: float

    @property
    def keys_count(self) -> int:
        return self.limit
