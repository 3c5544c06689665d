"""Operations made at random, answered by the gateway and by the oracle. CHINOOK_EXAMPLES says how many, CHINOOK_SEED which.

make existing EXAMPLES=3000
"""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from tests.existing.conftest import Existing
from tests.existing.generated import Generator, document, operations
from tests.existing.oracle import Field
from tests.existing.test_walks import QUERY, connections
from tests.forms import of_form

EXAMPLES = of_form(100, 300, "CHINOOK_EXAMPLES")
SEED = int(os.environ.get("CHINOOK_SEED", "1"))
PAGE_INFO = "pageInfo { hasNextPage hasPreviousPage }"
PAGE = [
    Field("edges", "edges", fields=[Field("node", "node", fields=[Field("id", "id")])]),
    Field("pageInfo", "pageInfo", fields=[Field("hasNextPage", "hasNextPage"), Field("hasPreviousPage", "hasPreviousPage")]),
]
PAGE_HERE = "<which page>"  # no value has it; some have a percent sign
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


@pytest.mark.parametrize("part", range(PARTS))
async def test_pages_between_cursors_made_at_random(existing: Existing, part: int) -> None:
    """Behind one row of a filtered order, before another, or between the two, from either side."""
    oracle = existing.oracle
    chance = random.Random(f"{SEED} {part}")
    for _ in range(-(-EXAMPLES // PARTS // 5)):
        name, source = chance.choice(connections(QUERY))
        whole = Field("c", name)
        Generator(chance, existing.rows).connection_of(whole, source)
        arguments = whole.text.strip("()")
        whole.first, whole.last = 60, None
        frame = f"c: {name}({arguments}{', ' if arguments else ''}{PAGE_HERE}) {{ edges {{ cursor node {{ id }} }} {PAGE_INFO} }}"
        edges = (await existing.ask(f"{{ {frame.replace(PAGE_HERE, 'first: 60')} }}"))["c"]["edges"]
        if not edges:
            continue
        first, second = sorted(chance.choices(range(len(edges)), k=2))
        for after, before in ((first, None), (None, second), (first, second)):
            size, side = chance.randint(0, 5), chance.choice(("first", "last"))
            page = Field("c", name, where=whole.where, order=whole.order, after=after, before=before, fields=PAGE)
            setattr(page, side, size)
            expected, _ = oracle.answer([page])
            given = [f"{side}: {size}"]
            given += [] if after is None else [f'after: "{edges[after]["cursor"]}"']
            given += [] if before is None else [f'before: "{edges[before]["cursor"]}"']
            text = f"{{ {frame.replace(PAGE_HERE, ', '.join(given))} }}"
            found = await existing.ask(text)
            for edge in found["c"]["edges"]:
                del edge["cursor"]
            assert found == expected, text


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
