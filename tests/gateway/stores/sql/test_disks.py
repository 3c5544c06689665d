"""A file of SQLite on a disk that is full, by a limit of the process on the size of its files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import asyncio, resource, sys
from gateway.errors import StoreUnavailable
from gateway.stores import Stores
from gateway.stores.base import Collection, Column, Get, Insert

NOTES = Collection("notes", "tested", (Column("id"), Column("text", nullable=True)))

async def main():
    stores = Stores.connect({"tested": sys.argv[1]})
    await stores.open()
    await stores["tested"].migrate("tested", [NOTES], None)
    await stores.ask(Insert(NOTES, NOTES.names, [("first", "x")]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
    written = 1
    for number in range(200):
        try:
            await stores.ask(Insert(NOTES, NOTES.names, [(str(number), "x" * 10_000)]))
            written += 1
        except StoreUnavailable as error:
            print("refused", error.reason)
            break
    for key in ("first", str(written - 2)):
        assert key in await stores.ask(Get(NOTES, ("id",), [key])), key
    assert str(written - 1) not in await stores.ask(Get(NOTES, ("id",), [str(written - 1)]))
    await stores.close()

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no such limit")
def test_f11_a_write_that_has_no_room_is_refused_and_what_is_there_is_read(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CODE, f"sqlite:///{tmp_path}/notes.db"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("refused")
