"""What is kept for when a store fails: who is answered with it, how old it may be, and what has it dropped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, cast

import pytest

from gateway.context import RequestContext
from gateway.errors import GatewayError, PoolExhausted, StoreTimeout, StoreUnavailable, WrongValue
from gateway.stores import Stores
from gateway.stores.base import (
    A,
    Aggregate,
    And,
    Collection,
    Column,
    Compare,
    Delete,
    Ends,
    Fetch,
    Get,
    Insert,
    Lock,
    Match,
    Measure,
    Not,
    Or,
    Order,
    Page,
    Pairs,
    Remove,
    Request,
    Slice,
    Slices,
    Together,
    Type,
    Update,
    Upsert,
    Where,
)
from gateway.stores.funnel import Layer
from gateway.stores.guards import Protection
from gateway.stores.memory import MemoryStore
from gateway.stores.routing import Freshness
from gateway.stores.stale import ENTRY_BYTES, Stale, StaleLimits
from tests.failing import Failing
from tests.gateway.stores.gates import GatedStore
from tests.gateway.stores.routes import FakeRoute, FakeServer
from tests.gateway.writes.world import ADA, BOB, PEOPLE, context, stores_of, write

NOTES = Collection("notes", "paper", (Column("id"), Column("text"), Column("page", Type.INT), Column("tags", Type.TEXTS, nullable=True)))
SAME = Collection("copies", "paper", NOTES.columns, table="notes")
BY_TEXT = Collection("texts", "paper", NOTES.columns, table="notes", key=("text",))
NUMBERS = Collection("numbers", "paper", (Column("id", Type.INT), Column("text")))
ROWS = [(str(number), f"text {number}", number % 3, ["a"]) for number in range(9)]
LIMIT_S = 60.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Answering(MemoryStore):
    """One that has this answer to whatever is read."""

    def __init__(self, name: str, answer: Any) -> None:
        super().__init__(name)
        self._answer = answer

    async def answer(self, request: Request[A]) -> A:
        return await super().answer(request) if request.is_write else cast("A", dict(self._answer))


class World:
    """A store in memory that fails when told, whose answers are kept for ``LIMIT_S``."""

    def __init__(self, layers: Sequence[Layer] = (), **limits: Any) -> None:
        self.clock = Clock()
        self.memory = MemoryStore("paper")
        self.store = Failing(self.memory)
        self.stale = Stale(StaleLimits({"paper": LIMIT_S}, **limits), self.clock)
        self.stores = self.over(layers)

    def over(self, layers: Sequence[Layer] = (), **options: Any) -> Stores:
        return Stores({"paper": self.store}, layers=layers, protection=Protection(breaker_calls=0), stale=self.stale, **options)

    async def filled(self) -> World:
        await self.memory.answer(Upsert(NOTES, ROWS))
        await self.memory.answer(Upsert(NUMBERS, [(7, "seven"), (8, "eight")]))
        return self

    def fails(self, error: GatewayError | None = None) -> None:
        self.store.error = error or StoreUnavailable("paper")
        self.store.when = lambda _: True

    def is_back(self) -> None:
        self.store.when = lambda _: False

    def query(self, subject: str = "ann", stores: Stores | None = None, **options: Any) -> RequestContext:
        ctx = RequestContext(stores or self.stores, "r1", values={"subject": subject}, **options)
        ctx.may_be_stale = True
        return ctx

    async def ask(self, request: Request[Any], subject: str = "ann") -> Any:
        return await self.query(subject).ask(request)

    async def is_kept(self, request: Request[Any], subject: str = "ann") -> bool:
        """Whether a request is answered while the store fails."""
        self.fails()
        try:
            await self.ask(request, subject)
        except StoreUnavailable:
            return False
        finally:
            self.is_back()
        return True


@pytest.fixture
async def world() -> World:
    return await World().filled()


def get(*keys: str, columns: tuple[str, ...] = ("text",), where: Where | None = None) -> Get:
    return Get(NOTES, columns, keys, where=where)


PAGE = Fetch(NOTES, ("id", "text"), order=(Order("text"),), page=Page(3), count=True)
OF_PARENTS = Fetch(NOTES, ("id",), Match("page", ["0", "1", "5"]), page=Page(2))
OF_PAIRS = Fetch(NOTES, ("id",), Pairs("id", [("p", "1"), ("p", "2"), ("q", "3")]), page=Page(2))


# --------------------------------------------------------------------------------------------------------- what is given


@pytest.mark.parametrize(
    "error", [StoreUnavailable("paper"), StoreTimeout("paper", 3.0), PoolExhausted("paper", 10)], ids=lambda error: error.code
)
async def test_who_asks_again_while_the_store_fails_has_what_it_answered_and_how_old_that_is(
    world: World, error: GatewayError, caplog: pytest.LogCaptureFixture
) -> None:
    before = await world.ask(get("1", "2", "nobody"))
    world.clock.now += 12.3456
    world.fails(error)
    ctx = world.query()
    with caplog.at_level(logging.WARNING):
        assert await ctx.ask(get("1", "2", "nobody")) == before == {"1": ("text 1",), "2": ("text 2",)}
    assert ctx.extensions == {"stale": [{"store": "paper", "collection": "notes", "ageSeconds": 12.346}]}
    assert ctx.account.stale == 1
    told = f"r1: the store paper failed ({error.code}), and notes of it were answered as they were 12.3 s ago"
    assert [record.getMessage() for record in caplog.records] == [told]


@pytest.mark.parametrize("fetch", [PAGE, OF_PARENTS, OF_PAIRS], ids=["a page", "pages of parents", "of pairs"])
async def test_pages_are_kept_too(world: World, fetch: Fetch) -> None:
    before = await world.ask(fetch)
    world.fails()
    after = await world.ask(fetch)
    assert before
    assert {key: (list(map(tuple, part.rows)), part.more, part.total) for key, part in after.items()} == {
        key: (list(map(tuple, part.rows)), part.more, part.total) for key, part in before.items()
    }


async def test_rows_of_several_reads_answer_one_and_it_is_as_old_as_the_oldest(world: World) -> None:
    await world.ask(get("1"))
    world.clock.now += 5
    await world.ask(get("2", "3"))
    world.clock.now += 2
    world.fails()
    ctx = world.query()
    assert await ctx.ask(get("3", "1", "3")) == {"1": ("text 1",), "3": ("text 3",)}
    await ctx.ask(get("2"))
    assert ctx.extensions["stale"] == [{"store": "paper", "collection": "notes", "ageSeconds": 7.0}]
    assert ctx.account.stale == 2


async def test_what_was_never_read_is_an_error_and_so_is_all_that_was_asked_with_it(world: World) -> None:
    await world.ask(get("1"))
    await world.ask(OF_PARENTS)
    for asked in (
        get("4"),
        get("1", "4"),
        get("1", columns=("text", "page")),
        get("1", where=Compare("page", "eq", 1)),
        Get(NOTES, ("text",), ["1"], "page"),
        Fetch(NOTES, ("id",), Match("page", ["0", "2"]), page=Page(2)),
        Fetch(NOTES, ("id",), Match("page", ["0"]), page=Page(3)),
        PAGE,
    ):
        assert not await world.is_kept(asked), asked
    assert world.stale.missed["paper", "notes"] == 8
    assert not world.stale.answers


async def test_what_is_older_than_the_limit_is_an_error(world: World) -> None:
    await world.ask(get("1"))
    world.clock.now += LIMIT_S
    assert await world.is_kept(get("1"))
    world.clock.now += 0.001
    assert not await world.is_kept(get("1"))
    assert len(world.stale) == 0


async def test_what_is_read_again_is_as_new_as_that(world: World) -> None:
    await world.ask(get("1"))
    world.clock.now += 50
    await world.memory.answer(Upsert(NOTES, [("1", "another", 0, [])]))
    assert await world.ask(get("1")) == {"1": ("another",)}
    world.clock.now += 50
    world.fails()
    assert await world.ask(get("1")) == {"1": ("another",)}


async def test_nothing_else_is_kept(world: World) -> None:
    counted = Aggregate(NOTES, ("page",), (Measure("count"),))
    await world.ask(counted)
    await world.ask(Lock(NOTES, ["1"]))
    assert len(world.stale) == 0
    assert not await world.is_kept(counted)


async def test_other_errors_stand(world: World) -> None:
    await world.ask(get("1"))
    error = GatewayError("Something else.")
    world.fails(error)
    with pytest.raises(GatewayError) as caught:
        await world.ask(get("1"))
    assert not isinstance(caught.value, StoreUnavailable)


async def test_what_one_changes_of_an_answer_nobody_else_sees(world: World) -> None:
    asked = get("1", columns=("tags",))
    (await world.ask(asked))["1"][0].append("changed")
    world.fails()
    (await world.ask(asked))["1"][0].append("changed again")
    assert (await world.ask(asked))["1"] == (["a"],)


async def test_a_value_that_is_not_of_its_type_is_not_kept(world: World) -> None:
    await world.memory.answer(Upsert(NOTES, [("1", 5, 0, [])]))
    ctx = world.query()
    await ctx.ask(get("1", "2"))
    assert ctx.has_wrong_values
    assert not await world.is_kept(get("1"))
    assert await world.is_kept(get("2"))


@pytest.mark.parametrize("columns", [("text",), ("text", "tags")])
async def test_nor_is_the_first_such_value_of_a_store_that_was_taken_to_have_none(world: World, columns: tuple[str, ...]) -> None:
    """PostgreSQL is held to its types from the first value on that cannot be read."""
    asked = get("1", "2", columns=columns)
    await world.ask(asked)
    assert world.memory.enforces_types
    await world.memory.answer(Upsert(NOTES, [("1", 5, 0, [])]))
    for _ in range(2):
        ctx = world.query()
        assert isinstance((await ctx.ask(asked))["1"][0], WrongValue)
        assert ctx.has_wrong_values
    assert not await world.is_kept(get("1", columns=columns))
    assert await world.is_kept(get("2", columns=columns))


async def test_json_of_too_many_levels_is_answered_and_not_kept() -> None:
    plans = Collection("plans", "paper", (Column("id"), Column("steps", Type.JSON)))
    deep: list[Any] = []
    for _ in range(2_000):
        deep = [deep]
    world = World()
    world.store = Failing(Answering("paper", {"1": (deep,), "2": ([],)}))
    world.stores = world.over()
    asked = Get(plans, ("steps",), ["1", "2"])
    assert (await world.ask(asked))["1"][0] is deep
    assert not await world.is_kept(asked)
    assert await world.is_kept(Get(plans, ("steps",), ["2"]))


async def test_a_trace_says_that_a_call_was_answered_so(world: World) -> None:
    await world.ask(get("1"))
    world.clock.now += 3
    world.fails()
    ctx = world.query()
    ctx.trace = []
    await ctx.ask(get("1"))
    [call] = ctx.trace
    assert (call.stale_s, call.rows, call.error) == (3.0, 1, None)


# ------------------------------------------------------------------------------------------------------------ who is given


async def test_nobody_has_what_another_was_answered(world: World) -> None:
    await world.ask(get("1"), "ann")
    assert not await world.is_kept(get("1"), "bob")
    scoped = world.query()
    scoped.values = {"subject": "ann", "scope": frozenset({"admin"})}
    world.fails()
    with pytest.raises(StoreUnavailable):
        await scoped.ask(get("1"))
    assert await world.ask(get("1"), "ann")


async def test_what_a_layer_narrows_is_kept_by_its_condition() -> None:
    async def own_alone(request: Any, caller: Any, next_: Any) -> Any:
        return await next_(request.narrowed(NOTES, Compare("page", "eq", caller.values["page"])), caller)

    world = await World([own_alone]).filled()
    reads = {page: world.query() for page in (1, 2)}
    for page, ctx in reads.items():
        ctx.values = {"page": page}
    assert await reads[1].ask(get("1")) == {"1": ("text 1",)}
    world.fails()
    assert await reads[1].ask(get("1")) == {"1": ("text 1",)}
    with pytest.raises(StoreUnavailable):
        await reads[2].ask(get("1"))


async def test_the_memory_of_one_tenant_is_not_anothers() -> None:
    first, second = await World().filled(), await World().filled()
    await first.ask(get("1"))
    assert await first.is_kept(get("1"))
    assert not await second.is_kept(get("1"))


async def test_stores_read_from_elsewhere_have_answers_of_their_own(world: World) -> None:
    other = MemoryStore("paper")
    await other.answer(Upsert(NOTES, [("1", "elsewhere", 0, [])]))
    failing = Failing(other)
    picked = world.stores.reading({"paper": (failing, world.stores.guards["paper"])})
    await world.ask(get("1"))
    failing.when = lambda _: True
    with pytest.raises(StoreUnavailable):
        await world.query(stores=picked).ask(get("1"))
    failing.when = lambda _: False
    await world.query(stores=picked).ask(get("1"))
    failing.when = lambda _: True
    assert await world.query(stores=picked).ask(get("1")) == {"1": ("elsewhere",)}


async def test_mutations_and_what_no_query_asks_are_given_nothing_and_keep_nothing(world: World) -> None:
    mutation, event = world.query(), world.query()
    mutation.is_mutation = True
    event.may_be_stale = False
    for ctx in (mutation, event):
        await ctx.ask(get("1"))
    await world.stores.ask(get("1"))
    assert len(world.stale) == 0
    await world.ask(get("1"))
    world.fails()
    for ctx in (mutation, event):
        with pytest.raises(StoreUnavailable):
            await ctx.ask(get("1"))
    with pytest.raises(StoreUnavailable):
        await world.stores.ask(get("1"))


SEES = {
    "what the client wrote before": Freshness({"paper": "4"}, may_lag=True),
    "what it wrote, nobody knows where": Freshness({"paper": ""}, may_lag=True),
    "what it has written": Freshness(may_lag=True, wrote={"paper"}),
    "all, as it may not lag": Freshness(),
}


@pytest.mark.parametrize("freshness", SEES.values(), ids=SEES)
async def test_who_has_to_see_a_write_is_given_nothing(world: World, freshness: Freshness) -> None:
    route = FakeRoute("paper", FakeServer(world.memory), has=9)
    stores = world.over(routes={"paper": route})
    await world.query(stores=stores, freshness=Freshness(may_lag=True)).ask(get("1"))
    world.fails()
    route.replica.error = StoreUnavailable("paper")
    assert await world.query(stores=stores, freshness=Freshness({"another": "4"}, may_lag=True)).ask(get("1"))
    with pytest.raises(StoreUnavailable):
        await world.query(stores=stores, freshness=freshness).ask(get("1"))


async def test_who_has_a_token_is_never_given_what_was_kept_before_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long ago that was, and whichever process was written by: a row that may be given is no older than the token lives."""
    world.stale = Stale(StaleLimits({"paper": 300.0}), world.clock)
    route = FakeRoute("paper", FakeServer(world.memory), has=9)
    stores = world.over(routes={"paper": route})
    tokens = stores.tokens
    assert tokens is not None
    monkeypatch.setattr(tokens, "_clock", world.clock)
    await world.query(stores=stores, freshness=Freshness(may_lag=True)).ask(get("1"))
    wrote = Freshness(wrote={"paper"})
    await tokens.tell(wrote)  # of a process that has told this one nothing of it
    world.fails()
    route.replica.error = StoreUnavailable("paper")
    world.clock.now += 299
    seen = tokens.freshness(wrote.token)
    seen.may_lag = True
    assert await world.query(stores=stores, freshness=Freshness(may_lag=True)).ask(get("1"))
    with pytest.raises(StoreUnavailable):
        await world.query(stores=stores, freshness=seen).ask(get("1"))


