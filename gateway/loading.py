"""From NDJSON files to rows in stores: every line of a file is checked before anything of it is written.

A file is read twice, once to check and once to write, so that its size does not matter. All rows are upserts, so that a
load that was cut short is completed by running it again.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

import orjson

from gateway.errors import BadData
from gateway.graph.datasets import Dataset, Line
from gateway.stores.base import KEYS_PER_CALL, A, Collection, Column, Get, Key, Request, Row, Type, Upsert, Value

ROWS_PER_CALL = 2_000
LINES_PER_TURN = 1_000  # checked before others get the event loop
LINE_LIMIT_BYTES = 16 * 1024 * 1024
WRITE_TIMEOUT_S = 60.0  # of one call: a load may be slow, a request may not
JSON_DEPTH = 64

Batch = tuple[Collection, Sequence[Row]]


@dataclass(frozen=True, slots=True)
class Step:
    """How far the work on a file is, in bytes of it."""

    file: str
    phase: Literal["check", "write"]
    done: int
    total: int


@dataclass(slots=True)
class LoadReport:
    """What a load did. ``rows`` counts what was written, by collection; ``skipped`` the bad lines, by file."""

    lines: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    ignored: tuple[str, ...] = ()
    seconds: float = 0.0


class Target(Protocol):
    """What a load needs of the stores."""

    def ask(self, request: Request[A], *, timeout_s: float | None = None) -> Awaitable[A]: ...


def _nobody(_: object) -> None: ...


async def load_folder(
    stores: Target,
    datasets: Sequence[Dataset],
    folder: Path,
    *,
    on_bad: Callable[[BadData], None] | None = None,
    progress: Callable[[Step], None] = _nobody,
) -> LoadReport:
    """Check and then write the datasets whose files are in ``folder``; BadData at the first bad line, and nothing is written.

    With ``on_bad`` bad lines are handed to it and left out. Stores are written at the same time as each other.
    """
    started = time.perf_counter()
    files = _files(datasets, folder)
    report = LoadReport(ignored=_ignored(folder, files))
    for file in files:
        await file.check(stores, report, on_bad, progress)
    await _write(stores, [file.batches(progress, strict=on_bad is None) for file in files], report.rows)
    report.seconds = time.perf_counter() - started
    return report


async def write_batches(stores: Target, batches: Iterable[Batch], progress: Callable[[Counter[str]], None] = _nobody) -> Counter[str]:
    """Write batches as they come, each store at the same time as the others; return the rows written, by collection."""
    rows: Counter[str] = Counter()

    async def each() -> AsyncIterator[Batch]:
        for batch in batches:
            yield batch
            progress(rows)

    await _write(stores, [each()], rows)
    progress(rows)
    return rows


# ---------------------------------------------------------------------------------------------------------------- files


def _files(datasets: Sequence[Dataset], folder: Path) -> list[_File]:
    if not folder.is_dir():
        raise BadData(f"{folder}: expected a folder with {', '.join(d.file for d in datasets)}")
    files = [_File(dataset, folder / dataset.file) for dataset in datasets if (folder / dataset.file).is_file()]
    if not files:
        raise BadData(f"{folder}: expected at least one of {', '.join(d.file for d in datasets)}")
    return files


def _ignored(folder: Path, files: Sequence[_File]) -> tuple[str, ...]:
    known = {file.path for file in files}
    return tuple(sorted(path.name for path in folder.glob("*.ndjson") if path not in known))


class _File:
    """One file of a load: first ``check``, then ``batches``."""

    def __init__(self, dataset: Dataset, path: Path) -> None:
        self.path = path
        self._dataset = dataset
        self._line = _line_reader(dataset)
        self._key = _picker(dataset.collection, dataset.collection.key)
        self._size = path.stat().st_size
        self._owners = [_Owners(dataset.collection, index.columns) for index in dataset.collection.indexes if index.unique]

    async def check(
        self, stores: Target, report: LoadReport, on_bad: Callable[[BadData], None] | None, progress: Callable[[Step], None]
    ) -> None:
        """Read every line and keep none. A bad one is raised, or handed to ``on_bad``."""
        name = self.path.name

        def bad(number: int, what: str) -> None:
            error = BadData(f"{name}, line {number}: {what}")
            if on_bad is None:
                raise error
            report.skipped[name] += 1
            on_bad(error)

        done = 0
        for number, text in _lines(self.path):
            done += len(text)
            if number % LINES_PER_TURN == 0:
                progress(Step(name, "check", done, self._size))
                await asyncio.sleep(0)
            if not text.strip():
                continue
            report.lines[name] += 1
            try:
                line = self._line(text)
                for owners in self._owners:
                    owners.claim(line, self._key(line), number)
            except _Wrong as wrong:
                bad(number, str(wrong))
        for owners in self._owners:
            for number, what in await owners.taken_in(stores):
                bad(number, what)
        progress(Step(name, "check", self._size, self._size))

    async def batches(self, progress: Callable[[Step], None], *, strict: bool) -> AsyncIterator[Batch]:
        """Read every line again and give the rows. A line that repeats a key of its batch replaces the one before."""
        collection = self._dataset.collection
        targets = [_Buffer(collection, _picker(collection, collection.names))]
        derived = [(d.rows, _Buffer(d.collection)) for d in self._dataset.derived]
        buffers = [*targets, *(buffer for _, buffer in derived)]
        done = 0
        for number, text in _lines(self.path):
            done += len(text)
            if not text.strip():
                continue
            try:
                line = self._line(text)
            except _Wrong as wrong:
                if strict:  # the check has passed over this line: somebody changes the file
                    raise BadData(f"{self.path.name}, line {number}: {wrong}; the file changed while it was read") from wrong
                continue
            if not all(owners.owns(line, self._key(line)) for owners in self._owners):
                continue
            targets[0].add_line(line)
            for rows, buffer in derived:
                for row in rows(line):
                    buffer.add(row)
            for buffer in buffers:
                if len(buffer.rows) >= ROWS_PER_CALL:
                    yield buffer.taken()
                    progress(Step(self.path.name, "write", done, self._size))
        for buffer in buffers:
            if buffer.rows:
                yield buffer.taken()
        progress(Step(self.path.name, "write", self._size, self._size))


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Give (number, bytes) of each line, cut off just above the limit where it is longer."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LINE_LIMIT_BYTES + 1):
            number += 1
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            yield number, line
            while len(line) > LINE_LIMIT_BYTES and not line.endswith(b"\n"):
                line = file.readline(LINE_LIMIT_BYTES + 1)


class _Buffer:
    """Rows of a collection by key, until there are enough of them for a call."""

    def __init__(self, collection: Collection, row: Callable[[Line], Row] = tuple) -> None:
        self._collection = collection
        self._row = row
        self._key_at = [collection.names.index(name) for name in collection.key]
        self.rows: dict[tuple[Key, ...], Row] = {}

    def add_line(self, line: Line) -> None:
        self.add(self._row(line))

    def add(self, row: Row) -> None:
        key = tuple(row[at] for at in self._key_at)
        self.rows.pop(key, None)  # the last of a key is also the last in order
        self.rows[key] = row

    def taken(self) -> Batch:
        rows, self.rows = list(self.rows.values()), {}
        return self._collection, rows


class _Owners:
    """Which key has which value of a unique index, so that two keys with one are found before anything is written."""

    def __init__(self, collection: Collection, columns: tuple[str, ...]) -> None:
        self._collection = collection
        self._columns = columns
        self._value = _picker(collection, columns)
        self._by_value: dict[tuple[Value, ...], tuple[tuple[Key, ...], int]] = {}

    def claim(self, line: Line, key: tuple[Key, ...], number: int) -> None:
        value = self._value(line)
        if None in value:  # nulls are never equal
            return
        owner, first = self._by_value.setdefault(value, (key, number))
        if owner != key:
            raise _Wrong(f"{self._what()}: expected one that no other row has, got that of line {first}, {_shown(value)}")

    def owns(self, line: Line, key: tuple[Key, ...]) -> bool:
        value = self._value(line)
        return None in value or self._by_value.get(value, (None, 0))[0] == key

    async def taken_in(self, stores: Target) -> list[tuple[int, str]]:
        """Return (line, what is wrong) for values that rows in the store have, whose keys are not in the file; disown them."""
        if len(self._columns) > 1:
            return []  # the port looks up by one column; the store itself refuses such a row
        keys = {owner for owner, _ in self._by_value.values()}
        values = [value[0] for value in self._by_value]
        result = []
        for start in range(0, len(values), KEYS_PER_CALL):
            part = values[start : start + KEYS_PER_CALL]
            rows = await stores.ask(Get(self._collection, self._collection.key, part, column=self._columns[0]), timeout_s=WRITE_TIMEOUT_S)
            for value, row in rows.items():
                owner, number = self._by_value[(value,)]
                if tuple(row) != owner and tuple(row) not in keys:
                    del self._by_value[(value,)]
                    got = f"that of {_shown(tuple(row))} in the store, {_shown(value)}"
                    result.append((number, f"{self._what()}: expected one that no other row has, got {got}"))
        return sorted(result)

    def _what(self) -> str:
        return ", ".join(self._columns)


# -------------------------------------------------------------------------------------------------------------- writing


async def _write(stores: Target, sources: Sequence[AsyncIterator[Batch]], rows: Counter[str]) -> None:
    """Drain all sources at the same time. One writer per store: batches of a store keep their order."""
    queues: dict[str, asyncio.Queue[Batch | None]] = {}

    async def write(queue: asyncio.Queue[Batch | None]) -> None:
        while batch := await queue.get():
            await stores.ask(Upsert(*batch), timeout_s=WRITE_TIMEOUT_S)
            rows[batch[0].name] += len(batch[1])

    async def feed(source: AsyncIterator[Batch], group: asyncio.TaskGroup) -> None:
        async for batch in source:
            name = batch[0].store
            if name not in queues:
                queues[name] = asyncio.Queue(maxsize=1)
                group.create_task(write(queues[name]))
            await queues[name].put(batch)
            await asyncio.sleep(0)  # a source that never waits must not keep the writers from writing

    try:
        async with asyncio.TaskGroup() as writers:
            async with asyncio.TaskGroup() as feeders:
                for source in sources:
                    feeders.create_task(feed(source, writers))
            for queue in queues.values():
                await queue.put(None)
    except BaseExceptionGroup as group:
        raise _first(group) from group


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


# ---------------------------------------------------------------------------------------------------------------- lines


class _Wrong(Exception):
    """What is wrong with a line; the caller knows which one it is."""


class _WrongValue(ValueError):
    """A value is not what its column holds."""


_MISSING: Any = object()


def _line_reader(dataset: Dataset) -> Callable[[bytes], Line]:
    """Return the function that turns a line's bytes into its columns; it raises _Wrong."""
    collection = dataset.collection
    columns = [(c.name, c.nullable, *_converter(c, is_key=c.name in collection.key or c.refers is not None)) for c in collection.columns]
    defaults = {c.name: _default(c, dataset) for c in collection.columns}

    def read(text: bytes) -> Line:
        fields = _object(text)
        may_hold_nul = b"\\u0000" in text
        line: dict[str, Value] = {}
        for name, nullable, expected, convert in columns:
            value = fields.get(name, _MISSING)
            if value is _MISSING:
                if defaults[name] is _MISSING:
                    raise _Wrong(f"{name}: expected {expected}, got nothing")
                value = defaults[name]
                line[name] = list(value) if type(value) is tuple else value
            elif value is None and nullable:
                line[name] = None
            else:
                try:
                    line[name] = convert(value)
                except _WrongValue:
                    raise _Wrong(f"{name}: expected {expected}, got {_shown(value)}") from None
                if may_hold_nul and _holds_nul(value):
                    raise _Wrong(f"{name}: expected text without NUL characters, got {_shown(value)}")
        for name, source in dataset.same_as.items():
            if name not in fields:
                line[name] = line[source]
        return line

    return read


