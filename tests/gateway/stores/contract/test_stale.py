"""What a store of each kind answered is what is given when it fails, until it is written."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.context import RequestContext
from gateway.errors import StoreUnavailable
from gateway.stores import Stores
from gateway.stores.base import Compare, Delete, Ends, Fetch, Get, Joins, Match, Order, Page, Pairs, Remove, Request, Store, Update, Upsert
from gateway.stores.guards import Protection
from gateway.stores.stale import Stale, StaleLimits
from resolvers.graph import follows
from resolvers.users import users
from tests.failing import Failing
from tests.gateway.stores.contract.oracle import answered, put, same
from tests.gateway.stores.contract.test_nouns import USERS
from tests.gateway.stores.contract.world import ODD_KEYS, THINGS, drafts, links, record, things

KEYS = [*(str(thing["id"]) for thing in THINGS), *ODD_KEYS, "nobody", ""]
PARENTS = [*dict.fromkeys(str(thing["parent_id"]) for thing in THINGS if thing["parent_id"] is not None), "nobody"]
CODES = [str(thing["code"]) for thing in THINGS if thing["code"] is not None]
PAGES: dict[str, Fetch] = {
    "all": Fetch(things, things.names),
    "a page": Fetch(things, ("id", "data"), order=(Order("score", descending=True),), page=Page(4), count=True),
    "a page of a filter": Fetch(things, ("id",), where=Compare("size", "gt", 0), page=Page(3, backward=True)),
    "a page per parent": Fetch(things, ("id", "tags"), Match("parent_id", PARENTS), page=Page(2), count=True),
    "of pairs": Fetch(things, ("id",), Pairs("id", [("p", "m00"), ("p", "m05"), ("q", "only")]), page=Page(1)),
    "edges": Fetch(links, links.names, Match("source_id", ["ann", "bob", "nobody"]), page=Page(2)),
}


class Kept:
    """A store whose answers are kept, and that fails when told."""

    def __init__(self, store: Store) -> None:
        self.store = Failing(store)
        self.store.error = StoreUnavailable("tested")
        limits = StaleLimits({"tested": 60.0, "users": 60.0, "recommendations": 60.0})
        pools: dict[str, Any] = dict.fromkeys(limits.seconds, self.store)
        self.stores = Stores(pools, timeout_s=30, write_timeout_s=30, protection=Protection(breaker_calls=0), stale=Stale(limits))

    def fails(self, now: bool = True) -> None:
        self.store.when = lambda _: now

    async def ask(self, request: Request[Any]) -> Any:
        ctx = RequestContext(self.stores)
        ctx.may_be_stale = not request.is_write
        answer = await ctx.ask(request)
        assert bool(ctx.extensions) == (not request.is_write and self.store.when(request))
        return answer

    async def is_given(self, request: Request[Any]) -> bool:
        self.fails()
        try:
            await self.ask(request)
        except StoreUnavailable:
            return False
        finally:
            self.fails(now=False)
        return True


@pytest.mark.parametrize(("column", "keys"), [("id", KEYS), ("code", CODES)], ids=["by the key", "by another column"])
async def test_rows_are_what_they_were(store: Store, column: str, keys: list[str]) -> None:
    kept = Kept(store)
    asked = Get(things, things.names, keys, column)
    before = await kept.ask(asked)
    kept.fails()
    after = await kept.ask(asked)
    assert before
    assert same({key: tuple(row) for key, row in after.items()}, {key: tuple(row) for key, row in before.items()})
    assert (await kept.ask(Get(things, things.names, keys[:1], column))).keys() <= {keys[0]}


@pytest.mark.parametrize("asked", PAGES.values(), ids=PAGES)
async def test_pages_are_what_they_were(store: Store, asked: Fetch) -> None:
    kept = Kept(store)
    before = answered(await kept.ask(asked), counted=asked.count)
    kept.fails()
    assert before
    assert same(answered(await kept.ask(asked), counted=asked.count), before)


async def test_what_is_written_is_not_given_any_more(scratch: Store) -> None:
    kept = Kept(scratch)
    one, two, page = Get(drafts, ("name",), ["one"]), Get(drafts, ("name",), ["two"]), Fetch(drafts, ("id",), page=Page(5))
    by_code = Get(drafts, ("name",), ["code of two"], "code")
    for write in (
        Upsert(drafts, [tuple(record(id="one", name="upserted").values())]),
        Update(drafts, ("one",), (("name", "updated"),)),
        Remove(drafts, ("one",)),
        Delete(drafts, [("one",)]),
    ):
        await put(scratch, drafts, record(id="one"), record(id="two"))
        for asked in (one, two, page, by_code):
            await kept.ask(asked)
            assert await kept.is_given(asked)
        await kept.stores.ask(write)
        assert [await kept.is_given(asked) for asked in (one, two, page, by_code)] == [False, True, False, False], write


async def test_pages_at_the_ends_of_edges(scratch: Store) -> None:
    ends = Ends(follows, "follower_id", "followee_id", ["6", "73"])
    if not isinstance(scratch, Joins) or not scratch.joins(users, ends):
        assert "postgresql" not in scratch.kind, "which follows edges to their ends"
        return
    kept = Kept(scratch)
    await put(scratch, users, *USERS)
    edge = {"follower_id": "6", "followee_id": "73", "since": "2010-03-08T23:51:42.175Z"}
    await put(scratch, follows, edge)
    asked = Fetch(users, ("id", "name"), ends, page=Page(2))
    before = answered(await kept.ask(asked))
    assert before == {"6": ([("73", "Bo\u00e9")], False, None)}
    kept.fails()
    assert answered(await kept.ask(asked)) == before
    kept.fails(now=False)
    for write in (Upsert(follows, [tuple(edge.values())]), Update(users, ("8796093022404",), (("name", "another"),))):
        await kept.ask(asked)
        await kept.stores.ask(write)
        assert not await kept.is_given(asked), write