# ----------------------------------------------------------------------------------------------------------- what drops it


WRITES: dict[str, Request[Any]] = {
    "upsert": Upsert(NOTES, [("1", "new", 0, None)]),
    "update": Update(NOTES, ("1",), (("text", "new"),)),
    "remove": Remove(NOTES, ("1",)),
    "delete": Delete(NOTES, [("1",)]),
    "another collection of the table": Upsert(SAME, [("1", "new", 0, None)]),
}


@pytest.mark.parametrize("change", WRITES.values(), ids=WRITES)
async def test_a_write_drops_the_row_and_the_pages_of_its_collection(world: World, change: Request[Any]) -> None:
    by_text = Get(NOTES, ("id",), ["text 2"], "text")
    seven = Get(NUMBERS, ("text",), ["7"])
    for asked in (get("1", "2"), PAGE, OF_PARENTS, OF_PAIRS, by_text, seven):
        await world.ask(asked)
    await world.stores.ask(change)
    for dropped in (get("1"), PAGE, OF_PARENTS, OF_PAIRS, by_text):
        assert not await world.is_kept(dropped), dropped
    assert await world.is_kept(get("2")), "another row by its key is as it was"
    assert await world.is_kept(seven), "and another collection"


async def test_a_write_drops_what_a_collection_of_another_key_has_of_the_same_table(world: World) -> None:
    by_text = Get(BY_TEXT, ("page",), ["text 1"], "text")
    for change in (Update(NOTES, ("1",), (("page", 7),)), Upsert(NOTES, [("1", "text 1", 8, None)]), Delete(NOTES, [("1",)])):
        await world.ask(by_text)
        assert await world.is_kept(by_text)
        await world.stores.ask(change)
        assert not await world.is_kept(by_text)


