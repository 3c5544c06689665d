"""What a graph declares of its writes, looked up by what is written: whose targets, and where the audit is."""

from __future__ import annotations

import time
from collections.abc import Collection as Names
from collections.abc import Sequence

from gateway.stores.base import Collection
from gateway.writes.declarations import Cascade, FollowUp, Replica, Target

EPOCH_S = 5.0  # how old an epoch may be that was read, and whether a store has fences


class Replication:
    """The targets of a graph by their source. ``audit`` is the store that has the audit of all; None: each has its own.

    ``stores`` are those with tables of the gateway's own, by name. Knows the epochs of stores as they were read last,
    and which stores of their databases have fences (``placing.py``).
    """

    def __init__(self, targets: Sequence[Target] = (), audit: str | None = None, stores: Names[str] = ()) -> None:
        self.targets = tuple(targets)
        self.audit = audit
        self.stores = frozenset(stores)
        self._epochs: dict[str, tuple[float, int, frozenset[str]]] = {}
        self._always: dict[Collection, tuple[str, ...]] = {}
        self._deleted: dict[Collection, tuple[str, ...]] = {}
        self._asked: dict[Collection, tuple[str, ...]] = {}
        of_type = {Replica: self._always, Cascade: self._deleted, FollowUp: self._asked}
        for target in targets:
            by_source = of_type[type(target)]
            by_source[target.source] = (*by_source.get(target.source, ()), target.name)

    def told_of(self, collection: Collection, *, is_deleted: bool) -> tuple[str, ...]:
        """Return the targets that hear of every write of a collection, or of each that deletes."""
        always = self._always.get(collection, ())
        return (*always, *self._deleted.get(collection, ())) if is_deleted else always

    def follow_ups(self, collection: Collection) -> tuple[str, ...]:
        """Return the targets that hear of a write where its writer asks for it."""
        return self._asked.get(collection, ())

    def epoch(self, store: str) -> int | None:
        """Return the epoch of a store as it was read a moment ago; None where it has to be read."""
        found = self._epochs.get(store)
        return found[1] if found is not None and time.monotonic() - found[0] < EPOCH_S else None

    def fenced(self, store: str) -> frozenset[str]:
        """Return the stores with fences in the database of this one, as they were read with its epoch."""
        found = self._epochs.get(store)
        return found[2] if found is not None else frozenset()

    def found_epoch(self, store: str, epoch: int, fenced: frozenset[str] = frozenset(), at: float | None = None) -> None:
        """Keep what was read, which was so at this time of the monotonic clock: a transaction may see what was at its begin."""
        self._epochs[store] = (time.monotonic() if at is None else at, epoch, fenced)


NOTHING_DECLARED = Replication()
