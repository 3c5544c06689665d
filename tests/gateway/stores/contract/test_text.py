"""Text compares by code point and case-sensitively, and every character in it stands for itself: in orders, filters and keys."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gateway.stores.base import And, Compare, Fetch, Get, Match, Order, Page, Store, Where
from tests.gateway.stores.contract.oracle import column, ids, one, put, same
from tests.gateway.stores.contract.world import TEXTS_IN_ORDER, drafts, record, things

every_text = pytest.mark.parametrize("text", TEXTS_IN_ORDER)
AMONG_TEXTS = Compare("parent_id", "eq", "texts")


async def texts(store: Store, where: Where) -> list[object]:
    """The texts of the rows that match, by code point."""
    fetch = Fetch(things, ("name",), where=And((AMONG_TEXTS, where)), order=(Order("name"),))
    return column((await one(store, fetch)).rows)


def test_the_texts_stand_in_the_order_of_their_code_points() -> None:
    assert all([ord(c) for c in a] < [ord(c) for c in b] for a, b in pairwise(TEXTS_IN_ORDER))


@pytest.mark.parametrize("name", ["name", "note", "code"])
async def test_text_is_ordered_by_code_point(store: Store, name: str) -> None:
    up = await one(store, Fetch(things, ("name",), where=AMONG_TEXTS, order=(Order(name),)))
    down = await one(store, Fetch(things, ("name",), where=AMONG_TEXTS, order=(Order(name, descending=True),)))
    assert same(column(up.rows), list(TEXTS_IN_ORDER))
    assert same(column(down.rows), list(TEXTS_IN_ORDER[::-1]))


async def test_keys_are_ordered_by_code_point(scratch: Store) -> None:
    await put(scratch, drafts, *(record(text) for text in reversed(TEXTS_IN_ORDER)))
    assert same(await ids(scratch, drafts), list(TEXTS_IN_ORDER))
    assert same(await ids(scratch, drafts, order=(Order("id", descending=True),)), list(TEXTS_IN_ORDER[::-1]))


@every_text
async def test_equal_is_that_text_alone(store: Store, text: str) -> None:
    assert same(await texts(store, Compare("name", "eq", text)), [text])
    assert same(await texts(store, Compare("name", "ne", text)), [t for t in TEXTS_IN_ORDER if t != text])
    assert same(await texts(store, Compare("name", "in", (text, "no such text"))), [text])


@every_text
async def test_greater_and_less_go_by_code_point(store: Store, text: str) -> None:
    place = TEXTS_IN_ORDER.index(text)
    assert same(await texts(store, Compare("note", "lt", text)), list(TEXTS_IN_ORDER[:place]))
    assert same(await texts(store, Compare("note", "lte", text)), list(TEXTS_IN_ORDER[: place + 1]))
    assert same(await texts(store, Compare("note", "gt", text)), list(TEXTS_IN_ORDER[place + 1 :]))
    assert same(await texts(store, Compare("note", "gte", text)), list(TEXTS_IN_ORDER[place:]))


@every_text
async def test_contains_takes_every_character_for_itself(store: Store, text: str) -> None:
    assert same(await texts(store, Compare("name", "contains", text)), [t for t in TEXTS_IN_ORDER if t.find(text) >= 0])


@every_text
async def test_starts_with_takes_every_character_for_itself(store: Store, text: str) -> None:
    assert same(await texts(store, Compare("name", "starts_with", text)), [t for t in TEXTS_IN_ORDER if t[: len(text)] == text])


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ("a%", ["a%b"]),
        ("a_", ["a_b"]),
        ("a.", ["a.b"]),
        ("a\\", ["a\\b"]),
        ("a$", ["a$b"]),
        ("(a|", ["(a|b)"]),
        ("]", ["[a]"]),
        ("}", ["{a}", "{}"]),
        ("\n", ["\nNewline", "a\nb"]),
        ("\u0301", ["a\u0301", "e\u0301t\u00e9"]),
        ("\u200d", ["\U0001f469\u200d\U0001f680"]),
        ("\U0001f680", ["\U0001f469\u200d\U0001f680"]),
        ("\u1f60", []),
        ("AB", []),
        ("b ", []),
        ("a ", ["a ", "a b"]),
        ("SS", []),
        ("\u00c4", ["\u00c4"]),
    ],
)
async def test_contains(store: Store, part: str, found: list[str]) -> None:
    assert same(await texts(store, Compare("name", "contains", part)), found)


async def test_walking_by_text_meets_every_text_once(store: Store) -> None:
    order = (Order("name", descending=True),)
    seen: list[object] = []
    place = None
    while True:
        fetch = Fetch(things, ("name", "id"), Match("parent_id", ["texts"]), order=order, page=Page(7, after=place))
        slice_ = (await store.answer(fetch))["texts"]
        seen += column(slice_.rows)
        if not slice_.more:
            break
        place = tuple(slice_.rows[-1])
    assert same(seen, list(TEXTS_IN_ORDER[::-1]))


@every_text
async def test_a_cursor_at_any_text(store: Store, text: str) -> None:
    place = TEXTS_IN_ORDER.index(text)
    key = f"t{place:02}"
    fetch = Fetch(things, ("name",), Match("parent_id", ["texts"]), order=(Order("name"),), page=Page(2, after=(text, key)))
    slices = await store.answer(fetch)
    assert same(column(slices["texts"].rows) if "texts" in slices else [], list(TEXTS_IN_ORDER[place + 1 : place + 3]))


async def test_any_text_is_a_unique_value_to_get_by(store: Store) -> None:
    rows = await store.answer(Get(things, ("name",), [f"text {text}" for text in TEXTS_IN_ORDER], column="code"))
    assert same([tuple(rows[f"text {text}"]) for text in TEXTS_IN_ORDER], [(text,) for text in TEXTS_IN_ORDER])


async def test_a_long_text_comes_back_whole(scratch: Store) -> None:
    text = "\U0001f600 a'\"\\%_\n" * 10_000
    await put(scratch, drafts, record("long", note=text))
    assert same(column((await one(scratch, Fetch(drafts, ("note",)))).rows), [text])
    assert await ids(scratch, drafts, Compare("note", "contains", "\n\U0001f600 a'")) == ["long"]


async def test_control_characters_come_back(scratch: Store) -> None:
    text = "".join(chr(code) for code in [*range(1, 32), 0x7F, 0x85, 0x2028, 0xFEFF, 0xFFFE, 0xFFFF, 0x10FFFF])
    await put(scratch, drafts, record("control", note=text, data={"text": text}))
    slice_ = await one(scratch, Fetch(drafts, ("note", "data"), where=Compare("note", "eq", text)))
    assert same([tuple(row) for row in slice_.rows], [(text, {"text": text})])
