"""Loading NDJSON: a bad line is named and leaves nothing behind, good ones arrive once however often they are loaded."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.errors import BadData, StoreUnavailable
from gateway.graph.datasets import Dataset, Derived
from gateway.lines import LINE_LIMIT_BYTES, wire_time
from gateway.loading import ROWS_PER_CALL, LoadReport, Step, load_folder, write_batches
from gateway.stores.base import Collection, Column, Get, Index, Key, Request, Row, Rows, Type, Upsert
from tests.forms import of_form

people = Collection(
    name="people",
    store="left",
    columns=(
        Column("id", refers="Person"),
        Column("email"),
        Column("nick", nullable=True),
        Column("active", Type.BOOL, default=True),
        Column("age", Type.INT, nullable=True),
        Column("score", Type.FLOAT, default=0.0),
        Column("born", Type.DATE, nullable=True),
        Column("tags", Type.TEXTS, default=()),
        Column("extra", Type.JSON, default={}),
        Column("created_at", Type.TIME),
        Column("updated_at", Type.TIME),
    ),
    indexes=(Index(("email",), unique=True),),
)
knows = Collection(name="knows", store="right", columns=(Column("a"), Column("b")), key=("a", "b"))
notes = Collection(name="notes", store="right", columns=(Column("id"), Column("text")))

DATASETS = (
    Dataset(
        "people.ndjson",
        people,
        same_as={"updated_at": "created_at"},
        derived=(Derived(knows, lambda line: [(line["id"], other) for other in line["tags"]]),),
    ),
    Dataset("notes.ndjson", notes),
)
LARGE = of_form(25_000, 50_000)  # lines
GOOD = {"id": "1", "email": "a@b", "created_at": "2020-01-02T03:04:05.678Z"}


class Recorder:
    """A stand-in for the stores: keeps rows by key, and what was called."""

    def __init__(self) -> None:
        self.rows: dict[Collection, dict[tuple[Key, ...], Row]] = defaultdict(dict)
        self.calls: list[tuple[str, int]] = []
        self.running: set[str] = set()
        self.met: set[frozenset[str]] = set()

    async def ask(self, request: Request[Any], *, timeout_s: float | None = None) -> Any:
        return self.get(request) if isinstance(request, Get) else await self.upsert(request)

    def get(self, get: Get) -> Rows:
        at = get.collection.names.index(get.column)
        rows = [row for row in self.rows[get.collection].values() if row[at] in get.keys]
        return {row[at]: [row[get.collection.names.index(name)] for name in get.columns] for row in rows}

    async def upsert(self, upsert: Any) -> None:
        names, store = upsert.collection.names, upsert.collection.store
        assert store not in self.running, "one writer per store"
        self.running.add(store)
        await asyncio.sleep(0)
        self.met.add(frozenset(self.running))
        keys = [tuple(row[names.index(name)] for name in upsert.collection.key) for row in upsert.rows]
        assert len(set(keys)) == len(keys), "a call has a key once"
        self.rows[upsert.collection].update(zip(keys, upsert.rows, strict=True))
        self.calls.append((upsert.collection.name, len(keys)))
        self.running.remove(store)

    def column(self, collection: Collection, name: str) -> list[Any]:
        return [row[collection.names.index(name)] for row in self.rows[collection].values()]


def write(folder: Path, *lines: Mapping[str, object] | bytes, file: str = "people.ndjson") -> None:
    folder.joinpath(file).write_bytes(b"".join((line if isinstance(line, bytes) else orjson.dumps(line)) + b"\n" for line in lines))


async def load(stores: Recorder, folder: Path, **options: Any) -> LoadReport:
    return await load_folder(stores, DATASETS, folder, **options)


async def refusal(folder: Path, *lines: Mapping[str, object] | bytes) -> str:
    write(folder, *lines)
    stores = Recorder()
    with pytest.raises(BadData) as caught:
        await load(stores, folder)
    assert stores.calls == [], "nothing is written of a file with a bad line"
    return caught.value.message


# ----------------------------------------------------------------------------------------------------------------- good lines


async def test_a_line_becomes_a_row_and_what_follows_from_it(tmp_path: Path) -> None:
    line = GOOD | {"nick": None, "age": 7, "score": 2, "born": "1999-12-31", "tags": ["2", "3"], "extra": {"a": [1]}, "browser": "x"}
    write(tmp_path, line)
    stores = Recorder()
    report = await load(stores, tmp_path)
    at = "2020-01-02T03:04:05.678Z"
    assert list(stores.rows[people].values()) == [("1", "a@b", None, True, 7, 2.0, "1999-12-31", ["2", "3"], {"a": [1]}, at, at)]
    assert list(stores.rows[knows]) == [("1", "2"), ("1", "3")]
    assert (report.lines, report.rows) == ({"people.ndjson": 1}, {"people": 1, "knows": 2})


async def test_missing_columns_have_their_defaults(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    stores = Recorder()
    await load(stores, tmp_path)
    assert next(iter(stores.rows[people].values()))[2:9] == (None, True, None, 0.0, None, [], {})


async def test_a_byte_order_mark_blank_lines_and_a_missing_last_line_end_are_no_matter(tmp_path: Path) -> None:
    second = orjson.dumps(GOOD | {"id": "2", "email": "c"})
    tmp_path.joinpath("people.ndjson").write_bytes(b"\xef\xbb\xbf" + orjson.dumps(GOOD) + b"\r\n\r\n   \n" + second)
    stores = Recorder()
    assert (await load(stores, tmp_path)).lines == {"people.ndjson": 2}
    assert stores.column(people, "id") == ["1", "2"]


async def test_the_last_line_of_a_key_wins(tmp_path: Path) -> None:
    write(tmp_path, GOOD | {"nick": "old"}, GOOD | {"id": "2", "email": "c"}, GOOD | {"nick": "new"})
    stores = Recorder()
    await load(stores, tmp_path)
    assert sorted(stores.column(people, "nick"), key=str) == [None, "new"]


async def test_loading_twice_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, *(GOOD | {"id": str(n), "email": str(n), "tags": ["x"]} for n in range(10)))
    stores = Recorder()
    await load(stores, tmp_path)
    before = {collection: dict(rows) for collection, rows in stores.rows.items()}
    await load(stores, tmp_path)
    assert stores.rows == before


async def test_rows_go_in_calls_of_some_thousand_and_stores_are_written_at_the_same_time(tmp_path: Path) -> None:
    number = 2 * ROWS_PER_CALL + 1
    write(tmp_path, *(GOOD | {"id": str(n), "email": str(n)} for n in range(number)))
    write(tmp_path, *({"id": str(n), "text": "x"} for n in range(number)), file="notes.ndjson")
    stores = Recorder()
    await load(stores, tmp_path)
    assert sorted(stores.calls) == sorted([(name, size) for name in ("people", "notes") for size in (ROWS_PER_CALL, ROWS_PER_CALL, 1)])
    assert frozenset({"left", "right"}) in stores.met


async def test_files_of_no_dataset_are_named_and_left_alone(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    write(tmp_path, b"no json", file="writes.ndjson")
    tmp_path.joinpath("README.md").write_text("x")
    assert (await load(Recorder(), tmp_path)).ignored == ("writes.ndjson",)


async def test_progress_ends_with_all_bytes_of_both_phases(tmp_path: Path) -> None:
    write(tmp_path, *(GOOD | {"id": str(n), "email": str(n)} for n in range(2_500)))
    steps: list[Step] = []
    await load(Recorder(), tmp_path, progress=steps.append)
    for phase in ("check", "write"):
        done = [step.done for step in steps if step.phase == phase]
        assert len(done) > 1
        assert done == sorted(done)
        assert done[-1] == steps[0].total == tmp_path.joinpath("people.ndjson").stat().st_size


async def test_a_large_file_is_not_held_in_memory(tmp_path: Path) -> None:
    write(tmp_path, *({"id": str(n), "text": "x" * 400} for n in range(LARGE)), file="notes.ndjson")

    class Sink(Recorder):
        async def upsert(self, upsert: Upsert, *, timeout_s: float | None = None) -> None: ...

    tracemalloc.start()
    try:
        await load(Sink(), tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * 1024 * 1024  # the file has 10 MB, or 21


# ------------------------------------------------------------------------------------------------------------------ bad lines

TIME = "an RFC 3339 time such as 2010-03-08T23:51:42.175Z"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b'{"id": "2"', 'expected a JSON object, got \'{"id": "2"\': unexpected end of data (column 11)'),
        (b"[1]", "expected a JSON object, got [1]"),
        (b'{"id": "\xff"}', 'expected a JSON object, got \'{"id": "�"}\': str is not valid UTF-8: surrogates not allowed (column 1)'),
        (b'{"id": "\\ud800"}', 'expected a JSON object, got \'{"id": "\\\\ud800"}\': no low surrogate in string (column 9)'),
        ({"email": "x"}, "id: expected text that is not empty, got nothing"),
        ({"id": 5}, "id: expected text that is not empty, got 5"),
        ({"id": ""}, 'id: expected text that is not empty, got ""'),
        ({"id": "2", "email": None}, "email: expected text, got null"),
        ({"id": "2", "email": "c"}, f"created_at: expected {TIME}, got nothing"),
        (GOOD | {"id": "2", "email": "nul\0"}, 'email: expected text without NUL characters, got "nul\\u0000"'),
        (
            GOOD | {"id": "2", "email": "c", "extra": {"a": [{"\0": 1}]}},
            'extra: expected text without NUL characters, got {"a":[{"\\u0000":1}]}',
        ),
        (GOOD | {"id": "2", "email": "c", "tags": ["\0"]}, 'tags: expected text without NUL characters, got ["\\u0000"]'),
        (GOOD | {"id": "2", "email": "c", "active": 1}, "active: expected true or false, got 1"),
        (GOOD | {"id": "2", "email": "c", "age": True}, "age: expected a whole number of 64 bits, got true"),
        (GOOD | {"id": "2", "email": "c", "age": 2**63}, "age: expected a whole number of 64 bits, got 9223372036854775808"),
        (GOOD | {"id": "2", "email": "c", "score": "1"}, 'score: expected a number, got "1"'),
        (GOOD | {"id": "2", "email": "c", "born": "1999-02-29"}, 'born: expected a date such as 1985-09-20, got "1999-02-29"'),
        (GOOD | {"id": "2", "email": "c", "born": "19990228"}, 'born: expected a date such as 1985-09-20, got "19990228"'),
        (GOOD | {"id": "2", "email": "c", "tags": ["a", 1]}, 'tags: expected a list of texts, got ["a",1]'),
        (GOOD | {"id": "2", "email": "c", "tags": "a"}, 'tags: expected a list of texts, got "a"'),
        (GOOD | {"id": "2", "email": "c", "extra": None}, "extra: expected JSON with whole numbers of 64 bits, at most 64 deep, got null"),
        (
            GOOD | {"id": "2", "email": "c", "extra": {"n": 2**64 - 1}},
            'extra: expected JSON with whole numbers of 64 bits, at most 64 deep, got {"n":18446744073709551615}',
        ),
        (GOOD | {"id": "2", "email": "c", "created_at": "yesterday"}, f'created_at: expected {TIME}, got "yesterday"'),
        (GOOD | {"id": "2", "email": "c", "updated_at": 5}, f"updated_at: expected {TIME}, got 5"),
        (GOOD | {"id": "2"}, 'email: expected one that no other row has, got that of line 1, "a@b"'),
    ],
)
async def test_a_bad_line_is_named_with_what_was_expected(tmp_path: Path, line: Mapping[str, object] | bytes, what: str) -> None:
    assert await refusal(tmp_path, GOOD, line) == f"people.ndjson, line 2: {what}"


async def test_nul_in_a_field_that_is_no_column_is_no_matter(tmp_path: Path) -> None:
    write(tmp_path, GOOD | {"browser": "\0", "nick": "\\u0000"})
    stores = Recorder()
    await load(stores, tmp_path)
    assert stores.column(people, "nick") == ["\\u0000"]


async def test_a_long_value_is_cut_in_the_message(tmp_path: Path) -> None:
    message = await refusal(tmp_path, GOOD | {"active": "x" * 10_000})
    assert len(message) < 200
    assert message.endswith("xx…")


async def test_json_that_is_too_deep_is_refused(tmp_path: Path) -> None:
    deep: list[Any] = []
    for _ in range(64):
        deep = [deep]
    write(tmp_path, GOOD | {"extra": deep})
    await load(Recorder(), tmp_path)
    assert "at most 64 deep" in await refusal(tmp_path, GOOD | {"extra": [deep]})


async def test_a_line_without_end_is_refused_and_the_next_one_found(tmp_path: Path) -> None:
    long = b'{"id": "' + b"x" * (2 * LINE_LIMIT_BYTES) + b'"}'
    assert await refusal(tmp_path, long, GOOD) == f"people.ndjson, line 1: expected a line of at most {LINE_LIMIT_BYTES} bytes"
    stores = Recorder()
    await load(stores, tmp_path, on_bad=lambda _: None)
    assert stores.column(people, "id") == ["1"]


async def test_a_bad_line_in_one_file_keeps_all_files_from_being_written(tmp_path: Path) -> None:
    write(tmp_path, {"id": "1", "text": 5}, file="notes.ndjson")
    assert await refusal(tmp_path, GOOD) == "notes.ndjson, line 1: text: expected text, got 5"


async def test_skipping_reports_every_bad_line_and_writes_the_good_ones(tmp_path: Path) -> None:
    write(tmp_path, b"x", GOOD, {"id": "2"}, GOOD | {"id": "3"}, GOOD | {"id": "4", "email": "d", "tags": ["1"]})
    stores, bad = Recorder(), list[str]()
    report = await load(stores, tmp_path, on_bad=lambda error: bad.append(error.message))
    assert [message[:22] for message in bad] == ["people.ndjson, line 1:", "people.ndjson, line 3:", "people.ndjson, line 4:"]
    assert (report.lines["people.ndjson"], report.skipped["people.ndjson"], report.rows["people"]) == (5, 3, 2)
    assert stores.column(people, "id") == ["1", "4"]


async def test_a_unique_value_that_a_row_of_the_store_has_is_found_before_anything_is_written(tmp_path: Path) -> None:
    stores = Recorder()
    write(tmp_path, GOOD | {"id": "9"})
    await load(stores, tmp_path)
    write(tmp_path, GOOD | {"id": "2", "email": "free"}, GOOD)
    with pytest.raises(
        BadData, match=r'people\.ndjson, line 2: email: expected one that no other row has, got that of "9" in the store, "a@b"'
    ):
        await load(stores, tmp_path)
    assert stores.column(people, "id") == ["9"]
    await load(stores, tmp_path, on_bad=lambda _: None)
    assert stores.column(people, "id") == ["9", "2"]


async def test_a_file_that_changes_between_check_and_write_is_noticed(tmp_path: Path) -> None:
    write(tmp_path, GOOD)

    def spoil(step: Step) -> None:
        if step.phase == "check" and step.done == step.total:
            write(tmp_path, b"x")

    with pytest.raises(BadData, match=r"line 1: .*; the file changed while it was read"):
        await load(Recorder(), tmp_path, progress=spoil)


@pytest.mark.parametrize("name", ["nowhere", "empty", "people.ndjson"])
async def test_a_folder_without_known_files_is_refused(tmp_path: Path, name: str) -> None:
    tmp_path.joinpath("empty").mkdir()
    write(tmp_path, GOOD)
    with pytest.raises(BadData, match=r"people\.ndjson, notes\.ndjson"):
        await load(Recorder(), tmp_path / name)


async def test_a_store_that_fails_ends_the_load_with_its_own_error(tmp_path: Path) -> None:
    class Broken(Recorder):
        async def upsert(self, upsert: Any) -> None:
            raise StoreUnavailable(upsert.collection.store)

    write(tmp_path, *({"id": str(n), "text": "x"} for n in range(5 * ROWS_PER_CALL)), file="notes.ndjson")
    with pytest.raises(StoreUnavailable, match="'right'"):
        await load(Broken(), tmp_path)


# ---------------------------------------------------------------------------------------------------------- batches and times


async def test_batches_are_taken_while_others_are_written() -> None:
    stores, seen = Recorder(), list[int]()
    batches = [(notes, [(str(n), "x")]) for n in range(5)]
    assert await write_batches(stores, iter(batches), lambda rows: seen.append(rows["notes"])) == {"notes": 5}
    assert seen[-1] == 5
    assert seen[0] < 5


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("2010-03-08T23:51:42.175Z", "2010-03-08T23:51:42.175Z"),
        ("2010-03-08T23:51:42Z", "2010-03-08T23:51:42.000Z"),
        ("2010-03-08t23:51:42.1z", "2010-03-08T23:51:42.100Z"),
        ("2010-03-08T23:51:42.1759999Z", "2010-03-08T23:51:42.175Z"),
        ("2010-03-08T23:51:42.175+02:00", "2010-03-08T21:51:42.175Z"),
        ("2009-12-31T23:30:00-01:30", "2010-01-01T01:00:00.000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
    ],
)
def test_times_get_their_wire_form(text: str, wire: str) -> None:
    assert wire_time(text) == wire


@pytest.mark.parametrize(
    "text",
    ["2010-03-08", "2010-03-08T23:51:42", "2010-13-08T00:00:00Z", "2010-02-30T00:00:00.000Z", "2010-03-08 23:51:42Z", "20100308T235142Z",
     "2010-03-08T24:00:01Z",
     "2010-03-08T23:51:60Z", "0001-01-01T00:00:00+01:00", "٢٠١٠-03-08T23:51:42Z", "2010-03-08T23:51:42.Z", "", None, 5],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the caller says what was expected
        wire_time(text)
