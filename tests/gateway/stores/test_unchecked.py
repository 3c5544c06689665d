"""Stores that were away at the start: looked at once for all who wait, held back while something is wrong, and left alone afterwards."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import strawberry

from gateway.app import create_app
from gateway.config import Settings
from gateway.context import RequestContext
from gateway.errors import GatewayError, StoreMisbehaved, StoreMismatch, StoreTimeout, StoreUnavailable
from gateway.graph.fields import Graph, Node, column, lookup
from gateway.graph.looking import look, looks_at
from gateway.service import Request, Service
from gateway.stores import Stores, unchecked
from gateway.stores.base import Collection, Column, Get, Upsert
from gateway.stores.base import Request as StoreRequest
from gateway.stores.described import Description, Missing
from gateway.stores.funnel import Caller, Next
from gateway.stores.memory import MemoryStore
from gateway.stores.unchecked import AGAIN_S, Unchecked
from tests.gateway.engine.graphs import graph as graph_of
from tests.kinds import needs, url_of
from tests.servers import POSTGRESQL

NOTES = Collection("notes", "paper", (Column("id", refers="Note"), Column("text")), managed=True)
TWINS = Collection("twins", "copy", (Column("id"), Column("text")))
GET = Get(NOTES, ("text",), ["1"])
PROBLEM = "collection notes of the store paper: expected a table notes, got none; there is note"
TOLD = "The store 'paper' is not as it was declared."


class Paper(MemoryStore):
    """A store whose server a test turns off (``fail_with``), whose table it takes away, and whose catalogue it makes slow."""

    def __init__(self) -> None:
        super().__init__("paper")
        self.is_there = True
        self.described = 0
        self.was_asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def describe(self, collections: Sequence[Collection]) -> Description:
        self.described += 1
        self.was_asked.set()
        await self.may_answer.wait()
        found = await super().describe(collections)
        return found if self.is_there else {"notes": Missing("table", "notes", ("note",))}

    @property
    def is_away(self) -> bool:
        return self.fail_with is not None

    @is_away.setter
    def is_away(self, value: bool) -> None:
        self.fail_with = StoreUnavailable("paper") if value else None


@strawberry.type
class Note(Node):
    id: strawberry.ID = column()
    text: str = column()


@strawberry.type
class Query:
    note: Note | None = lookup(NOTES, by={"id": "id"})


GRAPH: Graph = graph_of(Query, NOTES, types=[Note])


async def stores(paper: MemoryStore, *layers: Any) -> Stores:
    """Return stores of which ``paper`` is not checked yet."""
    made = Stores({"paper": paper, "copy": MemoryStore("copy")}, layers=layers)
    await made.ask(Upsert(NOTES, [("1", "a")]))
    made.hold(looks_at(made, GRAPH, ["paper"]))
    return made


def has_no_layer(made: Stores) -> bool:
    """Whether a request goes the very way that it goes where all was checked at the start."""
    return made.funnel.plain is made.funnel._last and made.funnel.held is None


async def ended(made: Stores) -> None:
    """Wait for the look that is under way, if there is one: who asked had no more time, and it has a little."""
    assert made.funnel.held is not None
    task = made.funnel.held._gates["paper"].task
    if task is not None:
        await task


async def ask(made: Stores, request: StoreRequest[Any] = GET) -> Any:
    return await RequestContext(made).ask(request)


# -------------------------------------------------------------------------------------------------------------- the way


async def test_a_hundred_requests_wait_for_one_look() -> None:
    paper, arrived, all_arrived = Paper(), 0, asyncio.Event()

    async def arriving(request: StoreRequest[Any], caller: Caller, next_: Next) -> Any:
        nonlocal arrived
        arrived += 1
        if arrived == 100:
            all_arrived.set()
        return await next_(request, caller)

    made = await stores(paper, arriving)
    paper.calls.clear()
    paper.may_answer.clear()
    asking = [asyncio.create_task(ask(made)) for _ in range(100)]
    await all_arrived.wait()
    assert paper.calls == [], "nobody is answered before"
    paper.may_answer.set()
    assert await asyncio.gather(*asking) == [{"1": ("a",)}] * 100
    assert (paper.described, len(paper.calls)) == (1, 100)


async def test_once_all_have_passed_there_is_no_layer() -> None:
    made = await stores(paper := Paper())
    assert not has_no_layer(made)
    await ask(made)
    assert has_no_layer(made)
    for _ in range(3):
        await ask(made)
    assert paper.described == 1
    assert "wait" not in repr(made.funnel.plain)


async def test_without_stores_to_check_there_is_no_layer() -> None:
    made = Stores({"paper": Paper()})
    made.hold({})
    assert has_no_layer(made)
    await made.checked("paper")


async def test_the_layer_stays_until_the_last_of_several_has_passed() -> None:
    made = Stores({"paper": (paper := Paper()), "copy": (copy := Paper())})
    made.hold(looks_at(made, GRAPH, ["paper", "copy"]))
    await ask(made)
    assert not has_no_layer(made)
    await ask(made, Get(TWINS, ("id",), ["1"]))
    assert has_no_layer(made)
    assert (paper.described, copy.described) == (1, 1)


async def test_other_stores_do_not_wait() -> None:
    made = await stores(paper := Paper())
    paper.may_answer.clear()
    assert await ask(made, Get(TWINS, ("id",), ["1"])) == {}
    assert paper.described == 0


async def test_operators_do_not_wait() -> None:
    made = await stores(paper := Paper())
    paper.is_there = False
    assert await made.ask(GET) == {"1": ("a",)}
    assert paper.described == 0


async def test_who_goes_away_leaves_the_look_to_the_others() -> None:
    made = await stores(paper := Paper())
    paper.may_answer.clear()
    first, second = (asyncio.create_task(ask(made)) for _ in range(2))
    await paper.was_asked.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    paper.may_answer.set()
    assert await second == {"1": ("a",)}
    assert paper.described == 1


async def test_a_look_that_takes_too_long_is_the_error_of_a_slow_store() -> None:
    paper = Paper()
    made = Stores({"paper": paper}, timeout_s=0.05)
    made.hold(looks_at(made, GRAPH, ["paper"]))
    paper.may_answer.clear()
    with pytest.raises(StoreTimeout, match=r"'paper' did not answer within 0\.05 s"):
        await ask(made)
    await ended(made)
    paper.may_answer.set()
    assert await ask(made) == {}


async def test_a_request_waits_no_longer_than_it_has_time() -> None:
    made = await stores(paper := Paper())
    paper.may_answer.clear()
    ctx = RequestContext(made, started=asyncio.get_running_loop().time())
    ctx.deadline = ctx.started + 0.05
    with pytest.raises(StoreTimeout):
        await ctx.ask(GET)
    paper.may_answer.set()
    await made.close()


async def test_a_trace_has_the_request_alone() -> None:
    made = await stores(Paper())
    ctx = RequestContext(made, trace=[])
    await ctx.ask(GET)
    assert ctx.trace is not None
    assert [(call.operation, call.statements) for call in ctx.trace] == [("get", [])]


async def test_closing_ends_a_look() -> None:
    made = await stores(paper := Paper())
    paper.may_answer.clear()
    asking = asyncio.create_task(ask(made))
    await paper.was_asked.wait()
    await made.close()
    with pytest.raises(asyncio.CancelledError):
        await asking


# --------------------------------------------------------------------------------------------------- what a look finds


async def test_a_store_that_is_away_is_looked_at_by_each_request_until_it_is_back() -> None:
    made = await stores(paper := Paper())
    paper.is_away = True
    for turn in (1, 2):
        with pytest.raises(StoreUnavailable) as caught:
            await ask(made)
        assert caught.value.extensions == {"code": "STORE_UNAVAILABLE", "store": "paper"}
        assert paper.described == turn
    paper.is_away = False
    assert await ask(made) == {"1": ("a",)}
    assert has_no_layer(made)


async def test_the_reason_why_it_is_away_is_kept_for_the_log() -> None:
    made = await stores(paper := Paper())
    paper.is_away = True
    assert paper.fail_with is not None
    paper.fail_with = StoreUnavailable("paper", "refused", "nobody listens there")
    paper.fail_with.__cause__ = OSError("refused")
    with pytest.raises(StoreUnavailable) as caught:
        await ask(made)
    assert isinstance(caught.value.__cause__, OSError)
    assert (caught.value.reason, caught.value.told) == ("refused", "nobody listens there")


async def test_what_is_wrong_is_told_once_in_the_log_and_never_to_clients(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await stores(paper := Paper())
    paper.is_there = False
    service = Service(GRAPH, made)
    for _ in range(3):
        answer = orjson.loads((await service.answer(Request('{ note(id: "Note:1") { text } }'), request_id="r")).body)
        [error] = answer["errors"]
        assert (answer["data"], error["path"], error["message"]) == ({"note": None}, ["note"], TOLD)
        assert error["extensions"] == {"code": "STORE_MISMATCH", "store": "paper"}
    assert paper.described == 1
    assert [record.getMessage() for record in caplog.records] == [
        f"the store paper is not as it was declared, and nothing of it is served until it is:\n  {PROBLEM}"
    ]
    caplog.clear()
    monkeypatch.setattr(unchecked, "AGAIN_S", 0.0)
    made.hold(looks_at(made, GRAPH, ["paper"]))
    for _ in range(3):
        with pytest.raises(StoreMismatch):
            await ask(made)
    assert paper.described == 4
    assert len(caplog.records) == 1, "what was told already is not told again"


async def test_a_store_that_was_repaired_is_served_without_a_restart(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unchecked, "AGAIN_S", 0.0)
    made = await stores(paper := Paper())
    paper.is_there = False
    with pytest.raises(StoreMismatch):
        await ask(made)
    paper.is_there = True
    assert await ask(made) == {"1": ("a",)}
    assert has_no_layer(made)
    assert caplog.records[-1].getMessage() == "the store paper is as it was declared now"


async def test_it_is_looked_at_again_after_some_time_and_not_for_every_request(caplog: pytest.LogCaptureFixture) -> None:
    now, looks, passed = 100.0, 0, []
    problems: list[str] = ["no table"]

    async def look_once() -> list[str]:
        nonlocal looks
        looks += 1
        return problems

    gate = Unchecked({"paper": look_once}, lambda: passed.append(True), clock=lambda: now)
    for after, expected in [(0.0, 1), (AGAIN_S / 2, 1), (AGAIN_S, 2), (AGAIN_S * 1.5, 2)]:
        now = 100.0 + after
        with pytest.raises(StoreMismatch):
            await gate.passed("paper")
        assert looks == expected
    problems = []
    with pytest.raises(StoreMismatch):
        await gate.passed("paper")
    assert passed == []
    now += AGAIN_S
    await gate.passed("paper")
    assert (looks, passed, gate.holds("paper")) == (3, [True], False)


@pytest.mark.parametrize("error", [StoreMisbehaved("no right to see the catalogue"), RuntimeError("a bug of ours")])
async def test_a_store_that_cannot_be_looked_at_is_served_and_that_is_told(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    made = await stores(paper := Paper())

    async def describe(collections: Sequence[Collection]) -> Description:
        raise error

    paper.describe = describe  # type: ignore[method-assign]
    assert await ask(made) == {"1": ("a",)}
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "served without a check" in caplog.text
    assert str(error) in caplog.text
    assert has_no_layer(made)


# ---------------------------------------------------------------------------------------------------------- at the start


class Mute:
    """A store of a kind that cannot say what it has."""

    kind = "mute"
    enforces_types = True

    async def open(self) -> None: ...

    async def ping(self) -> None: ...

    async def close(self) -> None: ...

    def answer(self, request: StoreRequest[Any]) -> Any:
        raise NotImplementedError

    async def migrate(self, name: str, collections: Sequence[Collection], scripts: Path | None) -> list[str]:
        raise NotImplementedError


async def test_a_look_at_the_start_says_of_each_store_what_came_of_it() -> None:
    wrong, away = Paper(), Paper()
    wrong.is_there, away.is_away = False, True
    refused = Paper()
    refused.fail_with = StoreMisbehaved("the catalogue is closed.")
    made = Stores({"paper": wrong, "copy": MemoryStore("copy"), "away": away, "mute": Mute(), "refused": refused})
    looked = await look(made, GRAPH, made.names)
    assert [str(problem) for problem in looked.problems] == [PROBLEM]
    assert looked.checked == ["paper", "copy"]
    assert {name: error.message for name, error in looked.away.items()} == {"away": "The store 'away' is unavailable."}
    assert looked.silent == {
        "mute": "stores of kind mute cannot say what they have",
        "refused": "it could not be looked at: the catalogue is closed",
    }


async def test_a_store_that_cannot_say_passes() -> None:
    made = Stores({"paper": Mute()})
    made.hold(looks_at(made, GRAPH, ["paper"]))
    await made.checked("paper")
    assert has_no_layer(made)


async def test_one_limit_of_time_is_for_all_stores() -> None:
    slow = [Paper() for _ in range(5)]
    for paper in slow:
        paper.may_answer.clear()
    made = Stores({f"s{number}": paper for number, paper in enumerate(slow)})
    async with asyncio.timeout(30):
        looked = await look(made, GRAPH, made.names, timeout_s=0.1)
    assert {type(error) for error in looked.away.values()} == {StoreTimeout}
    assert len(looked.away) == 5


async def test_errors_that_are_no_stores_own_are_not_hidden() -> None:
    paper = Paper()
    paper.fail_with = RuntimeError("a bug of ours")
    with pytest.raises(RuntimeError, match="a bug of ours"):
        await look(Stores({"paper": paper}), GRAPH, ["paper"])


# ------------------------------------------------------------------------------------------------------- the application


@needs(POSTGRESQL)
async def test_an_application_over_a_database_that_comes_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """From no tables to a wrong one to the right one, with what a client and a probe see of it."""
    monkeypatch.setattr(unchecked, "AGAIN_S", 0.0)
    async with url_of("postgresql") as url:
        settings = Settings.model_validate({"stores": {"paper": {"url": url}}, "allowed_hosts": ("gateway",)})
        app = create_app(settings, GRAPH, unchecked=["paper"])
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")
        other = Stores.connect({"paper": url})
        await other.open()
        async with app.lifespan(), client:

            async def code() -> str | None:
                answer = (await client.post("/graphql", json={"query": '{ note(id: "Note:1") { text } }'})).json()
                return answer["errors"][0]["extensions"]["code"] if "errors" in answer else None

            async def states() -> tuple[str, list[str]]:
                report = (await client.get("/health/ready")).json()
                return report["status"], [store["state"] for store in report["stores"]]

            assert await states() == ("down", ["mismatch"])
            assert await code() == "STORE_MISMATCH"
            await other.migrate("paper", [Collection("notes", "paper", (Column("id"),), managed=True)], None)
            assert await code() == "STORE_MISMATCH"
            await _run(other, "DROP TABLE notes")
            await other.migrate("paper", [NOTES], None)
            assert await code() is None
            assert await states() == ("ready", ["up"])
        await other.close()


async def _run(made: Stores, statement: str) -> None:
    store: Any = made["paper"]
    await store._driver.write(statement, [()])


def test_the_error_is_an_operators() -> None:
    error = StoreMismatch("paper")
    assert isinstance(error, GatewayError)
    assert (error.http_status, error.shown) == (503, {"message": TOLD, "extensions": {"code": "STORE_MISMATCH", "store": "paper"}})
