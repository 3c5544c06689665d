"""A graph's worth of writes between two stores, for tests of what carries them: authors and books at home, what follows from them away.

async with carried("postgresql", "neo4j") as world:
    await world.write(lambda tx: tx.insert(authors, author("1")))
    await world.drain()
    assert await world.away() == world.expected()
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from gateway.context import RequestContext
from gateway.errors import Contended
from gateway.stores import Stores
from gateway.stores.base import Collection, Column, Fetch, Index, Key, Relationship, Row, Type, Upsert, Value
from gateway.writes.declarations import Replica, State, Target, cascade, replicate
from gateway.writes.own import Own
from gateway.writes.relay import Relay
from gateway.writes.replication import Replication
from gateway.writes.tables import Tables, tables_of
from gateway.writes.transaction import Transaction
from tests.kinds import url_of

LONG_AGO = "2001-01-01T00:00:00.000Z"
TRIES = 50

authors = Collection(
    name="authors",
    store="home",
    label="HomeAuthor",
    managed=True,
    columns=(Column("id"), Column("name"), Column("email"), Column("born", Type.INT, nullable=True)),
    indexes=(Index(("email",), unique=True),),
)
books = Collection(
    name="books",
    store="home",
    label="HomeBook",
    managed=True,
    columns=(Column("id"), Column("author_id"), Column("title"), Column("tags", Type.TEXTS), Column("out", Type.BOOL)),
    indexes=(Index(("author_id", "id")),),
)
acts = Collection(
    name="acts",
    store="home",
    label="HomeAct",
    managed=True,
    columns=(Column("id"), Column("author_id"), Column("book_id", nullable=True), Column("kind"), Column("at", Type.TIME)),
    indexes=(Index(("author_id", "id")),),
)
people = Collection(
    name="people",
    store="away",
    label="Person",
    managed=True,
    columns=(Column("id"), Column("name"), Column("email"), Column("born", Type.INT, nullable=True)),
)
wrote = Collection(
    name="wrote",
    store="away",
    managed=True,
    columns=(Column("author_id"), Column("book_id")),
    key=("book_id", "author_id"),
    relationship=Relationship("WROTE", start="Writer", start_column="author_id", end="Work", end_column="book_id"),
)
likes = Collection(
    name="likes",
    store="away",
    managed=True,
    columns=(Column("author_id"), Column("book_id"), Column("since", Type.TIME)),
    key=("author_id", "book_id"),
    relationship=Relationship("LIKES", start="Writer", start_column="author_id", end="Work", end_column="book_id"),
)
HOME, AWAY = (authors, books, acts), (people, wrote, likes)


def rows_of_book(book: State) -> list[Row]:
    return [(book["author_id"], book["id"])]


def rows_of_act(act: State) -> list[Row]:
    return [(act["author_id"], act["book_id"], act["at"])] if act["kind"] == "LIKE" and act["book_id"] is not None else []


to_people = replicate(authors, to=people)
to_wrote = replicate(books, to=wrote, by="book_id", rows=rows_of_book)
to_likes = replicate(acts, to=likes, by="", rows=rows_of_act)
to_books = cascade(authors, to=books, by="author_id")
to_acts = cascade(authors, to=acts, by="author_id")
to_liked = cascade(authors, to=likes, by="author_id")
TARGETS: tuple[Target, ...] = (to_people, to_wrote, to_likes, to_books, to_acts, to_liked)


def author(key: Key, **values: Value) -> dict[str, Value]:
    return {"id": key, "name": f"author {key}", "email": f"{key}@example.org", "born": 1900, **values}


def book(key: Key, author_id: Key = "1", **values: Value) -> dict[str, Value]:
    return {"id": key, "author_id": author_id, "title": f"book {key}", "tags": ["a", "b"], "out": True, **values}


def act(key: Key, author_id: Key = "1", book_id: Key | None = "b", kind: str = "LIKE", **values: Value) -> dict[str, Value]:
    return {"id": key, "author_id": author_id, "book_id": book_id, "kind": kind, "at": "2026-01-01T00:00:00.000Z", **values}


class Killed(BaseException):
    """A process that was killed: nothing catches it, and nothing is asked afterwards."""


@dataclass(slots=True)
class Fault:
    """Kills at the n-th step that is taken with the stores, before it or after it; dead until it is lifted."""

    at: int | None = None
    is_after: bool = False
    steps: int = 0
    is_dead: bool = False

    async def step(self, call: Callable[[], Awaitable[Any]]) -> Any:
        if self.is_dead:
            raise Killed
        self.steps += 1
        dies = self.at is not None and self.steps == self.at
        if dies and not self.is_after:
            self.is_dead = True
            raise Killed
        answer = await call()
        if dies:
            self.is_dead = True
            raise Killed
        return answer


@dataclass(slots=True)
class World:
    stores: Stores
    targets: tuple[Target, ...]
    replication: Replication
    away_error: list[Exception] = field(default_factory=list)  # what each call to the store "away" raises, while there is one

    @property
    def tables(self) -> Tables:
        return tables_of("home")

    def context(self) -> RequestContext:
        return RequestContext(self.stores, "test", values={"subject": "tester"}, replication=self.replication)

    def relay(self, **options: Any) -> Relay:
        names = [target.name for target in self.targets]
        homes: dict[str, list[str]] = {"home": names, "away": []}
        if self.replication.audit is not None:
            homes["home"].append("audit")
        return Relay(self.stores, self.targets, homes, self.context, audit=self.replication.audit, **{"retry_s": 0, **options})

    async def write(self, work: Callable[[Transaction], Awaitable[Any]]) -> Any:
        """Run ``work`` in a transaction at home, again where others were in the way."""
        for _ in range(TRIES):
            try:
                async with self.context().transaction("home") as tx:
                    return await work(tx)
            except Contended:
                await asyncio.sleep(0.01)
        raise AssertionError(f"contended {TRIES} times")

    async def drain(self, **options: Any) -> int:
        return await self.relay(**options).drain()

    async def rows(self, collection: Collection) -> list[tuple[Value, ...]]:
        """Return all rows by key, lists as lists."""
        found = await Own(self.stores).ask(Fetch(collection, collection.names))
        return [tuple(row) for part in found.values() for row in part.rows]

    async def states(self, collection: Collection) -> list[dict[str, Value]]:
        return [dict(zip(collection.names, row, strict=True)) for row in await self.rows(collection)]

    async def away(self) -> dict[str, list[tuple[Value, ...]]]:
        return {collection.name: await self.rows(collection) for collection in AWAY}

    async def expected(self) -> dict[str, list[tuple[Value, ...]]]:
        """Return what the targets should have of what is at home; of likes the keys alone are given by that."""
        found: dict[str, list[tuple[Value, ...]]] = {}
        for target in self.targets:
            if isinstance(target, Replica):
                rows = {tuple(row) for state in await self.states(target.source) for row in target.rows(state)}
                found[target.target.name] = sorted(rows, key=_key_of(target.target))
        return found

    async def deliveries(self) -> list[dict[str, Value]]:
        return await self.states(self.tables.deliveries)

    async def expire_leases(self) -> None:
        """Have all leases ended, as if their time had passed."""
        names = self.tables.deliveries.names
        until = names.index("lease_until")
        rows = [(*row[:until], LONG_AGO, *row[until + 1 :]) for row in await self.rows(self.tables.deliveries)]
        if rows:
            await Own(self.stores).ask(Upsert(self.tables.deliveries, rows))

    @asynccontextmanager
    async def faulty(self, fault: Fault) -> AsyncIterator[None]:
        """Have each step with a store go through a fault: calls, and the begin and the end of transactions."""
        funnel = self.stores.funnel
        ask, within = funnel.ask_unlayered, funnel.within
        plain = funnel.plain

        def faulty_ask(request: Any, caller: Any) -> Awaitable[Any]:
            return fault.step(lambda: ask(request, caller))

        def faulty_plain(request: Any, caller: Any) -> Awaitable[Any]:
            return fault.step(lambda: plain(request, caller))

        async def faulty_within(name: str, seconds: float, call: Callable[[], Awaitable[Any]]) -> Any:
            method: Any = getattr(call, "func", call)
            if method.__name__ == "__aexit__" and call.args[0] is not None:  # type: ignore[attr-defined]
                return await within(name, seconds, call)  # a rollback: the server does it when a client is gone
            try:
                return await fault.step(lambda: within(name, seconds, call))
            except Killed as killed:
                is_open = fault.is_after if method.__name__ == "__aenter__" else not fault.is_after
                if method.__name__ in ("__aenter__", "__aexit__") and is_open and fault.steps == fault.at:
                    with suppress(Killed):
                        await method.__self__.__aexit__(Killed, killed, None)
                raise

        funnel.ask_unlayered, funnel.plain, funnel.within = faulty_ask, faulty_plain, faulty_within  # type: ignore[method-assign]
        try:
            yield
        finally:
            funnel.plain = plain
            del funnel.ask_unlayered, funnel.within


def _key_of(collection: Collection) -> Callable[[Sequence[Value]], tuple[Value, ...]]:
    places = [collection.names.index(name) for name in collection.key]
    return lambda row: tuple([row[place] for place in places])


@asynccontextmanager
async def carried(
    home: str, away: str, targets: Sequence[Target] = TARGETS, *, audit: str | None = None, urls: Mapping[str, str] | None = None
) -> AsyncIterator[World]:
    """A world in two empty databases of these kinds, or at these addresses."""
    async with url_of(home) as home_url, url_of(away) as away_url:
        # A server that plans a statement for the first time may take its time for it, on a busy machine.
        stores = Stores.connect(dict(urls or {"home": home_url, "away": away_url}), timeout_s=30.0, write_timeout_s=30.0)
        await stores.open()
        try:
            for name, collections in (("home", HOME), ("away", AWAY)):
                await stores[name].migrate(name, [*collections, *tables_of(name).all], None)
            yield World(stores, tuple(targets), Replication(targets, audit, ("home", "away")))
        finally:
            await stores.close()
