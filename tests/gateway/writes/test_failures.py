"""Whatever fails, and wherever, nothing is half written: each request of a transaction fails in turn, before it was asked and after."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import make_url

from gateway.errors import InFlight, StoreTimeout, StoreUnavailable
from gateway.stores import Stores
from gateway.stores.base import Request, Transaction
from gateway.stores.guards import Protection
from gateway.stores.migrating import GATEWAY
from gateway.writes.running import run
from gateway.writes.transaction import Transaction as Writing
from tests.gateway.stores.proxies import Proxy
from tests.gateway.writes.world import (
    ADA,
    BOB,
    CREATED,
    LETTERS,
    PAIRS,
    PEOPLE,
    TABLES,
    contents,
    context,
    create,
    keyed,
    rows_of,
    write,
)
from tests.kinds import kinds, url_of

WAIT_S = 30.0
LETTER = {"id": "1", "person_id": "ada", "text": "t"}


class Failing:
    """A transaction of a store in which one request fails, or is cancelled. ``asked`` counts them."""

    def __init__(self, at: int, when: str, error: Callable[[], BaseException]) -> None:
        self.at, self.when, self.error = at, when, error
        self.asked = 0

    def around(self, transaction: Callable[[], Any]) -> Callable[[], Any]:
        @asynccontextmanager
        async def opened() -> AsyncIterator[Transaction]:
            async with transaction() as its:
                yield _Failing(self, its)

        return opened


class _Failing:
    def __init__(self, failing: Failing, its: Transaction) -> None:
        self._failing, self._its = failing, its

    async def answer(self, request: Request[Any]) -> Any:
        failing = self._failing
        failing.asked += 1
        is_it = failing.asked == failing.at
        if is_it and failing.when == "before":
            raise failing.error()
        answer = await self._its.answer(request)
        if is_it and failing.when == "after":
            raise failing.error()
        return answer


async def everything(tx: Writing) -> None:
    await tx.insert(PEOPLE, BOB)
    await tx.insert_many(LETTERS, [LETTER, {**LETTER, "id": "2"}])
    tx.deliver("welcome", PEOPLE, "bob")
    await tx.update(PEOPLE, "ada", {"name": "x"}, expected_version=1)
    await tx.delete(PAIRS, "a,1")
    await tx.delete(PAIRS, "none,1")


async def begun(home: Stores) -> Any:
    """Write what is to be changed, and return all that is there."""
    await write(context(home), lambda tx: tx.insert(PEOPLE, ADA), lambda tx: tx.insert(PAIRS, {"a": "a", "b": 1, "weight": None}))
    return await contents(home)


ERRORS: dict[str, Callable[[], BaseException]] = {
    "unavailable": lambda: StoreUnavailable("home"),
    "unknown": lambda: RuntimeError("whatever"),
    "cancelled": asyncio.CancelledError,
}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", ERRORS)
async def test_nothing_is_left_of_a_transaction_in_which_a_request_fails(
    home: Stores, monkeypatch: pytest.MonkeyPatch, name: str, when: str
) -> None:
    before = await begun(home)
    store: Any = home["home"]
    transaction = store.transaction
    at = 1
    while await failed(Failing(at, when, ERRORS[name]).around(transaction), home, monkeypatch) == ERRORS[name]().args:
        assert await contents(home) == before, at
        at += 1
    assert at > 10
    assert len((await contents(home))["crossgraph_outbox"]) == 2 + 5


async def failed(transaction: Callable[[], Any], home: Stores, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, ...] | None:
    """Return what is in the error of a run in such transactions; None where there is none."""
    monkeypatch.setattr(home["home"], "transaction", transaction)
    ctx = context(home, idempotency_key="once")
    try:
        await run(ctx, "home", "everything", everything)
    except (StoreUnavailable, RuntimeError, asyncio.CancelledError) as error:
        return error.args
    return None


async def test_nothing_is_left_where_the_last_insert_is_refused(home: Stores) -> None:
    before = await begun(home)
    outbox = before["crossgraph_outbox"][0]

    async def taking(tx: Writing) -> None:
        await everything(tx)
        tx.written[-1] = type(tx.written[-1])(outbox["id"], *[getattr(tx.written[-1], n) for n in _REST])

    with pytest.raises(Exception, match="same"):
        await write(context(home), taking)
    assert await contents(home) == before


_REST = ("collection", "key", "version", "action", "before", "after", "audited")


def losing(transaction: Callable[[], Any], error: Callable[[], Exception], *, committed: bool) -> Callable[[], Any]:
    """Return transactions whose commit is not answered, whether it happened or not."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Transaction]:
        if committed:
            async with transaction() as its:
                yield its
            raise error()
        async with transaction() as its:
            yield its
            raise error()

    return opened


@pytest.mark.parametrize("lost", [lambda: StoreUnavailable("home"), lambda: StoreTimeout("home", 1)])
async def test_a_commit_that_was_not_answered_is_unknown(home: Stores, monkeypatch: pytest.MonkeyPatch, lost: Any) -> None:
    store: Any = home["home"]
    monkeypatch.setattr(store, "transaction", losing(store.transaction, lost, committed=True))
    with pytest.raises((StoreUnavailable, StoreTimeout)) as caught:
        await run(context(home), "home", "f", lambda tx: tx.insert(PEOPLE, ADA))
    assert caught.value.extensions["committed"] == "unknown"


