"""What a store is asked, as objects that say themselves how they share a call, how they are split, narrowed and counted.

A request is data, and it is never changed: ``merged``, ``split`` and ``narrowed`` give others. What a store does with it is the store's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from operator import itemgetter
from typing import Any, ClassVar, Generic, Literal, NamedTuple, Self, TypeVar, cast, get_args

from gateway.errors import NarrowingRefused, NativeQueryMissing, StoreMisbehaved
from gateway.stores.declarations import Collection, Column, Key, Row, Type, Value
from gateway.stores.values import Checks, checks_of

KEYS_PER_CALL = 1_000  # a batch of more keys is split
PAIRS_PER_CALL = 10_000

A = TypeVar("A", covariant=True)  # what a request is answered with

Ability = Literal["page", "count", "filter", "aggregate", "native", "write", "migrate"]
"""What not every kind of store can do; what all can is a Get without a condition.

    page       rows of many keys of a column, or all, in an order and by pages: a Fetch
    count      how many they are in all, besides
    filter     leave out what a condition does not hold for, whoever asked for that: where, and all that a layer narrows
    aggregate  an Aggregate
    native     a NativeCall
    write      an Upsert and a Delete
    migrate    create what is missing
"""
ABILITIES: frozenset[Ability] = frozenset(get_args(Ability))

_NOTHING: frozenset[Ability] = frozenset()
_PAGE: frozenset[Ability] = frozenset({"page"})
_COUNT: frozenset[Ability] = frozenset({"count"})
_FILTER: frozenset[Ability] = frozenset({"filter"})
_AGGREGATE: frozenset[Ability] = frozenset({"aggregate"})
_NATIVE: frozenset[Ability] = frozenset({"native"})
_WRITE: frozenset[Ability] = frozenset({"write"})

# -------------------------------------------------------------------------------------------------------------- filters

Op = Literal["eq", "ne", "in", "gt", "gte", "lt", "lte", "contains", "starts_with"]


@dataclass(frozen=True, slots=True)
class Compare:
    """Two-valued: false when the column or ``value`` is null, except that eq/ne None mean "is null"/"is not null".

    ``ne`` is the exact negation of ``eq``. ``in`` takes a tuple; an empty one matches nothing. ``in`` None matches nothing.
    """

    column: str
    op: Op
    value: Value


@dataclass(frozen=True, slots=True)
class And:
    """True when all are; ``And(())`` matches everything."""

    items: tuple[Where, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """True when one is; ``Or(())`` matches nothing."""

    items: tuple[Where, ...]


@dataclass(frozen=True, slots=True)
class Not:
    item: Where


Where = Compare | And | Or | Not


def both(first: Where | None, second: Where | None) -> Where | None:
    """Return the condition that holds where both do; None always does."""
    if first is None or second is None:
        return first if second is None else second
    return And((first, second))


# -------------------------------------------------------------------------------------------------------------- answers


class Slice(NamedTuple):
    """One parent's page, always in the asked order (backward pages too)."""

    rows: Sequence[Row]
    more: bool = False  # there is another row in the direction of paging; exact
    total: int | None = None  # only when asked


_new_tuple = tuple.__new__


def slice_of(rows: Sequence[Row], more: bool) -> Slice:
    """Return ``Slice(rows, more)``. PERF: in 0.09 µs instead of 0.25, and there is one for every parent."""
    return _new_tuple(Slice, (rows, more, None))


EMPTY = Slice((), False, 0)  # what a parent that is absent from an answer has

Rows = Mapping[Key, Row]  # answer of a Get: keys without a row are absent
Slices = Mapping[Key | None, Slice]  # answer of a Fetch: parents with nothing may be absent
Groups = Mapping[Key | None, Sequence[Row]]  # answer of an Aggregate or a native query; likewise


# --------------------------------------------------------------------------------------------------- parts of a request


