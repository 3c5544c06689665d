"""From NDJSON files to rows in stores: every line of a file is checked before anything of it is written.

A file is read twice, once to check and once to write, so that its size does not matter. All rows are upserts, so that a
load that was cut short is completed by running it again.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from gateway.errors import BadData
from gateway.graph.datasets import Dataset, Line
from gateway.lines import LINE_LIMIT_BYTES, Wrong, line_reader, picker, shown
from gateway.stores.base import KEYS_PER_CALL, A, Collection, Get, Key, Request, Row, Upsert, Value

ROWS_PER_CALL = 2_000
LINES_PER_TURN = 1_000  # checked before others get the event loop
WRITE_TIMEOUT_S = 60.0  # of one call: a load may be slow, a request may not

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
        self._line = line_reader(dataset)
        self._key = picker(dataset.collection, dataset.collection.key)
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
            except Wrong as wrong:
                bad(number, str(wrong))
        for owners in self._owners:
            for number, what in await owners.taken_in(stores):
                bad(number, what)
        progress(Step(name, "check", self._size, self._size))

    async def batches(self, progress: Callable[[Step], None], *, strict: bool) -> AsyncIterator[Batch]:
        """Read every line again and give the rows. A line that repeats a key of its batch replaces the one before."""
        collection = self._dataset.collection
        targets = [_Buffer(collection, picker(collection, collection.names))]
        derived = [(d.rows, _Buffer(d.collection)) for d in self._dataset.derived]
        buffers = [*targets, *(buffer for _, buffer in derived)]
        done = 0
        for number, text in _lines(self.path):
            done += len(text)
            if not text.strip():
                continue
            try:
                line = self._line(text)
            except Wrong as wrong:
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
        self._value = picker(collection, columns)
        self._by_value: dict[tuple[Value, ...], tuple[tuple[Key, ...], int]] = {}

    def claim(self, line: Line, key: tuple[Key, ...], number: int) -> None:
        value = self._value(line)
        if None in value:  # nulls are never equal
            return
        owner, first = self._by_value.setdefault(value, (key, number))
        if owner != key:
            raise Wrong(f"{self._what()}: expected one that no other row has, got that of line {first}, {shown(value)}")

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
                    got = f"that of {shown(tuple(row))} in the store, {shown(value)}"
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
