"""Look-ups by key that share calls have the rows that they have alone, in every kind of store."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

from gateway.context import RequestContext
from gateway.stores import Stores
from gateway.stores.base import Compare, Get, Row, Store, Upsert
from tests.gateway.stores.contract.oracle import same
from tests.gateway.stores.contract.world import ODD_KEYS, THINGS, drafts, record, things

AT_ONCE = 60
KEYS = [*(str(thing["id"]) for thing in THINGS), *ODD_KEYS, "nobody", ""]
CODES = [str(thing["code"]) for thing in THINGS if thing["code"] is not None]
COLUMNS = (things.names, ("name",), ("size", "id", "note"))
WHERE = (None, None, Compare("size", "gt", 0))


def look_ups() -> list[Get]:
    """Return look-ups of which many ask for the same, by the key and by another unique column."""
    chosen = random.Random(1)
    made = []
    for _ in range(AT_ONCE):
        column, keys = chosen.choice((("id", KEYS), ("id", KEYS[:5]), ("code", CODES)))
        made.append(Get(things, chosen.choice(COLUMNS), chosen.sample(keys, chosen.randint(1, 5)), column, chosen.choice(WHERE)))
    return made


async def answers(stores: Stores, gets: list[Get]) -> list[Mapping[str, Row]]:
    return list(await asyncio.gather(*(RequestContext(stores).ask(get) for get in gets)))


async def test_look_ups_at_once_have_the_rows_that_they_have_alone_in_fewer_calls(store: Store) -> None:
    gets = look_ups()
    alone = Stores({"tested": store}, timeout_s=30)
    expected = [dict(await RequestContext(alone).ask(get)) for get in gets]
    assert any(expected), "there is something to be found"
    shared = Stores({"tested": store}, timeout_s=30, coalesced={"tested"})
    found = await answers(shared, gets)
    for get, theirs, ours in zip(gets, expected, found, strict=True):
        assert ours.keys() == theirs.keys(), get
        for key, row in ours.items():
            assert same(tuple(row), tuple(theirs[key])), get
    assert shared.calls["tested.things"] < alone.calls["tested.things"] == AT_ONCE


async def test_who_has_written_reads_it_among_many_who_read_the_same(scratch: Store) -> None:
    stores = Stores({"tested": scratch}, timeout_s=30, write_timeout_s=30, coalesced={"tested"})
    get = Get(drafts, ("name",), ["hot"])

    async def write_and_read(number: int) -> None:
        row = tuple(record(id=f"k{number}", name=f"name {number}").values())
        await RequestContext(stores).ask(Upsert(drafts, [row]))
        rows = await RequestContext(stores).ask(Get(drafts, ("name",), ["hot", f"k{number}"]))
        assert rows[f"k{number}"][0] == f"name {number}"

    await asyncio.gather(*(write_and_read(number) for number in range(8)), *(RequestContext(stores).ask(get) for _ in range(20)))
