"""Rows by a unique column, and rows in an order, a page of them per parent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, ClassVar, Protocol, Self, cast, runtime_checkable

from gateway.often import made_often
from gateway.stores.declarations import Collection, Key, Row, Value
from gateway.stores.requests.answers import Rows, Slice, Slices
from gateway.stores.requests.conditions import Where, both
from gateway.stores.requests.keys import has_more_than_a_call, is_fit, is_whole, joined, of_keys, pair_parts, parts_of, picker, union
from gateway.stores.requests.orders import Order, ranker, total_order
from gateway.stores.requests.request import COUNT, FILTER, NOTHING, PAGE, Ability, Request
from gateway.stores.values import Checks, checks_of

_rows = attrgetter("rows")


@made_often
@dataclass(frozen=True, slots=True)
class Page:
    """``limit`` rows from the front, or from the back when ``backward``, strictly between ``after`` and ``before``.

    ``after`` and ``before`` hold one value per column of ``total_order(...)``, in that order.
    """

    limit: int
    backward: bool = False
    after: tuple[Value, ...] | None = None
    before: tuple[Value, ...] | None = None


@made_often
@dataclass(frozen=True, slots=True)
class Match:
    """Rows whose ``column`` is one of ``keys``; the answer is grouped by that key. Keys may repeat."""

    column: str
    keys: Sequence[Key]

    @property
    def size(self) -> int:
        return len(self.keys)


@made_often
@dataclass(frozen=True, slots=True)
class Pairs:
    """Rows whose ``column`` is the second of a pair; the answer is grouped by the first (many-to-many). Pairs may repeat."""

    column: str
    pairs: Sequence[tuple[Key, Key]]

    @property
    def size(self) -> int:
        return len(self.pairs)


@dataclass(frozen=True, slots=True)
class Ends:
    """Rows at the other ends of edges: whose key an edge has in ``node`` that has one of ``keys`` in ``parent``; grouped by these.

    Only for a store that ``Joins``, which has both collections. ``where`` is of the edges. A row is once in a group, however many edges
    lead to it.
    """

    edges: Collection
    parent: str
    node: str
    keys: Sequence[Key]
    where: Where | None = None

    @property
    def size(self) -> int:
        return len(self.keys)


@runtime_checkable
class Joins(Protocol):
    """A store that can follow edges to their ends in one call."""

    def joins(self, collection: Collection, ends: Ends) -> bool:
        """Return whether it can follow these, to rows of ``collection``: where keys are equal in the database when they are here."""
        ...


@made_often
@dataclass(frozen=True, slots=True)
class Get(Request[Rows]):
    """Rows by a unique column: at most one row per key. A key is absent where its row does not match ``where``."""

    operation: ClassVar[str] = "get"

    collection: Collection
    columns: tuple[str, ...]
    keys: Sequence[Key]
    column: str = "id"
    where: Where | None = None

    @property
    def store(self) -> str:
        return self.collection.store

    @property
    def about(self) -> str:
        return self.collection.name

    @property
    def needs(self) -> frozenset[Ability]:
        return FILTER if self.where is not None or self.collection.where is not None else NOTHING

    @property
    def keys_count(self) -> int:
        return len(self.keys)

    def share_key(self) -> Any:
        return (Get, self.collection, self.column, self.where)

    def merged(self, others: Sequence[Self]) -> Self:
        if not others:
            return self
        every = (self, *others)
        return replace(self, columns=tuple(union(get.columns for get in every)), keys=union(get.keys for get in every))

    @property
    def is_plain(self) -> bool:
        return self.collection.where is None and is_fit(self.keys)

    def filtered(self) -> Self:
        own = self.collection.where
        return self if own is None else replace(self, where=both(own, self.where))

    def split(self) -> Sequence[Self]:
        if is_fit(self.keys):
            return (self,)
        parts = parts_of(self.keys)
        return (self,) if is_whole(parts, self.keys) else [replace(self, keys=part) for part in parts]

    def joined(self, answers: Sequence[Rows]) -> Rows:
        return joined(answers)

    def part_of(self, answer: Rows, merged: Self) -> Rows:
        if merged is self:
            return answer
        if self.columns == merged.columns:
            return of_keys(answer, self.keys)
        pick = picker(self.columns, merged.columns)
        return {key: pick(answer[key]) for key in self.keys if key in answer}

    def narrowed(self, collection: Collection, where: Where) -> Self:
        return self if collection is not self.collection else replace(self, where=both(where, self.where))

    def rows_in(self, answer: Rows) -> int:
        return len(answer)

    @property
    def checks(self) -> Checks:
        return checks_of(self.collection, self.columns)

    def rows_of(self, answer: Rows) -> Sequence[Row]:
        return list(answer.values())

    def with_rows(self, answer: Rows, made_of: Callable[[Row], Row]) -> Rows:
        return {key: made_of(row) for key, row in answer.items()}


@made_often
@dataclass(frozen=True, slots=True)
class Fetch(Request[Slices]):
    """Rows in order, a page of them per parent. Without ``match`` there is one group, ``None``. Without ``page`` all rows.

    ``count`` asks for the number of rows that match, whatever the page.
    """

    operation: ClassVar[str] = "fetch"

    collection: Collection
    columns: tuple[str, ...]
    match: Match | Pairs | Ends | None = None
    where: Where | None = None
    order: tuple[Order, ...] = ()
    page: Page | None = None
    count: bool = False

    @property
    def store(self) -> str:
        return self.collection.store

    @property
    def about(self) -> str:
        return self.collection.name

    @property
    def needs(self) -> frozenset[Ability]:
        filters = self.where is not None or self.collection.where is not None
        if isinstance(self.match, Ends):
            filters = filters or self.match.where is not None or self.match.edges.where is not None
        return PAGE | (COUNT if self.count else NOTHING) | (FILTER if filters else NOTHING)

    @property
    def keys_count(self) -> int:
        return 0 if self.match is None else self.match.size

    def share_key(self) -> Any:
        if self.match is None:
            by = None
        elif isinstance(self.match, Match):
            by = self.match.column
        else:
            # Two edges would mix under one parent: following and followers of one user are different pairs, and different ends.
            return None
        return (Fetch, self.collection, by, self.where, self.order, self.page, self.count)

    def merged(self, others: Sequence[Self]) -> Self:
        if not others:
            return self
        every = (self, *others)
        columns = tuple(union(fetch.columns for fetch in every))
        if self.match is None:
            return replace(self, columns=columns)
        keys = union(cast("Match", fetch.match).keys for fetch in every)
        return replace(self, columns=columns, match=replace(cast("Match", self.match), keys=keys))

    @property
    def is_plain(self) -> bool:
        match = self.match
        return self.collection.where is None and (match is None or (type(match) is Match and is_fit(match.keys)))

    def filtered(self) -> Self:
        own, match = self.collection.where, self.match
        if isinstance(match, Ends) and match.edges.where is not None:
            return replace(self, where=both(own, self.where), match=replace(match, where=both(match.edges.where, match.where)))
        return self if own is None else replace(self, where=both(own, self.where))

    def split(self) -> Sequence[Self]:
        match = self.match
        if match is None:
            return (self,)
        if isinstance(match, Pairs):
            columns = self._columns_to_merge if has_more_than_a_call(match.pairs) else self.columns
            return [replace(self, columns=columns, match=Pairs(match.column, part)) for part in pair_parts(match.pairs)]
        if is_fit(match.keys):
            return (self,)
        parts = parts_of(match.keys)
        return (self,) if is_whole(parts, match.keys) else [replace(self, match=replace(match, keys=part)) for part in parts]

    def joined(self, answers: Sequence[Slices]) -> Slices:
        if isinstance(self.match, Pairs) and has_more_than_a_call(self.match.pairs):
            return self._merged_pages(answers)
        return joined(answers)

    @property
    def _columns_to_merge(self) -> tuple[str, ...]:
        """The columns by which parts of one parent's page are put in order, behind its own."""
        return (*self.columns, *(o.column for o in total_order(self.collection, self.order) if o.column not in self.columns))

    def _merged_pages(self, answers: Sequence[Slices]) -> Slices:
        """Return the pages of parents whose pairs were asked in several calls: each pair is in one, so no row is in two."""
        order, columns = total_order(self.collection, self.order), self._columns_to_merge
        slots = [columns.index(item.column) for item in order]
        rank_of, pick, page = ranker(self.collection, order), picker(self.columns, columns), self.page
        merged: dict[Key | None, Slice] = {}
        for parent in dict.fromkeys([parent for answer in answers for parent in answer]):
            parts = [answer[parent] for answer in answers if parent in answer]
            rows = [row for part in parts for row in part.rows]
            if len(parts) > 1:
                rows.sort(key=lambda row: rank_of([row[slot] for slot in slots]))
            more = any(part.more for part in parts)
            if page is not None and len(rows) > page.limit:
                rows, more = rows[len(rows) - page.limit :] if page.backward else rows[: page.limit], True
            merged[parent] = Slice(list(map(pick, rows)), more, sum(part.total or 0 for part in parts) if self.count else None)
        return merged

    def part_of(self, answer: Slices, merged: Self) -> Slices:
        if merged is self:
            return answer
        if isinstance(self.match, Match):
            answer = of_keys(answer, self.match.keys)
        if self.columns == merged.columns:
            return answer
        pick = picker(self.columns, merged.columns)
        return {key: Slice([pick(row) for row in part.rows], part.more, part.total) for key, part in answer.items()}

    def narrowed(self, collection: Collection, where: Where) -> Self:
        narrowed, match = self, self.match
        if isinstance(match, Ends) and collection is match.edges:
            narrowed = replace(narrowed, match=replace(match, where=both(where, match.where)))
        return narrowed if collection is not self.collection else replace(narrowed, where=both(where, self.where))

    def rows_in(self, answer: Slices) -> int:
        if len(answer) == 1:
            (part,) = answer.values()
            return len(part.rows)
        return sum(map(len, map(_rows, answer.values())))

    @property
    def checks(self) -> Checks:
        return checks_of(self.collection, self.columns)

    def rows_of(self, answer: Slices) -> Sequence[Row]:
        if len(answer) == 1:
            return next(iter(answer.values())).rows
        return [row for part in answer.values() for row in part.rows]

    def with_rows(self, answer: Slices, made_of: Callable[[Row], Row]) -> Slices:
        return {key: part._replace(rows=list(map(made_of, part.rows))) for key, part in answer.items()}