async def test_a_read_by_another_key_that_was_under_way_at_a_write_is_not_kept() -> None:
    gated = GatedStore("paper")
    stale = Stale(StaleLimits({"paper": LIMIT_S}))
    ctx = RequestContext(Stores({"paper": gated}, stale=stale))
    ctx.may_be_stale = True
    read = asyncio.ensure_future(ctx.ask(Get(BY_TEXT, ("page",), ["text 1"], "text")))
    arrived = await gated.next()
    await ctx.stores.ask(Upsert(NOTES, [("1", "text 1", 8, None)]))
    arrived.go()
    await read
    assert len(stale) == 0


async def test_an_insert_drops_that_there_was_no_such_row(world: World) -> None:
    for change in (
        Insert(NOTES, ("id", "text", "page", "tags"), [("new", "t", 0, None)]),
        Together((Insert(NOTES, ("id", "text", "page", "tags"), [("newer", "t", 0, None)]),)),
    ):
        asked = get("new", "newer")
        await world.ask(asked)
        assert await world.is_kept(asked)
        await world.stores.ask(change)
        assert not await world.is_kept(asked)


async def test_a_write_whose_keys_the_database_makes_drops_all_of_the_collection(world: World) -> None:
    await world.ask(get("1"))
    with pytest.raises(GatewayError):  # this store makes none; the write is refused, and nobody knows that here
        await world.stores.ask(Insert(NOTES, ("text",), [("t",)]))
    assert not await world.is_kept(get("1"))