async def test_with_a_key_it_is_found_out_that_it_happened(home: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    store: Any = home["home"]
    with monkeypatch.context() as patched:
        patched.setattr(store, "transaction", losing(store.transaction, lambda: StoreUnavailable("home"), committed=True))
        ran = await run(context(home, idempotency_key="k"), "home", "f", lambda tx: tx.insert(PEOPLE, ADA))
    assert ran.is_repeated
    assert [(its.noun, its.key, its.version) for its in ran.outcomes] == [("people", "ada", 1)]


async def test_with_a_key_the_same_request_does_what_had_not_happened(home: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    store: Any = home["home"]
    with monkeypatch.context() as patched:
        patched.setattr(store, "transaction", losing(store.transaction, lambda: StoreUnavailable("home"), committed=False))
        with pytest.raises(StoreUnavailable) as caught:
            await run(context(home, idempotency_key="k"), "home", "f", lambda tx: tx.insert(PEOPLE, ADA))
    assert caught.value.extensions["committed"] == "unknown"
    assert (await contents(home))["people"] == []
    ran = await run(context(home, idempotency_key="k"), "home", "f", lambda tx: tx.insert(PEOPLE, ADA))
    assert not ran.is_repeated
    assert (await contents(home))["people"] == [ADA]


@pytest.mark.parametrize("kind", kinds(["postgresql", "mongodb", "neo4j"]))
async def test_a_connection_that_is_cut_behind_the_commit_loses_the_answer_alone(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """R20: the server has the COMMIT, and nobody hears of it. The same request with the same key has the one effect."""
    async with url_of(kind) as url:
        address = make_url(url)
        proxy = Proxy(address.host or "127.0.0.1", address.port or 0)
        await proxy.start()
        through = address.set(host="127.0.0.1", port=proxy.port)
        if kind == "mongodb":
            through = through.update_query_dict({"directConnection": "true"})
        stores = Stores.connect({"home": through.render_as_string(hide_password=False)}, protection=Protection(breaker_calls=0))
        beside = Stores.connect({"home": url})  # which sees when it is committed
        await stores.open()
        await beside.open()
        try:
            await stores.migrate("home", TABLES.all, None, owner=GATEWAY)
            await stores.migrate("home", [PEOPLE], None)

            async def cut() -> None:
                async with asyncio.timeout(WAIT_S):
                    while not await rows_of(beside, PEOPLE):  # noqa: ASYNC110 - a store tells nobody
                        await asyncio.sleep(0.05)
                await proxy.cut()

            cutting: list[asyncio.Task[None]] = []

            def at(point: str) -> None:
                if point == "commit.before" and not cutting:
                    proxy.silence()
                    cutting.append(asyncio.create_task(cut()))

            monkeypatch.setattr("gateway.writes.transaction.reached", at)
            with pytest.raises((StoreUnavailable, StoreTimeout)) as lost:
                await run(keyed(stores), "home", "createPerson", create)
            await cutting[0]
            assert lost.value.extensions["committed"] == "unknown"
            await proxy.start()
            async with asyncio.timeout(WAIT_S):
                again = await _until_reached(stores)
            assert (again.is_repeated, list(again.outcomes)) == (True, CREATED)
            assert [row["id"] for row in await rows_of(stores, PEOPLE)] == ["ada"]
            assert len(await rows_of(stores, TABLES.outbox)) == len(await rows_of(stores, TABLES.audit)) == 1
        finally:
            await stores.close()
            await beside.close()
            await proxy.cut()


async def _until_reached(stores: Stores) -> Any:
    while True:
        try:
            return await run(keyed(stores), "home", "createPerson", create)
        except (StoreUnavailable, StoreTimeout, InFlight):
            await asyncio.sleep(0.2)


async def test_a_store_that_cannot_be_reached_has_written_nothing(home: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def away() -> AsyncIterator[Transaction]:
        raise StoreUnavailable("home")
        yield

    monkeypatch.setattr(home["home"], "transaction", away)
    with pytest.raises(StoreUnavailable) as caught:
        await run(context(home, idempotency_key="k"), "home", "f", lambda tx: tx.insert(PEOPLE, ADA))
    assert "committed" not in caught.value.extensions


async def test_a_limit_of_the_authors_own_rolls_back(home: Stores) -> None:
    before = await begun(home)
    waiting = asyncio.Event()

    async def slow(tx: Writing) -> None:
        await everything(tx)
        async with asyncio.timeout(0.01):
            await waiting.wait()

    with pytest.raises(TimeoutError):
        await write(context(home), slow)
    assert await contents(home) == before


async def test_a_request_that_is_cut_short_dooms_what_goes_on_after_it(home: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    before = await begun(home)
    store: Any = home["home"]
    never = asyncio.Event()

    class Stuck:
        def __init__(self, its: Transaction) -> None:
            self._its = its

        async def answer(self, request: Request[Any]) -> Any:
            answer = await self._its.answer(request)
            if request.about == "letters":
                await never.wait()
            return answer

    transaction = store.transaction

    @asynccontextmanager
    async def opened() -> AsyncIterator[Stuck]:
        async with transaction() as its:
            yield Stuck(its)

    async def going_on(tx: Writing) -> None:
        await tx.insert(PEOPLE, BOB)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await tx.insert(LETTERS, LETTER)

    monkeypatch.setattr(store, "transaction", opened)
    with pytest.raises(StoreUnavailable):
        await write(context(home), going_on)
    assert await contents(home) == before
