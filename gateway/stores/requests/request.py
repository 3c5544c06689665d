"""One thing that a store is asked, as an object that says itself how it shares a call, how it is split, narrowed and counted.

A request is data, and it is never changed: ``merged``, ``split`` and ``narrowed`` give others. What a store does with it is the store's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar, get_args

from gateway.errors import StoreMisbehaved
from gateway.stores.declarations import Collection, Row
from gateway.stores.requests.conditions import Where
from gateway.stores.values import Checks

A = TypeVar("A", covariant=True)  # what a request is answered with


Ability = Literal["page", "count", "filter", "aggregate", "native", "write", "transact", "migrate"]
"""What not every kind of store can do; what all can is a Get without a condition.

    page       rows of many keys of a column, or all, in an order and by pages: a Fetch
    count      how many they are in all, besides
    filter     leave out what a condition does not hold for, whoever asked for that: where, and all that a layer narrows
    aggregate  an Aggregate
    native     a NativeCall
    write      an Upsert and a Delete
    transact   several requests that happen or do not as one: an Insert, an Update, a Remove, and what a log of writes is kept by
    migrate    create what is missing
"""
ABILITIES: frozenset[Ability] = frozenset(get_args(Ability))

NOTHING: frozenset[Ability] = frozenset()
PAGE: frozenset[Ability] = frozenset({"page"})
COUNT: frozenset[Ability] = frozenset({"count"})
FILTER: frozenset[Ability] = frozenset({"filter"})
AGGREGATE: frozenset[Ability] = frozenset({"aggregate"})
NATIVE: frozenset[Ability] = frozenset({"native"})
WRITE: frozenset[Ability] = frozenset({"write"})
TRANSACT: frozenset[Ability] = frozenset({"transact"})


class Request(ABC, Generic[A]):
    """One thing that a store is asked, and answers with an ``A``."""

    __slots__ = ()

    operation: ClassVar[str]
    is_write: ClassVar[bool] = False

    @property
    @abstractmethod
    def store(self) -> str:
        """The name of the store."""

    @property
    @abstractmethod
    def about(self) -> str:
        """The name of the collection or native query: under it calls are counted and traced."""

    @property
    @abstractmethod
    def keys_count(self) -> int:
        """How many keys, pairs or rows it has; 0 for one that asks for all."""

    @property
    def needs(self) -> frozenset[Ability]:
        """Return what a kind of store has to be able to do for it, beyond what all can."""
        return frozenset()

    def share_key(self) -> Any:
        """Return what two requests must have in common to share a call, hashable; None for one that shares with none."""
        return None

    def merged(self, others: Sequence[Self]) -> Self:
        """Return one request for this one and ``others``, all of the same ``share_key``."""
        if others:
            raise StoreMisbehaved(
                f"a {self.operation} of {self.about} shares its call with no other request, asked to share with {len(others)}"
            )
        return self

    @property
    def is_plain(self) -> bool:
        """Whether it is what ``filtered`` and ``split`` would give, by a look that costs little; False where that takes more."""
        return False

    def filtered(self) -> Self:
        """Return it as if rows were not there for which their collection's own condition does not hold."""
        return self

    def split(self) -> Sequence[Self]:
        """Return it in parts that a store takes: unique keys, not too many. None at all where there is nothing to ask."""
        return (self,)

    def joined(self, answers: Sequence[Any]) -> A:
        """Return the answer of its parts' ``answers``, one for each."""
        answer: A = answers[0]
        return answer

    def part_of(self, answer: Any, merged: Self) -> A:  # noqa: ARG002 - those that share a call have a use for it
        """Return what of the answer to ``merged`` is its own: its keys, its columns in its order."""
        own: A = answer
        return own

    @abstractmethod
    def narrowed(self, collection: Collection, where: Where) -> Self:
        """Return it as if rows of ``collection`` that ``where`` does not hold for were not there; itself where it reads none of it.

        NarrowingRefused where that cannot be said.
        """

    def rows_in(self, answer: Any) -> int:  # noqa: ARG002
        """Return the number of rows of an answer, for traces."""
        return 0

    @property
    def checks(self) -> Checks | None:
        """What the columns of its rows may hold; None where it is answered with none."""
        return None

    def rows_of(self, answer: Any) -> Sequence[Row]:  # noqa: ARG002
        """Return all rows of an answer."""
        return ()

    def with_rows(self, answer: Any, made_of: Callable[[Row], Row]) -> A:  # noqa: ARG002
        """Return the answer with another row in place of each."""
        same: A = answer
        return same