async def test_keys_are_dropped_however_they_are_written(world: World) -> None:
    seven, eight = (Get(NUMBERS, ("text",), [key]) for key in "78")
    for change in (Upsert(NUMBERS, [(7, "VII")]), Update(NUMBERS, ("7",), (("text", "VII"),)), Delete(NUMBERS, [("7",)])):
        await world.memory.answer(Upsert(NUMBERS, [(7, "seven")]))
        await world.ask(seven)
        await world.ask(eight)
        await world.stores.ask(change)
        assert not await world.is_kept(seven)
        assert await world.is_kept(eight)


async def test_a_read_that_was_under_way_when_its_row_was_written_is_not_kept() -> None:
    gated = GatedStore("paper")
    stale = Stale(StaleLimits({"paper": LIMIT_S}))
    stores = Stores({"paper": gated}, stale=stale)
    await gated.answer(Upsert(NOTES, ROWS))

    def query() -> RequestContext:
        ctx = RequestContext(stores)
        ctx.may_be_stale = True
        return ctx

    async def ask(request: Request[Any]) -> Any:
        return await query().ask(request)

    reads = [asyncio.create_task(ask(request)) for request in (get("1", "2"), PAGE)]
    arrived = [await gated.next() for _ in reads]
    await stores.ask(Upsert(NOTES, [("1", "new", 0, None)]))
    for each in arrived:
        each.go()
    assert (await reads[0])["1"] == ("text 1",), "it has begun before the write"
    await reads[1]
    gated.is_open = True
    assert len(stale) == 1, "the row that was not written, and no page"
    assert not stale._reads