class UniqueKeys(list[Key]):
    """Keys of which no two are equal, by the word of who made the list, so that nobody looks again."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Order:
    column: str
    descending: bool = False  # nulls are last either way


@dataclass(frozen=True, slots=True)
class Page:
    """``limit`` rows from the front, or from the back when ``backward``, strictly between ``after`` and ``before``.

    ``after`` and ``before`` hold one value per column of ``total_order(...)``, in that order.
    """

    limit: int
    backward: bool = False
    after: tuple[Value, ...] | None = None
    before: tuple[Value, ...] | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """Rows whose ``column`` is one of ``keys``; the answer is grouped by that key. Keys may repeat."""

    column: str
    keys: Sequence[Key]

    @property
    def size(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Rows whose ``column`` is the second of a pair; the answer is grouped by the first (many-to-many). Pairs may repeat."""

    column: str
    pairs: Sequence[tuple[Key, Key]]

    @property
    def size(self) -> int:
        return len(self.pairs)


# ------------------------------------------------------------------------------------------------------------- requests


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
        return _FILTER if self.where is not None else _NOTHING

    @property
    def keys_count(self) -> int:
        return len(self.keys)

    def share_key(self) -> Any:
        return (Get, self.collection, self.column, self.where)

    def merged(self, others: Sequence[Self]) -> Self:
        if not others:
            return self
        every = (self, *others)
        return replace(self, columns=tuple(_union(get.columns for get in every)), keys=_union(get.keys for get in every))

    def split(self) -> Sequence[Self]:
        if _is_fit(self.keys):
            return (self,)
        parts = _parts(self.keys)
        return (self,) if _is_whole(parts, self.keys) else [replace(self, keys=part) for part in parts]

    def joined(self, answers: Sequence[Rows]) -> Rows:
        return _joined(answers)

    def part_of(self, answer: Rows, merged: Self) -> Rows:
        if merged is self:
            return answer
        if self.columns == merged.columns:
            return _of_keys(answer, self.keys)
        pick = _picker(self.columns, merged.columns)
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


