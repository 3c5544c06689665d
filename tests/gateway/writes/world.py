"""What the tests of writes write to: two managed collections and one of two key columns in the store ``home``, and its log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from gateway.context import RequestContext
from gateway.stores import Stores, connect
from gateway.stores.base import Collection, Column, Fetch, Index, Type
from gateway.stores.funnel import Layer
from gateway.stores.migrating import GATEWAY
from gateway.writes.declarations import State, Target, cascade, follow_up, replicate
from gateway.writes.replication import Replication
from gateway.writes.rows import Outcome
from gateway.writes.tables import tables_of
from gateway.writes.transaction import Transaction
from tests.kinds import kinds, url_of

TRANSACTING = ("memory", "sqlite", "postgresql", "mongodb", "neo4j")

PEOPLE = Collection(
    "people",
    "home",
    (
        Column("id", refers="Person"),
        Column("name"),
        Column("email", nullable=True),
        Column("born", Type.DATE, nullable=True),
        Column("tags", Type.TEXTS),
        Column("more", Type.JSON, nullable=True),
    ),
    label="Person",
    indexes=(Index(("email",), unique=True),),
    managed=True,
)
LETTERS = Collection(
    "letters",
    "home",
    (Column("id", refers="Letter"), Column("person_id", refers="Person"), Column("text")),
    label="Letter",
    indexes=(Index(("person_id", "id")),),
    managed=True,
)
PAIRS = Collection(
    "pairs",
    "home",
    (Column("a"), Column("b", Type.INT), Column("weight", Type.FLOAT, nullable=True)),
    key=("a", "b"),
    label="Pair",
    managed=True,
)
AWAY = Collection("people", "away", PEOPLE.columns, label="Person", managed=True)
TWIN = Collection("cards", "twin", (Column("id"), Column("text")), label="Card", managed=True)  # in the database of ``home``


async def welcome(ctx: Any, state: State, payload: Any) -> None: ...


TARGETS: tuple[Target, ...] = (
    replicate(PEOPLE, to=AWAY),
    cascade(PEOPLE, to=LETTERS, by="person_id"),
    follow_up(PEOPLE, name="welcome", run=welcome),
)
TABLES = tables_of("home")

ADA = {"id": "ada", "name": "Ada", "email": "ada@home", "born": "1815-12-10", "tags": ["one"], "more": {"a": [1, None]}}
BOB: dict[str, Any] = {"id": "bob", "name": "Bob", "email": "bob@home", "born": None, "tags": [], "more": None}


@asynccontextmanager
async def stores_of(kind: str, layers: Sequence[Layer] = ()) -> AsyncIterator[Stores]:
    """Give the stores ``home`` and ``twin``, of one pool, of this kind, with all tables, and ``away`` in memory."""
    async with url_of(kind) as url:
        one = connect("home", url)  # two stores in memory would have no row in common
        stores = Stores({"home": one, "twin": one, "away": connect("away", "memory://")}, layers=layers)
        await stores.open()
        try:
            await stores.migrate("home", TABLES.all, None, owner=GATEWAY)
            await stores.migrate("home", [PEOPLE, LETTERS, PAIRS], None)
            await stores.migrate("twin", [TWIN], None)
            yield stores
        finally:
            await stores.close()


Step = Callable[[Transaction], Awaitable[Any]]


async def write(ctx: RequestContext, *steps: Step) -> None:
    """Do these in one transaction of ``home``."""
    async with ctx.transaction("home") as tx:
        for step in steps:
            await step(tx)


def context(
    stores: Stores,
    *targets: Target,
    audit: str | None = None,
    logged: Sequence[str] = ("home",),
    idempotency_key: str | None = None,
    **options: Any,
) -> RequestContext:
    options.setdefault("values", {"subject": "tester"})
    ctx = RequestContext(stores, "request-1", replication=Replication(targets or TARGETS, audit, logged), **options)
    ctx.idempotency_key = idempotency_key
    return ctx


async def rows_of(stores: Stores, collection: Collection) -> list[dict[str, Any]]:
    slices = await stores.ask(Fetch(collection, collection.names))
    return [dict(zip(collection.names, row, strict=True)) for slice_ in slices.values() for row in slice_.rows]


async def contents(stores: Stores) -> Mapping[str, list[dict[str, Any]]]:
    """Return all that is in ``home``."""
    return {collection.name: await rows_of(stores, collection) for collection in (PEOPLE, LETTERS, PAIRS, TWIN, *TABLES.all)}


def transacting(names: Sequence[str] = TRANSACTING) -> list[object]:
    return kinds(names)


CREATED = [Outcome("people", "ada", 1, "insert")]


async def create(tx: Transaction) -> Any:
    return await tx.insert(PEOPLE, ADA)


def keyed(home: Stores, key: str = "k", **options: Any) -> RequestContext:
    return context(home, idempotency_key=key, **options)
