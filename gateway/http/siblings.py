"""The metrics of all workers, told by whichever is asked: each has a socket in a folder that only they can open.

Counters stay each worker's own, by the label ``worker``, so that one that starts anew begins at 0 in its own series and in no sum.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from gateway.observability.metrics import Histogram, Reading

ANSWER_S = 1.0  # for another worker to say its numbers
LIMIT_BYTES = 16 * 1024 * 1024  # of them

Read = Callable[[], Iterable[Reading]]

_log = logging.getLogger("gateway.workers")


class Siblings:
    """Worker ``number`` of ``count``, before which ``restarts`` were in its place."""

    def __init__(self, folder: Path, number: int, count: int, restarts: int) -> None:
        self._folder = folder
        self._number = number
        self._count = count
        self._restarts = restarts

    @asynccontextmanager
    async def told(self, read: Read) -> AsyncIterator[None]:
        """Tell the others what ``read`` gives, while the block runs."""

        async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                writer.write(orjson.dumps(list(map(_packed, self._own(read)))))
                await writer.drain()
            except OSError:
                pass  # who asked is gone
            finally:
                writer.close()

        path = self._path(self._number)
        path.unlink(missing_ok=True)  # of the one that was here before
        server = await asyncio.start_unix_server(tell, path)
        try:
            yield
        finally:
            server.close()
            with suppress(OSError):
                path.unlink()

    async def all(self, read: Read) -> list[Reading]:
        """Return the readings of all workers; of one that says nothing within ANSWER_S, that it is not up."""
        others = [number for number in range(self._count) if number != self._number]
        told = await asyncio.gather(*map(self._asked, others))
        readings = [*_of(self._number, self._own(read))]
        for number, its in zip(others, told, strict=True):
            readings.extend(_of(number, [_up(0)] if its is None else its))
        return readings

    async def _asked(self, number: int) -> list[Reading] | None:
        try:
            async with asyncio.timeout(ANSWER_S):
                reader, writer = await asyncio.open_unix_connection(self._path(number), limit=LIMIT_BYTES)
                try:
                    return list(map(_unpacked, orjson.loads(await reader.read(-1))))
                finally:
                    writer.close()
        except (OSError, TimeoutError, ValueError) as error:
            _log.warning("worker %d says no metrics: %s", number, error or type(error).__name__)
            return None

    def _own(self, read: Read) -> Iterator[Reading]:
        yield _up(1)
        yield Reading("worker_restarts", "Workers that ended in this place, and were replaced.", self._restarts)
        yield from read()

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.sock"


def _up(value: int) -> Reading:
    return Reading("worker_up", "Whether a worker says its metrics.", value, is_counter=False)


def _of(number: int, readings: Iterable[Reading]) -> Iterator[Reading]:
    for its in readings:
        labels = {"worker": str(number), **its.labels}
        yield Reading(its.name, its.help, its.value, labels, its.is_counter, its.histogram)


def _packed(reading: Reading) -> list[Any]:
    histogram = reading.histogram
    return [
        reading.name,
        reading.help,
        reading.value,
        reading.labels,
        reading.is_counter,
        None if histogram is None else [histogram.counts, histogram.sum],
    ]


def _unpacked(packed: list[Any]) -> Reading:
    name, told, value, labels, is_counter, histogram = packed
    return Reading(name, told, value, labels, is_counter, None if histogram is None else Histogram(*histogram))