async def test_a_transaction_drops_what_it_wrote_when_it_is_over() -> None:
    async with stores_of("memory") as made:
        stale = Stale(StaleLimits({"home": LIMIT_S}))
        home = Failing(made["home"])
        stores = Stores({"home": home, "twin": home, "away": made["away"]}, stale=stale)

        async def read(*keys: str) -> Any:
            ctx = context(stores)
            ctx.may_be_stale = True
            return await ctx.ask(Get(PEOPLE, ("name",), keys))

        await write(context(stores), lambda tx: tx.insert_many(PEOPLE, [ADA, BOB]))
        await read("ada", "bob")

        async def reads_meanwhile(_: Any) -> None:
            assert await read("ada") == {"ada": ("Ada",)}, "it is not committed, and what is kept now is what was there before"
            assert len(stale) == 2

        await write(context(stores), lambda tx: tx.update(PEOPLE, "ada", {"name": "Augusta"}), reads_meanwhile)
        assert not stale._within
        home.when = lambda _: True
        home.error = StoreUnavailable("home")
        with pytest.raises(StoreUnavailable):
            await read("ada")
        assert await read("bob") == {"bob": ("Bob",)}


# --------------------------------------------------------------------------------------------------------------- bounds


async def test_what_was_not_used_for_longest_goes_first() -> None:
    world = await World(rows_max=3).filled()
    await world.ask(get("1", "2", "3"))
    await world.ask(get("1"))
    await world.ask(get("4"))
    assert len(world.stale) == 3
    kept = [key for key in "1234" if await world.is_kept(get(key))]
    assert kept == ["1", "3", "4"]