def _default(column: Column, dataset: Dataset) -> Value:
    if column.name in dataset.same_as or column.nullable or column.default is not None:
        return column.default
    return _MISSING


def _object(text: bytes) -> dict[str, Value]:
    if len(text) > LINE_LIMIT_BYTES:
        raise _Wrong(f"expected a line of at most {LINE_LIMIT_BYTES} bytes")
    try:
        fields = orjson.loads(text.rstrip())
    except orjson.JSONDecodeError as error:
        why = str(error).partition(": line ")[0]
        raise _Wrong(
            f"expected a JSON object, got {_cut(repr(text.decode(errors='replace').strip()))}: {why} (column {error.colno})"
        ) from None
    if not isinstance(fields, dict):
        raise _Wrong(f"expected a JSON object, got {_shown(fields)}")
    return fields


def _converter(column: Column, *, is_key: bool) -> tuple[str, Callable[[Any], Value]]:
    """Return (what is expected, in words; the function to the wire value, which raises _WrongValue)."""
    match column.type:
        case Type.TEXT if is_key:
            return "text that is not empty", _key_text
        case Type.TEXT:
            return "text", _text
        case Type.BOOL:
            return "true or false", _bool
        case Type.INT:
            return "a whole number of 64 bits", _int
        case Type.FLOAT:
            return "a number", _float
        case Type.TIME:
            return "an RFC 3339 time such as 2010-03-08T23:51:42.175Z", wire_time
        case Type.DATE:
            return "a date such as 1985-09-20", wire_date
        case Type.JSON:
            return f"JSON with whole numbers of 64 bits, at most {JSON_DEPTH} deep", _json
        case Type.TEXTS:
            return "a list of texts", _texts


