"""The store port: what a kind of database is to the gateway, and what all kinds share.

Nothing above ``gateway/stores`` writes SQL, pipelines or Cypher, except declared native queries. All kinds give identical
answers; ``tests/gateway/stores/contract`` holds them to it. Collections are in ``declarations.py``, what is asked in ``requests``;
both can be had from here.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NoReturn, Protocol

from gateway.errors import StoreMisbehaved
from gateway.stores.declarations import Collection, Column, Index, Key, Relationship, Row, Type, Value
from gateway.stores.requests import (
    EMPTY,
    KEYS_PER_CALL,
    PAIRS_PER_CALL,
    A,
    Ability,
    Aggregate,
    And,
    Bucket,
    Compare,
    Delete,
    Fetch,
    Get,
    Groups,
    Interval,
    Match,
    Measure,
    Narrowing,
    Native,
    NativeCall,
    Not,
    Op,
    Or,
    Order,
    Page,
    Pairs,
    Request,
    Rows,
    Slice,
    Slices,
    Tables,
    UniqueKeys,
    Upsert,
    Where,
    both,
    frozen,
    slice_of,
)
from gateway.stores.types import order_key

__all__ = [
    "EMPTY",
    "KEYS_PER_CALL",
    "PAIRS_PER_CALL",
    "A",
    "Ability",
    "Aggregate",
    "And",
    "Bucket",
    "Collection",
    "Column",
    "Compare",
    "Delete",
    "Fetch",
    "Get",
    "Groups",
    "Handlers",
    "Index",
    "Interval",
    "Key",
    "Match",
    "Measure",
    "Narrowing",
    "Native",
    "NativeCall",
    "Not",
    "Op",
    "Or",
    "Order",
    "Page",
    "Pairs",
    "Relationship",
    "Request",
    "Row",
    "Rows",
    "Slice",
    "Slices",
    "Store",
    "Tables",
    "Type",
    "UniqueKeys",
    "Upsert",
    "Value",
    "Where",
    "both",
    "frozen",
    "note",
    "rank",
    "ranker",
    "slice_of",
    "statements",
    "total_order",
]

# ------------------------------------------------------------------------------------------------------------- the port


class Handlers(dict[type[Request[Any]], Callable[[Any], Coroutine[Any, Any, Any]]]):
    """What a kind of store answers with, by the type of the request."""

    def __missing__(self, type_: type[Request[Any]]) -> NoReturn:
        raise StoreMisbehaved(f"a store was asked for a {type_.__name__}; it answers {', '.join(known.__name__ for known in self)}")


class Store(Protocol):
    """One open connection pool to one database. Keys in one call are unique and at most KEYS_PER_CALL (pairs: PAIRS_PER_CALL).

    The caller (``gateway/stores/funnel.py``) makes keys unique, splits, limits time, counts and names the store in errors. A store
    translates its driver's exceptions to ``StoreUnavailable`` or ``StoreTimeout``, once, ``from`` the cause.
    """

    kind: str  # the name of its Kind (kinds.py)

    @property
    def enforces_types(self) -> bool:
        """Whether a column has values of its type alone. Where it may not, ``values.py`` looks at all that is read, and a store
        answers with what it found, or an ``Unreadable``, in place of a value that it cannot decode.
        """
        ...

    async def open(self) -> None:
        """Make the pool. Does not fail when the server is not there: calls do, and work again once it is back."""
        ...

    async def ping(self) -> None: ...

    async def close(self) -> None: ...

    def answer(self, request: Request[A]) -> Coroutine[Any, Any, A]:
        """Return the answer to one request, or one part of it. StoreMisbehaved for a type of request that the kind does not know."""
        ...

    async def migrate(self, name: str, collections: Sequence[Collection], scripts: Path | None) -> list[str]:
        """Create what is missing (tables, indexes, constraints). Return one line per thing done; a second run returns [].

        ``name`` is the store's name in the settings (several names may share this pool, each with its own collections).
        ``collections`` are managed, all of them: nobody else's are handed in. ``scripts`` is the folder with that name's history; kinds
        that keep none, and those without a script in it, create from the declarations. A kind that keeps one is a ``Migrates``
        (``migrating.py``), and can do more.
        """
        ...


# --------------------------------------------------------------------------------------------------- shared by all kinds

# What a store ran, in its own language (SQL text, pipeline, Cypher), for explain. None: nobody asked, which costs nothing.
statements: ContextVar[list[Any] | None] = ContextVar("statements", default=None)


def note(statement: Any) -> None:
    """Tell who asked what is about to run: SQL or Cypher text, or a MongoDB command as a document."""
    told = statements.get()
    if told is not None:
        told.append(statement)


def total_order(collection: Collection, order: Sequence[Order]) -> tuple[Order, ...]:
    """The order with the key's columns, ascending, behind it, up to the point where it is total; repeated columns once."""
    result: dict[str, Order] = {}
    for item in (*order, *(Order(name) for name in collection.key)):
        result.setdefault(item.column, item)
        if all(name in result for name in collection.key):
            break
    return tuple(result.values())


def rank(values: Sequence[Value], order: Sequence[Order]) -> tuple[Any, ...]:
    """A sort key in Python for the values of ``order``'s columns: the order of every store, nulls last."""
    return tuple(_Descending(v) if o.descending else (v is None, v if v is not None else 0) for v, o in zip(values, order, strict=True))


def ranker(collection: Collection, order: Sequence[Order]) -> Callable[[Sequence[Value]], tuple[Any, ...]]:
    """Return the function from the values of ``order``'s columns to their ``rank``, by the columns' types.

    What stands for a value that could not be read has the place of a null: so it has one in every kind, and in a cursor.
    """
    keys = [order_key(collection[item.column]) for item in order]

    def rank_of(values: Sequence[Value]) -> tuple[Any, ...]:
        return rank([_ordered(key, value) for key, value in zip(keys, values, strict=True)], order)

    return rank_of


def _ordered(key: Callable[[Value], Any] | None, value: Value) -> Any:
    if value is None or isinstance(value, Exception):
        return None
    return value if key is None else key(value)


class _Descending:
    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.value = value

    def __lt__(self, other: _Descending) -> bool:
        if self.value is None or other.value is None:
            return self.value is not None and other.value is None
        return bool(other.value < self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Descending) and self.value == other.value

    __hash__ = None  # type: ignore[assignment]