@dataclass(frozen=True, slots=True)
class Fetch(Request[Slices]):
    """Rows in order, a page of them per parent. Without ``match`` there is one group, ``None``. Without ``page`` all rows.

    ``count`` asks for the number of rows that match, whatever the page.
    """

    operation: ClassVar[str] = "fetch"

    collection: Collection
    columns: tuple[str, ...]
    match: Match | Pairs | None = None
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
        return _PAGE | (_COUNT if self.count else _NOTHING) | (_FILTER if self.where is not None else _NOTHING)

    @property
    def keys_count(self) -> int:
        return 0 if self.match is None else self.match.size

    def share_key(self) -> Any:
        if self.match is None:
            by = None
        elif isinstance(self.match, Match):
            by = self.match.column
        else:
            # Pairs of two edges would mix under one parent: following and followers of one user are different pairs.
            return None
        return (Fetch, self.collection, by, self.where, self.order, self.page, self.count)

    def merged(self, others: Sequence[Self]) -> Self:
        if not others:
            return self
        every = (self, *others)
        columns = tuple(_union(fetch.columns for fetch in every))
        if self.match is None:
            return replace(self, columns=columns)
        keys = _union(cast("Match", fetch.match).keys for fetch in every)
        return replace(self, columns=columns, match=Match(self.match.column, keys))

    def split(self) -> Sequence[Self]:
        match = self.match
        if match is None:
            return (self,)
        if isinstance(match, Pairs):
            return [replace(self, match=Pairs(match.column, part)) for part in _pair_parts(match.pairs)]
        if _is_fit(match.keys):
            return (self,)
        parts = _parts(match.keys)
        return (self,) if _is_whole(parts, match.keys) else [replace(self, match=Match(match.column, part)) for part in parts]

    def joined(self, answers: Sequence[Slices]) -> Slices:
        return _joined(answers)

    def part_of(self, answer: Slices, merged: Self) -> Slices:
        if merged is self:
            return answer
        if isinstance(self.match, Match):
            answer = _of_keys(answer, self.match.keys)
        if self.columns == merged.columns:
            return answer
        pick = _picker(self.columns, merged.columns)
        return {key: Slice([pick(row) for row in part.rows], part.more, part.total) for key, part in answer.items()}

    def narrowed(self, collection: Collection, where: Where) -> Self:
        return self if collection is not self.collection else replace(self, where=both(where, self.where))

    def rows_in(self, answer: Slices) -> int:
        return sum(len(part.rows) for part in answer.values())

    @property
    def checks(self) -> Checks:
        return checks_of(self.collection, self.columns)

    def rows_of(self, answer: Slices) -> Sequence[Row]:
        if len(answer) == 1:
            return next(iter(answer.values())).rows
        return [row for part in answer.values() for row in part.rows]

    def with_rows(self, answer: Slices, made_of: Callable[[Row], Row]) -> Slices:
        return {key: part._replace(rows=list(map(made_of, part.rows))) for key, part in answer.items()}


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
    min, max       of INT, FLOAT, TIME, DATE, TEXT (by code point)
    sum            INT of INT, exact: OutOfRange beyond 64 bits. FLOAT of FLOAT, added exactly and rounded once (as ``math.fsum`` does),
                   whatever the order of the rows. That holds for values from 2**-71 to 2**62; with others among them the last digits
                   may differ between kinds of store, as PostgreSQL takes those as they are written, and MongoDB and Neo4j add them as
                   they do
    avg            FLOAT: the sum, which for INT may be of any size, by the number of values
    """

    function: Literal["count", "min", "max", "sum", "avg"]
    column: str | None = None


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
        return _AGGREGATE | (_FILTER if self.where is not None else _NOTHING)

    @property
    def keys_count(self) -> int:
        return 0 if self.match is None else self.match.size

    def share_key(self) -> Any:
        by = None if self.match is None else self.match.column
        return (Aggregate, self.collection, by, self.groups, self.measures, self.where, self.most)

    def merged(self, others: Sequence[Self]) -> Self:
        if self.match is None or not others:
            return self
        keys = _union(cast("Match", aggregate.match).keys for aggregate in (self, *others))
        return replace(self, match=Match(self.match.column, keys))

    def split(self) -> Sequence[Self]:
        match = self.match
        if match is None:
            return (self,)
        if _is_fit(match.keys):
            return (self,)
        parts = _parts(match.keys)
        return (self,) if _is_whole(parts, match.keys) else [replace(self, match=Match(match.column, part)) for part in parts]

    def joined(self, answers: Sequence[Groups]) -> Groups:
        return _joined(answers)

    def part_of(self, answer: Groups, merged: Self) -> Groups:
        return answer if merged is self or self.match is None else _of_keys(answer, self.match.keys)

    def narrowed(self, collection: Collection, where: Where) -> Self:
        return self if collection is not self.collection else replace(self, where=both(where, self.where))

    def rows_in(self, answer: Groups) -> int:
        return sum(map(len, answer.values()))

    @property
    def checks(self) -> Checks:
        return _checks_of_groups(self.collection, self.groups, self.measures)

    def rows_of(self, answer: Groups) -> Sequence[Row]:
        return [row for rows in answer.values() for row in rows]

    def with_rows(self, answer: Groups, made_of: Callable[[Row], Row]) -> Groups:
        return {key: list(map(made_of, rows)) for key, rows in answer.items()}


# -------------------------------------------------------------------------------------------------------- native queries

Tables = Callable[[str], list[dict[str, Value]]]  # the memory store's rows of a collection, by name
Narrowing = tuple[Collection, Where]


@dataclass(frozen=True, slots=True, eq=False)
class Native:
    """A query written by hand in each database's own language, batched by keys like everything else.

    ``queries`` has one per kind of store. Each answers rows of (parent key, *columns), in the order that counts within a parent:

        postgresql, sqlite   SQL, bound with ``:keys`` (a text[]; a JSON array) and the call's arguments, by name
        neo4j                Cypher, bound with ``$keys``, a list, and ``$argument``; ``{User}`` is a label or relationship type, which the
                             store may prefix, and real braces are doubled
        mongodb              a function of (keys, arguments, where) that gives (collection, pipeline), with documents
                             ``{"k": parent, "r": [values]}``
        memory               a function of (tables, keys, arguments) that gives the rows

    A call may be narrowed: rows of a collection are then to be read as if some were not there. ``reads`` are the collections whose rows
    it reads; None says that nobody knows, so that it is refused for all that its text does not name. SQL and Cypher say where the
    condition on a collection stands, at each place where its rows are read: ``{where:likes:l}`` becomes ``WHERE`` and the condition,
    ``{and:likes:l}`` ``AND`` and the condition, both nothing at all where there is none. The last part is the alias of the table in SQL,
    the variable of the node in Cypher, or those of a relationship and its ends: ``{and:likes:user,l,post}``. MongoDB's function puts
    ``where("likes")``, a query, wherever it reads them; what ``tables`` gives is narrowed already. Names that begin with ``where_``
    are not for arguments.
    """

    name: str
    store: str
    columns: tuple[Column, ...]
    queries: Mapping[str, Any] = field(default_factory=dict)
    reads: tuple[Collection, ...] | None = None

    def query(self, kind: str) -> Any:
        """Return the query for a kind of store; NativeQueryMissing where there is none."""
        query = self.queries.get(kind)
        if query is None:
            raise NativeQueryMissing(self.name, kind=kind, has=tuple(self.queries))
        return query


@dataclass(frozen=True, slots=True)
class NativeCall(Request[Groups]):
    operation: ClassVar[str] = "native"

    native: Native
    keys: Sequence[Key]
    arguments: Mapping[str, Value]
    narrowings: tuple[Narrowing, ...] = ()  # at most one of each collection

    @property
    def store(self) -> str:
        return self.native.store

    @property
    def about(self) -> str:
        return self.native.name

    @property
    def needs(self) -> frozenset[Ability]:
        return _NATIVE | (_FILTER if self.narrowings else _NOTHING)

    @property
    def keys_count(self) -> int:
        return len(self.keys)

    def share_key(self) -> Any:
        return (NativeCall, self.native, frozen(self.arguments), self.narrowings)

    def merged(self, others: Sequence[Self]) -> Self:
        return replace(self, keys=_union(call.keys for call in (self, *others))) if others else self

    def split(self) -> Sequence[Self]:
        if _is_fit(self.keys):
            return (self,)
        parts = _parts(self.keys)
        return (self,) if _is_whole(parts, self.keys) else [replace(self, keys=part) for part in parts]

    def joined(self, answers: Sequence[Groups]) -> Groups:
        return _joined(answers)

    def part_of(self, answer: Groups, merged: Self) -> Groups:
        return answer if merged is self else _of_keys(answer, self.keys)

    def narrowed(self, collection: Collection, where: Where) -> Self:
        if self.native.reads is not None and collection not in self.native.reads:
            return self
        taken = next((name for name in self.arguments if name.startswith("where_")), None)
        if taken is not None:
            raise NarrowingRefused(self.native.name, collection.name, f"its argument {taken} has a name of ours")
        conditions = dict(self.narrowings)
        conditions[collection] = cast("Where", both(where, conditions.get(collection)))
        return replace(self, narrowings=tuple(conditions.items()))

    def rows_in(self, answer: Groups) -> int:
        return sum(map(len, answer.values()))

    @property
    def checks(self) -> Checks:
        return _checks_of_native(self.native)

    def rows_of(self, answer: Groups) -> Sequence[Row]:
        return [row for rows in answer.values() for row in rows]

    def with_rows(self, answer: Groups, made_of: Callable[[Row], Row]) -> Groups:
        return {key: list(map(made_of, rows)) for key, rows in answer.items()}


# --------------------------------------------------------------------------------------------------------------- writes


@dataclass(frozen=True, slots=True)
class _Write(Request[None]):
    is_write: ClassVar[bool] = True
    does: ClassVar[str]  # to rows of its keys

    collection: Collection

    @property
    def store(self) -> str:
        return self.collection.store

    @property
    def about(self) -> str:
        return self.collection.name

    @property
    def needs(self) -> frozenset[Ability]:
        return _WRITE

    def split(self) -> Sequence[Self]:
        return (self,) if self.keys_count else ()

    def joined(self, answers: Sequence[None]) -> None:  # noqa: ARG002 - there is nothing in them
        return None

    def narrowed(self, collection: Collection, where: Where) -> Self:  # noqa: ARG002 - no condition can be kept
        if collection is self.collection:
            raise NarrowingRefused(self.operation, collection.name, f"it {self.does} the rows of its keys, whatever they are")
        return self


@dataclass(frozen=True, slots=True)
class Upsert(_Write):
    """Insert rows, or replace those with the same key. All columns, in the collection's order. All or nothing per call."""

    operation: ClassVar[str] = "upsert"
    does: ClassVar[str] = "replaces"

    rows: Sequence[Row]

    @property
    def keys_count(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class Delete(_Write):
    """Delete by key (one tuple of the key columns' values per row). Missing keys are no error."""

    operation: ClassVar[str] = "delete"
    does: ClassVar[str] = "deletes"

    keys: Sequence[tuple[Key, ...]]

    @property
    def keys_count(self) -> int:
        return len(self.keys)


# --------------------------------------------------------------------------------------------------------------- pieces

_K = TypeVar("_K")
_V = TypeVar("_V")


@lru_cache(maxsize=1_000)
def _checks_of_groups(collection: Collection, groups: tuple[str | Bucket, ...], measures: tuple[Measure, ...]) -> Checks:
    grouped = [collection[group.column if isinstance(group, Bucket) else group] for group in groups]
    return Checks([*grouped, *(_of_measure(collection, measure) for measure in measures)])


def _of_measure(collection: Collection, measure: Measure) -> Column:
    if measure.column is None:
        return Column("count", Type.INT)
    return Column(measure.column, Type.FLOAT) if measure.function == "avg" else collection[measure.column]


@lru_cache(maxsize=1_000)
def _checks_of_native(native: Native) -> Checks:
    return Checks(native.columns)


def frozen(arguments: Any) -> Any:
    """Return arguments as a key of a mapping: lists and objects inside of them are told apart by what they hold, 1 and true too."""
    if isinstance(arguments, Mapping):
        return (dict, *((name, frozen(arguments[name])) for name in sorted(arguments)))
    if isinstance(arguments, (list, tuple)):
        return (list, *map(frozen, arguments))
    return (type(arguments), arguments)


def _union(parts: Iterable[Sequence[Key]]) -> UniqueKeys:
    return UniqueKeys(dict.fromkeys([item for part in parts for item in part]))


def _of_keys(answer: Mapping[_K, _V], keys: Iterable[_K]) -> dict[_K, _V]:
    return {key: answer[key] for key in keys if key in answer}


def _picker(columns: tuple[str, ...], of: tuple[str, ...]) -> Callable[[Row], Row]:
    """Return a function from a row of the columns ``of`` to the same row of ``columns``."""
    positions = [of.index(name) for name in columns]
    if len(positions) > 1:
        return cast("Callable[[Row], Row]", itemgetter(*positions))
    return lambda row: tuple([row[position] for position in positions])  # itemgetter would give the value itself, or takes none


def _is_fit(keys: Sequence[Key]) -> bool:
    return type(keys) is UniqueKeys and 0 < len(keys) <= KEYS_PER_CALL


def _parts(keys: Sequence[Key]) -> Sequence[Sequence[Key]]:
    """Return the keys, each once, in parts of at most KEYS_PER_CALL."""
    if type(keys) is not UniqueKeys:
        unique = dict.fromkeys(keys)
        keys = keys if len(unique) == len(keys) else UniqueKeys(unique)
    if 0 < len(keys) <= KEYS_PER_CALL:
        return (keys,)
    return [UniqueKeys(keys[start : start + KEYS_PER_CALL]) for start in range(0, len(keys), KEYS_PER_CALL)]


def _is_whole(parts: Sequence[Sequence[Key]], keys: Sequence[Key]) -> bool:
    return len(parts) == 1 and parts[0] is keys


def _pair_parts(pairs: Sequence[tuple[Key, Key]]) -> Iterator[list[tuple[Key, Key]]]:
    """Split between parents only, so that each parent's page comes from one call, however many pairs it has."""
    by_parent: dict[Key, dict[Key, None]] = {}
    for parent, key in pairs:
        by_parent.setdefault(parent, {})[key] = None
    part: list[tuple[Key, Key]] = []
    parents = 0
    for parent, keys in by_parent.items():
        if part and (len(part) + len(keys) > PAIRS_PER_CALL or parents == KEYS_PER_CALL):
            yield part
            part, parents = [], 0
        part.extend((parent, key) for key in keys)
        parents += 1
    if part:
        yield part


def _joined(answers: Sequence[Mapping[_K, _V]]) -> Mapping[_K, _V]:
    if len(answers) == 1:
        return answers[0]
    joined: dict[_K, _V] = {}
    for answer in answers:
        if joined.keys() & answer.keys():
            raise StoreMisbehaved("two parts of a split batch answered for the same key")
        joined.update(answer)
    return joined