async def test_what_is_kept_is_bounded_in_bytes() -> None:
    world = World(limit_bytes=4 * (ENTRY_BYTES + 1_200))
    await world.memory.answer(Upsert(NOTES, [(str(number), "x" * 1_000, 0, None) for number in range(9)]))
    await world.memory.answer(Upsert(NOTES, [("long", "x" * 20_000, 0, None)]))
    for number in range(9):
        await world.ask(get(str(number)))
    assert 2 <= len(world.stale) <= 4
    assert world.stale.bytes <= 4 * (ENTRY_BYTES + 1_200)
    before = len(world.stale)
    await world.ask(get("long"))
    assert len(world.stale) == before, "what is beyond the limit by itself drops nothing"
    assert not await world.is_kept(get("long"))


@pytest.mark.parametrize("part", ["key", "condition", "pairs", "subject"])
async def test_what_is_kept_is_bounded_with_what_was_asked_for_it(part: str) -> None:
    limit_bytes = 65_536
    world = await World(limit_bytes=limit_bytes).filled()

    async def ask(number: int, length: int) -> None:
        long = f"{number:06}".ljust(length)
        match part:
            case "key":
                await world.ask(get(long))
            case "condition":
                texts = Compare("text", "in", tuple(f"{long} {item}" for item in range(3)))
                await world.ask(Fetch(NOTES, ("id",), where=Not(Or((texts, And((Compare("page", "eq", 1), texts)))))))
            case "pairs":
                await world.ask(Fetch(NOTES, ("id",), Pairs("id", [(long, "no such key")])))
            case _:
                await world.ask(get("1"), subject=long)

    for number in range(100):
        await ask(number, 1_000)
    assert 2 <= len(world.stale) < limit_bytes // (ENTRY_BYTES + 1_000)
    assert world.stale.bytes <= limit_bytes
    before = len(world.stale)
    await ask(100, limit_bytes)
    assert len(world.stale) == before, "what is beyond the limit by itself drops nothing"


