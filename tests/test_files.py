"""Files of the code are short enough to be read in one go, or say why they are not."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("gateway", "schema", "resolvers")
LINES_MAX = 400
REASON = "Longer than 400 lines: "  # begins the last sentence of a module's docstring
REASON_MIN = 40  # characters


def _complaint(text: str) -> str | None:
    """Return what is wrong with the length of a module, or with the reason that it gives; None where nothing is."""
    lines = len(text.splitlines())
    told, _, reason = " ".join((ast.get_docstring(ast.parse(text)) or "").split()).partition(REASON)
    if lines <= LINES_MAX:
        return f"{lines} lines, and gives a reason for more than {LINES_MAX}" if reason else None
    if len(reason) < REASON_MIN or not reason.endswith(".") or ". " in reason or (told and not told.endswith((". ", ": "))):
        return f'{lines} lines: expected at most {LINES_MAX}, or a docstring that ends with the sentence "{REASON}…"'
    return None


@pytest.mark.parametrize("package", PACKAGES)
def test_no_file_is_longer_than_400_lines_without_its_reason(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    found = {file.relative_to(ROOT).as_posix(): _complaint(file.read_text(encoding="utf-8")) for file in files}
    assert {name: complaint for name, complaint in found.items() if complaint} == {}


WHY = f"{REASON}its parts share what one class keeps, and are read together."

TOO_LONG = '401 lines: expected at most 400, or a docstring that ends with the sentence "Longer than 400 lines: …"'


@pytest.mark.parametrize(
    ("docstring", "lines", "complaint"),
    [
        ("A short one.", 400, None),
        ("A long one.", 401, TOO_LONG),
        ("", 401, TOO_LONG),
        (f"A long one. {WHY}", 401, None),
        (f"A long one. {WHY} More.", 401, TOO_LONG),
        (f"One. {REASON}so.", 401, TOO_LONG),
        (f"A short one. {WHY}", 400, "400 lines, and gives a reason for more than 400"),
    ],
)
def test_what_a_reason_is(docstring: str, lines: int, complaint: str | None) -> None:
    assert _complaint(f'"""{docstring}"""\n' + "pass\n" * (lines - 1)) == complaint
