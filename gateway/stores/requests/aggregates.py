"""Rows that are measured by groups, per parent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar, Literal, Self, cast

from gateway.often import made_often
from gateway.stores.declarations import Collection, Column, Row, Type
from gateway.stores.requests.answers import Groups
from gateway.stores.requests.conditions import Where, both
from gateway.stores.requests.keys import is_fit, is_whole, joined, of_keys, parts_of, union
from gateway.stores.requests.reads import Match
from gateway.stores.requests.request import AGGREGATE, FILTER, NOTHING, Ability, Request
from gateway.stores.values import Checks

Interval = Literal["hour", "day", "week", "month"]


@dataclass(frozen=True, slots=True)
class Bucket:
    """The start of the UTC hour, day, week (Monday) or month that ``column``, a TIME, falls in."""

    column: str
    interval: Interval


@dataclass(frozen=True, slots=True)
class Measure:
    """What is worked out over the rows of a group. Nulls are left out; where there is nothing else it is null, a count 0.

    count          how many rows; it has no column
    min, max       of INT, FLOAT, DECIMAL, TIME, DATE, CLOCK, TEXT (by code point)
    sum            INT of INT, exact: OutOfRange beyond 64 bits. FLOAT of FLOAT, added exactly and rounded once (as ``math.fsum`` does),
                   whatever the order of the rows. That holds for values from 2**-71 to 2**62; with others among them the last digits
                   may differ between kinds of store, as PostgreSQL takes those as they are written, and MongoDB and Neo4j add them as
                   they do
                   DECIMAL of DECIMAL, exact
    avg            FLOAT: the sum, which for INT may be of any size, by the number of values. Of DECIMAL it is DECIMAL, of 34 digits
    """

    function: Literal["count", "min", "max", "sum", "avg"]
    column: str | None = None


@made_often
@dataclass(frozen=True, slots=True)
class Aggregate(Request[Groups]):
    """One row per group: the groups' values, then the measures. No groups: one row, or none where nothing matched.

    Rows come ordered by the groups in the order asked, ascending, nulls last. Without ``match`` the one parent is None.

    ``most`` ends an answer after so many rows, of all parents together and whichever they are: for who takes that many for too many.
    """

    operation: ClassVar[str] = "aggregate"

    collection: Collection
    groups: tuple[str | Bucket, ...]
    measures: tuple[Measure, ...]
    match: Match | None = None
    where: Where | None = None
    most: int | None = None

    @property
    def store(self) -> str:
        return self.collection.store

    @property
    def about(self) -> str:
        return self.collection.name

    @property
    def needs(self) -> frozenset[Ability]:
        return AGGREGATE | (FILTER if self.where is not None or self.collection.where is not None else NOTHING)

    @property
    def keys_count(self) -> int:
        return 0 if self.match is None else self.match.size

    def share_key(self) -> Any:
        by = None if self.match is None else self.match.column
        return (Aggregate, self.collection, by, self.groups, self.measures, self.where, self.most)

    def merged(self, others: Sequence[Self]) -> Self:
        if self.match is None or not others:
            return self
        keys = union(cast("Match", aggregate.match).keys for aggregate in (self, *others))
        return replace(self, match=Match(self.match.column, keys))

    @property
    def is_plain(self) -> bool:
        return self.collection.where is None and (self.match is None or is_fit(self.match.keys))

    def filtered(self) -> Self:
        own = self.collection.where
        return self if own is None else replace(self, where=both(own, self.where))

    def split(self) -> Sequence[Self]:
        match = self.match
        if match is None:
            return (self,)
        if is_fit(match.keys):
            return (self,)
        parts = parts_of(match.keys)
        return (self,) if is_whole(parts, match.keys) else [replace(self, match=Match(match.column, part)) for part in parts]

    def joined(self, answers: Sequence[Groups]) -> Groups:
        return joined(answers)

    def part_of(self, answer: Groups, merged: Self) -> Groups:
        return answer if merged is self or self.match is None else of_keys(answer, self.match.keys)

    def narrowed(self, collection: Collection, where: Where) -> Self:
        return self if collection is not self.collection else replace(self, where=both(where, self.where))

    @property
    def group_columns(self) -> tuple[Column, ...]:
        """Return the columns that rows are grouped by."""
        return tuple([self.collection[group.column if isinstance(group, Bucket) else group] for group in self.groups])

    def rows_in(self, answer: Groups) -> int:
        return sum(map(len, answer.values()))

    @property
    def checks(self) -> Checks:
        return _checks_of_groups(self.collection, self.groups, self.measures)

    def rows_of(self, answer: Groups) -> Sequence[Row]:
        return [row for rows in answer.values() for row in rows]

    def with_rows(self, answer: Groups, made_of: Callable[[Row], Row]) -> Groups:
        return {key: list(map(made_of, rows)) for key, rows in answer.items()}


@lru_cache(maxsize=1_000)
def _checks_of_groups(collection: Collection, groups: tuple[str | Bucket, ...], measures: tuple[Measure, ...]) -> Checks:
    grouped = [collection[group.column if isinstance(group, Bucket) else group] for group in groups]
    return Checks([*grouped, *(_of_measure(collection, measure) for measure in measures)])


def _of_measure(collection: Collection, measure: Measure) -> Column:
    if measure.column is None:
        return Column("count", Type.INT)
    column = collection[measure.column]
    if measure.function != "avg":
        return column
    return Column(column.name, Type.DECIMAL if column.type is Type.DECIMAL else Type.FLOAT)
