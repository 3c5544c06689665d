"""A clock of the machine that is set ends no request and lengthens none: what is measured, is by one that only goes on."""

from __future__ import annotations

import ast
import asyncio
import time
from pathlib import Path

import pytest

from gateway.deadlines import Deadlines

ROOT = Path(__file__).parents[2] / "gateway"
# Where the hour of the day is what is asked for: moments in rows, and the ages of such.
BY_THE_HOUR = {
    "checkup.py",
    "cli/syncing.py",
    "cli/times.py",
    "stores/memory/log.py",
    "stores/mongo/alone.py",
    "stores/tokens.py",
    "writes/ids.py",
    "writes/keeping.py",
    "writes/moving.py",
    "writes/placing.py",
    "writes/splitting.py",
    "writes/times.py",
    "writes/watching.py",
}
_HOUR = {("time", "time"), ("time", "time_ns"), ("datetime", "now"), ("datetime", "utcnow")}


def _asks_for_the_hour(path: Path) -> bool:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and (node.value.id, node.attr) in _HOUR:
            return True
        if isinstance(node, ast.ImportFrom) and node.module == "time" and {"time", "time_ns"} & {name.name for name in node.names}:
            return True
    return False


def test_f14_nothing_else_asks_for_the_hour() -> None:
    assert {path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py") if _asks_for_the_hour(path)} == BY_THE_HOUR


@pytest.mark.parametrize("jump_s", [-3_600.0, 3_600.0])
async def test_f14_a_clock_that_is_set_moves_no_limit(monkeypatch: pytest.MonkeyPatch, jump_s: float) -> None:
    begun, hour = time.monotonic(), time.time

    def set_it() -> None:
        monkeypatch.setattr(time, "time", lambda: hour() + jump_s)

    asyncio.get_running_loop().call_later(0.05, set_it)
    with pytest.raises(TimeoutError), Deadlines().within(0.2):
        await asyncio.Event().wait()
    assert 0.19 < time.monotonic() - begun < 30
    assert abs(time.time() - hour() - jump_s) < 1, "it was set"
