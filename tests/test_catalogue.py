"""docs/testing.md names a test for each line of the catalogue of faults, and each of them is there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent
TEXT = (TESTS.parent / "docs" / "testing.md").read_text(encoding="utf-8")
LINE = re.compile(r"^\| ([BFHLRW]\d\d) \| .* \| (.*) \|$", re.MULTILINE)


def test_each_line_of_the_catalogue_has_its_test() -> None:
    lines = dict(LINE.findall(TEXT))
    assert list(lines) == [
        *(f"R{n:02}" for n in range(1, 25)),
        *(f"F{n:02}" for n in (*range(1, 21), *range(30, 37))),
        *(f"H{n:02}" for n in range(1, 13)),
        *(f"L{n:02}" for n in range(1, 9)),
        "B12",
        *(f"W{n:02}" for n in range(1, 18)),
    ]
    without = [id_ for id_, tests in lines.items() if "::" not in tests and not tests.startswith("the same")]
    assert without == ["W10"]


def test_each_test_that_is_named_is_there() -> None:
    named = [place.split("::") for _, tests in LINE.findall(TEXT) for place in re.findall(r"`([^`]+::[^`]+)`", tests)]
    assert len(named) > 40
    gone = [f"{file}::{name}" for file, name in named if f"def {name}(" not in (TESTS / file).read_text(encoding="utf-8")]
    assert gone == []
