"""Queries written by hand in each database's own language, and calls of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, ClassVar, Self, cast

from gateway.errors import NarrowingRefused, NativeQueryMissing
from gateway.often import made_often
from gateway.stores.declarations import Collection, Column, Key, Row, Value
from gateway.stores.requests.answers import Groups
from gateway.stores.requests.conditions import Where, both
from gateway.stores.requests.keys import is_fit, is_whole, joined, of_keys, parts_of, union
from gateway.stores.requests.request import FILTER, NATIVE, NOTHING, Ability, Request
from gateway.stores.values import Checks

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


@made_often
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
        return NATIVE | (FILTER if self.narrowings else NOTHING)

    @property
    def keys_count(self) -> int:
        return len(self.keys)

    def share_key(self) -> Any:
        return (NativeCall, self.native, frozen(self.arguments), self.narrowings)

    def merged(self, others: Sequence[Self]) -> Self:
        return replace(self, keys=union(call.keys for call in (self, *others))) if others else self

    @property
    def is_plain(self) -> bool:
        return is_fit(self.keys)

    def split(self) -> Sequence[Self]:
        if is_fit(self.keys):
            return (self,)
        parts = parts_of(self.keys)
        return (self,) if is_whole(parts, self.keys) else [replace(self, keys=part) for part in parts]

    def joined(self, answers: Sequence[Groups]) -> Groups:
        return joined(answers)

    def part_of(self, answer: Groups, merged: Self) -> Groups:
        return answer if merged is self else of_keys(answer, self.keys)

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