def _text(value: Any) -> str:
    if type(value) is not str:
        raise _WrongValue
    return value


def _key_text(value: Any) -> str:
    if type(value) is not str or not value:
        raise _WrongValue
    return value


def _bool(value: Any) -> bool:
    if type(value) is not bool:
        raise _WrongValue
    return value


def _int(value: Any) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise _WrongValue
    return value


def _float(value: Any) -> float:
    if type(value) is not float and type(value) is not int:
        raise _WrongValue
    return float(value)


_WIRE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def wire_time(value: Any) -> str:
    """Return a time of RFC 3339 in UTC with exactly three decimals; further ones are cut off."""
    if type(value) is not str or not _RFC_3339.fullmatch(value.upper()):
        raise _WrongValue
    try:
        moment = datetime.fromisoformat(value.upper())
        if _WIRE_TIME.fullmatch(value):
            return value
        return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError):
        raise _WrongValue from None


def wire_date(value: Any) -> str:
    if type(value) is not str or not _DATE.fullmatch(value):
        raise _WrongValue
    try:
        date.fromisoformat(value)
    except ValueError:
        raise _WrongValue from None
    return value


def _texts(value: Any) -> list[str]:
    if type(value) is not list or any(type(item) is not str for item in value):
        raise _WrongValue
    return value