async def test_edges_that_are_rows_of_the_nodes_are_kept_once() -> None:
    world = World()
    reports = Fetch(NOTES, ("id",), Ends(SAME, "page", "id", ["1", "2"]), page=Page(3))
    answer: Slices = {"1": Slice([("1",), ("4",)], more=False), "2": Slice([("2",)], more=True)}
    world.store = Failing(Answering("paper", answer))
    world.stores = world.over()
    assert await world.ask(reports) == answer
    assert await world.is_kept(reports)
    await world.stores.ask(Upsert(SAME, [("1", "another text", 1, None)]))
    assert not await world.is_kept(reports)
    assert world.stale._reads == {}


async def test_nothing_is_left_of_what_is_dropped(world: World) -> None:
    for asked in (get("1", "2"), PAGE, OF_PARENTS, OF_PAIRS):
        await world.ask(asked)
    await world.stores.ask(Delete(NOTES, [(row[0],) for row in ROWS]))
    stale = world.stale
    assert (len(stale), stale.bytes, stale._lanes, stale._rows, stale._others, stale._reads) == (0, 0, {}, {}, {}, {})


# ------------------------------------------------------------------------------------------------------------- the setting


async def test_collections_that_are_not_named_are_not_kept() -> None:
    world = await World(collections={"paper": frozenset({"numbers"})}).filled()
    await world.ask(get("1"))
    await world.ask(Get(NUMBERS, ("text",), ["7"]))
    assert not await world.is_kept(get("1"))
    assert await world.is_kept(Get(NUMBERS, ("text",), ["7"]))


def test_where_no_store_has_it_there_is_no_layer() -> None:
    store = MemoryStore("paper")
    off = Stores({"paper": store}).funnel
    on = Stores({"paper": store}, stale=Stale(StaleLimits({"paper": LIMIT_S}))).funnel
    assert off.stale is None
    assert off._last.__qualname__ == "Funnel._split.<locals>.split"
    assert on._last.__qualname__ == "Stale.over.<locals>.over"


async def test_it_is_counted(world: World) -> None:
    await world.ask(get("1", "2"))
    assert await world.is_kept(get("1"))
    assert not await world.is_kept(get("3"))
    read = {reading.name: (reading.value, reading.labels) for reading in world.stores.stale_readings()}
    labels = {"store": "paper", "collection": "notes"}
    assert read["stale_answers"] == (1, labels)
    assert read["stale_misses"] == (1, labels)
    assert read["stale_rows"][0] == 2
    assert read["stale_bytes"][0] == world.stale.bytes > 2 * ENTRY_BYTES
    assert list(Stores({"paper": world.memory}).stale_readings()) == []
