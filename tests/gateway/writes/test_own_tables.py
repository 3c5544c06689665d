"""The gateway's own tables are made in the stores that are written or delivered to, told by status and dry run, looked for at the start."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config import Settings
from gateway.graph.fields import Graph
from gateway.graph.log import own_tables
from gateway.graph.looking import look
from gateway.migrating import drafted, histories, migrate, migrate_each, plan_each, states_of_each
from gateway.preparing import looked_into, migrate_at_start, opened, untouched
from gateway.service import Service
from gateway.stores import Stores
from gateway.stores.base import Collection
from gateway.stores.kinds import Kind, register
from gateway.stores.memory import MemoryStore
from gateway.writes.declarations import replicate
from gateway.writes.tables import tables_of
from tests.gateway.engine.graphs import graph
from tests.gateway.graph.test_replicating import COPY, PEOPLE, Mutation, Query, written
from tests.kinds import kinds, url_of

OWN = [table.name for table in tables_of("home").all]
THEIRS = Collection("people", "home", PEOPLE.columns, label="People")
NAMES = ("applied", "audit", "deliveries", "idempotency", "leases", "outbox", "versions")


def settings_of(folder: Path, **urls: str) -> Settings:
    return Settings.model_validate({"stores": {name: {"url": url} for name, url in urls.items()}, "data_dir": folder})


@asynccontextmanager
async def stores_of(graph: Graph, folder: Path, **urls: str) -> AsyncIterator[Stores]:
    async with opened(settings_of(folder, **urls), graph) as stores:
        yield stores


def of_people(*collections: Collection, mutation: type | None = Mutation) -> Graph:
    return graph(Query, *(collections or (PEOPLE,)), mutation=mutation)


@pytest.mark.parametrize("kind", kinds(("memory", "sqlite", "postgresql")))
async def test_they_are_made_and_a_second_migration_has_nothing_to_do(kind: str, tmp_path: Path) -> None:
    async with url_of(kind) as url, stores_of(of_people(), tmp_path, home=url) as stores:
        first, second = await migrate(stores, of_people(), "home"), await migrate(stores, of_people(), "home")
    what = "collection" if kind == "memory" else "table"
    assert sorted(first) == sorted([*(f"home: created {what} {name}" for name in OWN), f"home: created {what} people"])
    assert second == []


async def test_a_dry_run_and_status_tell_them_as_the_gateways(tmp_path: Path) -> None:
    async with url_of("sqlite") as url, stores_of(of_people(), tmp_path, home=url) as stores:
        [planned] = await plan_each(stores, of_people(), ["home"])
        assert [f"CREATE TABLE crossgraph_{name} " in "".join(planned.lines) for name in NAMES] == [True] * 7
        [before] = await states_of_each(stores, of_people(), ["home"])
        await migrate(stores, of_people(), "home")
        [after] = await states_of_each(stores, of_people(), ["home"])
        [nothing] = await migrate_each(stores, of_people(), ["home"])
    heads = [line for line in before.lines if not line.startswith("  ")]
    assert heads == ["home: gateway: from the declarations, 16 waiting", "home: graph: from the declarations, 1 waiting"]
    assert after.lines == ["home: gateway: from the declarations, 0 waiting", "home: graph: from the declarations, 0 waiting"]
    assert nothing.lines == ["home: nothing to do"]


async def test_embedded_stores_have_them_at_the_start(tmp_path: Path) -> None:
    said: list[str] = []
    async with url_of("sqlite") as url, stores_of(of_people(), tmp_path, home=url) as stores:
        await migrate_at_start(stores, of_people(), settings_of(tmp_path, home=url), said.append, said.append)
    assert len(said) == 8


async def test_a_store_without_them_is_not_as_declared(tmp_path: Path) -> None:
    reading = of_people(mutation=None)
    async with url_of("sqlite") as url, stores_of(of_people(), tmp_path, home=url) as stores:
        await migrate(stores, reading, "home")
        assert (await look(stores, reading, ["home"])).problems == []
        looked = await look(stores, of_people(), ["home"])
        assert [str(problem) for problem in looked.problems] == [
            f"collection {name} of the store home: expected a table {name}, which gateway migrate makes, got none" for name in OWN
        ]
        await migrate(stores, of_people(), "home")
        assert (await look(stores, of_people(), ["home"])).problems == []


async def test_a_graph_that_writes_nothing_has_none(tmp_path: Path) -> None:
    reading = of_people(mutation=None)
    async with url_of("sqlite") as url, stores_of(reading, tmp_path, home=url) as stores:
        assert [part.owner for part in histories(stores, reading, "home")] == ["graph"]
        assert await migrate(stores, reading, "home") == ["home: created table people"]


async def test_where_somebody_elses_tables_are_written_there_are_none(tmp_path: Path) -> None:
    theirs = of_people(THEIRS)
    async with url_of("memory") as url, stores_of(theirs, tmp_path, home=url) as stores:
        assert histories(stores, theirs, "home") == []
        [outcome] = await migrate_each(stores, theirs, ["home"])
    assert outcome.lines == ["home: nothing in it is managed, nothing to do"]


async def test_a_store_that_is_only_delivered_to_has_them(tmp_path: Path) -> None:
    replicated = written(replicate(PEOPLE, to=COPY), mutation=None)
    async with url_of("sqlite") as home, url_of("sqlite") as post, stores_of(replicated, tmp_path, home=home, post=post) as stores:
        [part, _] = histories(stores, replicated, "post")
        assert (part.owner, [table.name for table in part.collections]) == ("gateway", OWN)


async def test_scripts_of_a_graph_do_not_have_them(tmp_path: Path) -> None:
    scripted = replace(of_people(), migrations=tmp_path)
    async with url_of("sqlite") as url, stores_of(scripted, tmp_path, home=url) as stores:
        await migrate(stores, of_people(), "home")
        _, [script] = await drafted(stores, scripted, "home", "first")
    assert "people" in script.text
    assert "crossgraph" not in script.text


async def test_a_kind_that_cannot_transact_has_none() -> None:
    plain = Kind("plain-log", ("plain-log",), lambda name, url, **_: MemoryStore(name, url), can=frozenset({"page", "write", "migrate"}))
    register(plain)
    assert own_tables(of_people(), "home", "plain-log") == ()
    assert own_tables(of_people(), "home", "memory") == tables_of("home").all


async def test_a_file_of_somebody_else_that_mutations_may_write_is_not_opened_read_only(tmp_path: Path) -> None:
    theirs = of_people(THEIRS)
    file = tmp_path / "theirs.db"
    file.touch()
    async with looked_into(settings_of(tmp_path, home=f"sqlite+aiosqlite:///{file}"), theirs) as stores:
        await stores["home"].migrate("home", [PEOPLE], None)
    assert file.stat().st_size > 0
    assert untouched(theirs) == {"home"}  # a file that is not there is not made


def test_what_a_graph_declares_is_what_its_requests_have() -> None:
    declared = replace(written(replicate(PEOPLE, to=COPY)), audit="records")
    service = Service(declared, Stores({"home": MemoryStore("home"), "post": MemoryStore("post")}))
    its = service.replication
    assert its.told_of(PEOPLE, is_deleted=False) == ("people>copy",)
    assert its.audit == "records"
    assert its.stores == {"home", "post", "records"}
