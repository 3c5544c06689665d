"""Operations made at random, answered by the gateway and by the oracle. CHINOOK_EXAMPLES says how many, CHINOOK_SEED which.

make existing EXAMPLES=3000
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.existing.conftest import Existing
from tests.existing.generated import document, operations

EXAMPLES = int(os.environ.get("CHINOOK_EXAMPLES", "300"))
SEED = int(os.environ.get("CHINOOK_SEED", "1"))
PARTS = 10  # tests, so that several processes can share them


@pytest.mark.parametrize("part", range(PARTS))
async def test_operations_made_at_random(existing: Existing, part: int) -> None:
    oracle = existing.oracle
    count = -(-EXAMPLES // PARTS)
    for seed, fields in operations(SEED + part * count, count, existing.rows):
        text = document(fields)
        expected, errors = oracle.answer(fields)
        answer = await existing.answer(text)
        told = {tuple(error.get("path", ())) for error in answer.get("errors", ())}
        assert answer.get("data") == expected, f"operation {seed}: {difference(answer, expected)}\n{text}"
        assert told == errors, f"operation {seed}: {answer.get('errors')}\n{text}"


def difference(got: Any, expected: Any, path: str = "data") -> str:
    """Return the first place in which two answers differ."""
    got = got.get("data", got) if path == "data" and isinstance(got, dict) else got
    if got is None and path == "data":
        return "no data"
    if isinstance(got, dict) and isinstance(expected, dict) and got.keys() == expected.keys():
        return next((difference(got[key], expected[key], f"{path}.{key}") for key in got if got[key] != expected[key]), "")
    if isinstance(got, list) and isinstance(expected, list) and len(got) == len(expected):
        pairs = enumerate(zip(got, expected, strict=True))
        return next((difference(mine, its, f"{path}.{place}") for place, (mine, its) in pairs if mine != its), "")
    return f"at {path} got {got!r}, expected {expected!r}"
