"""The store port: what a kind of database is to the gateway, and what all kinds share.

Nothing above ``gateway/stores`` writes SQL, pipelines or Cypher, except declared native queries. All kinds give identical
answers; ``tests/gateway/stores/contract`` holds them to it. Collections are in ``declarations.py``, what is asked in ``requests``;
both can be had from here.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NoReturn, Protocol, runtime_checkable

from gateway.errors import StoreMisbehaved
from gateway.stores.declarations import Collection, Column, Index, Key, Relationship, Row, Type, Value
from gateway.stores.requests import (
    EMPTY,
    KEYS_PER_CALL,
    PAIRS_PER_CALL,
    A,
    Ability,
    Advance,
    Aggregate,
    And,
    Bucket,
    Bump,
    Changed,
    Claim,
    Compare,
    Delete,
    Ends,
    Fetch,
    Get,
    Groups,
    Insert,
    Interval,
    Joins,
    Lock,
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
    Remove,
    Request,
    Rows,
    Slice,
    Slices,
    Tables,
    Together,
    UniqueKeys,
    Update,
    Upsert,
    Where,
    Within,
    both,
    frozen,
    rank,
    ranker,
    slice_of,
    total_order,
)

__all__ = [
    "EMPTY",
    "KEYS_PER_CALL",
    "PAIRS_PER_CALL",
    "A",
    "Ability",
    "Advance",
    "Aggregate",
    "And",
    "Bounded",
    "Bucket",
    "Bump",
    "Changed",
    "Claim",
    "Collection",
    "Column",
    "Compare",
    "Delete",
    "Ends",
    "Fetch",
    "Get",
    "Groups",
    "Handlers",
    "Index",
    "Insert",
    "Interval",
    "Joins",
    "Key",
    "Lock",
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
    "Remove",
    "Request",
    "Row",
    "Rows",
    "Slice",
    "Slices",
    "Store",
    "Tables",
    "Together",
    "Transaction",
    "Transacts",
    "Type",
    "UniqueKeys",
    "Update",
    "Upsert",
    "Value",
    "Where",
    "Within",
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
    """One open connection pool to one database. A store whose calls each take a connection of so many has their number as ``places``; one
    without it takes any number of calls at once. Keys in one call are unique and at most KEYS_PER_CALL (pairs: PAIRS_PER_CALL).

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


@runtime_checkable
class Bounded(Protocol):
    """A store whose server takes so many connections and no more."""

    async def connections_max(self) -> int | None:
        """Return how many connections the server takes of users like ours, all clients together; None where it cannot be known."""
        ...


class Transaction(Protocol):
    """What is asked of one store as one: all of it happens, or nothing does."""

    def answer(self, request: Request[A]) -> Coroutine[Any, Any, A]:
        """Return the answer to one request, a read or a write, which sees what came before it. One at a time."""
        ...


@runtime_checkable
class Transacts(Protocol):
    """A store that has transactions: of a kind that can "transact"."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Give a transaction: commit when the block ends, roll back when it raises or is cancelled.

        Contended where others wrote the same at the same time and the database gave this one up, whatever was asked last: nothing has
        happened, and all of it may be done again. StoreUnavailable out of the commit says that nobody knows whether it happened
        (``extensions.committed`` is "unknown"). A transaction takes a connection of the pool, or the file's one writer, to its end.
        """
        ...

    async def can_transact(self) -> bool:
        """Return whether a transaction may be of several rows: on a MongoDB that stands alone it is of one document."""
        ...


@runtime_checkable
class Carries(Protocol):
    """A store whose rows may carry what belongs beside them, where its server has no transactions."""

    async def unpack(self, collections: Sequence[Collection]) -> int:
        """Put what rows of these collections carry where it belongs; return how many rows that were. None on most servers."""
        ...


# --------------------------------------------------------------------------------------------------- shared by all kinds

# What a store ran, in its own language (SQL text, pipeline, Cypher), for explain. None: nobody asked, which costs nothing.
statements: ContextVar[list[Any] | None] = ContextVar("statements", default=None)


def note(statement: Any) -> None:
    """Tell who asked what is about to run: SQL or Cypher text, or a MongoDB command as a document."""
    told = statements.get()
    if told is not None:
        told.append(statement)