def _json(value: Any) -> Value:
    if value is None or not all(depth <= JSON_DEPTH and _fits(item) for item, depth in _parts(value)):
        raise _WrongValue
    return value


def _fits(value: Value) -> bool:
    return type(value) is not int or -(2**63) <= value < 2**63


def _holds_nul(value: Value) -> bool:
    return any(type(item) is str and "\x00" in item for item, _ in _parts(value))


def _parts(value: Value) -> Iterator[tuple[Value, int]]:
    """Give every value within a JSON value, names included, with its depth. No recursion: the depth is the caller's."""
    waiting = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        yield item, depth
        if type(item) is dict:
            waiting.extend((part, depth + 1) for pair in item.items() for part in pair)
        elif type(item) is list:
            waiting.extend((part, depth + 1) for part in item)


def _picker(collection: Collection, names: Sequence[str]) -> Callable[[Line], tuple[Value, ...]]:
    unknown = set(names) - set(collection.names)
    if unknown:
        raise LookupError(f"collection {collection.name} has no column {unknown.pop()!r}")
    return lambda line: tuple([line[name] for name in names])


def _shown(value: Value) -> str:
    if isinstance(value, tuple) and len(value) == 1:
        value = value[0]
    return _cut(orjson.dumps(value).decode())


def _cut(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:79]}…"
