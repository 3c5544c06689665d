"""Where a noun goes beside its home: what a graph declares, and the relay carries out (``Graph(replication=(...))``).

    replicate(posts, to=wrote, by="post_id", rows=lambda post: [(post["author_id"], post["id"])])
    replicate(users, to=people_in_mongodb)
    cascade(users, to=posts, by="author_id")
    follow_up(users, name="welcome", run=welcome)

Each is a target with a name of its own, and has deliveries of its own: one that cannot be reached holds up no other, and never the write.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.stores.base import Collection, Row, Value

AUDIT = "audit"  # the target that has the audit, where that is in a store of its own; no other has this name

State = Mapping[str, Value]  # an aggregate's row: every column of its collection, as wire values


@dataclass(frozen=True, slots=True)
class Replica:
    """Rows of ``target`` that follow from a row of ``source``: those that ``rows`` gives, with all columns in the collection's order.

    ``by`` is the column of ``target`` that has the key of the source: the aggregate's rows there are those that have it, and what is no
    more among them is deleted. ``""``: they are only added, and stay.
    """

    name: str
    source: Collection
    target: Collection
    by: str
    rows: Callable[[State], Iterable[Row]]


@dataclass(frozen=True, slots=True)
class Copied:
    """The ``rows`` of a copy: one, of the columns of the same names."""

    names: tuple[str, ...]

    def __call__(self, state: State) -> Iterable[Row]:
        return (tuple([state[column] for column in self.names]),)


@dataclass(frozen=True, slots=True)
class Cascade:
    """Rows of ``target`` whose column ``by`` has the key of a deleted row of ``source``: they are deleted as writes of their own."""

    name: str
    source: Collection
    target: Collection
    by: str


@dataclass(frozen=True, slots=True)
class FollowUp:
    """What is done after a write of ``source`` that asked for it (``Transaction.deliver``): at least once, so ``run`` must be repeatable.

    ``run(ctx, state, payload)`` has the row as it was written, and what the writer told.
    """

    name: str
    source: Collection
    run: Callable[[Any, State, Any], Awaitable[None]]


Target = Replica | Cascade | FollowUp


def ends_of(target: Target) -> tuple[Collection, ...]:
    """Return the collections of a target: where it is from, and where it leads."""
    return (target.source,) if isinstance(target, FollowUp) else (target.source, target.target)


def replicate(
    source: Collection,
    *,
    to: Collection,
    by: str | None = None,
    rows: Callable[[State], Iterable[Row]] | None = None,
    name: str = "",
) -> Replica:
    """Keep ``to`` in step with ``source``. Without ``rows`` it is a copy: of the columns of the same name, by its own key."""
    return Replica(name or f"{source.name}>{to.name}", source, to, to.key_name if by is None else by, rows or Copied(to.names))


def cascade(source: Collection, *, to: Collection, by: str, name: str = "") -> Cascade:
    """Delete what belongs to a row of ``source`` when that is deleted."""
    return Cascade(name or f"{source.name}>{to.name}.{by}", source, to, by)


def follow_up(source: Collection, *, name: str, run: Callable[[Any, State, Any], Awaitable[None]]) -> FollowUp:
    """Have ``run`` done after those writes of ``source`` that ask for it by ``name``: ``tx.deliver(name, source, key, payload)``."""
    return FollowUp(name, source, run)
