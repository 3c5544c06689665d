"""Numbered steps: which files are steps, and what a history must still be."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from gateway.errors import MigrationRefused
from gateway.stores.migrating import next_number, slug
from gateway.stores.steps import Applied, Step, folder_of, steps_of, waiting


def folder(tmp_path: Path, *names: str) -> Path:
    for name in names:
        (tmp_path / name).write_text(f'"""does {name}"""\n\nasync def upgrade(database):\n    ...\n', encoding="utf-8")
    return tmp_path


def applied(*steps: Step) -> list[Applied]:
    return [Applied(step.number, step.name, step.checksum) for step in steps]


def test_a_step_has_its_number_its_first_line_and_the_checksum_of_its_file(tmp_path: Path) -> None:
    first, second = steps_of(folder(tmp_path, "0001_a.py", "0002_b_c.py"))
    assert (first.number, first.name, first.doc) == (1, "0001_a", "does 0001_a.py")
    assert second.checksum == hashlib.sha256((tmp_path / "0002_b_c.py").read_bytes()).hexdigest()
    assert str(second) == "0002 does 0002_b_c.py"


def test_a_step_without_a_docstring_is_called_as_its_file(tmp_path: Path) -> None:
    (tmp_path / "0001_add_an_index.py").write_text("async def upgrade(database): ...\n", encoding="utf-8")
    assert str(steps_of(tmp_path)[0]) == "0001 add an index"


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("create.py",), r"create\.py: expected a name such as 0001_create_events\.py, got create\.py$"),
        (("0001_a.py", "0003_c.py"), r"0003_c\.py: expected the number 0002, so that none is missing or there twice$"),
        (("0001_a.py", "0001_b.py"), r"0001_b\.py: expected the number 0002"),
        (("0002_a.py",), r"0002_a\.py: expected the number 0001"),
    ],
)
def test_names_that_make_no_order_are_refused(names: tuple[str, ...], told: str, tmp_path: Path) -> None:
    with pytest.raises(MigrationRefused, match=told):
        steps_of(folder(tmp_path, *names))


def test_what_was_not_run_waits(tmp_path: Path) -> None:
    first, second, third = steps_of(folder(tmp_path, "0001_a.py", "0002_b.py", "0003_c.py"))
    assert waiting("s", [first, second, third], []) == [first, second, third]
    assert waiting("s", [first, second, third], applied(second, first)) == [third]
    assert waiting("s", [first], applied(first)) == []


def test_a_step_that_was_run_is_not_changed(tmp_path: Path) -> None:
    steps = steps_of(folder(tmp_path, "0001_a.py"))
    before = applied(*steps)
    (tmp_path / "0001_a.py").write_text("# changed\n", encoding="utf-8")
    with pytest.raises(MigrationRefused, match=r"^store s: step 0001: expected .*0001_a\.py as it was when it was run .*write another$"):
        waiting("s", steps_of(tmp_path), before)


def test_a_step_that_was_run_stays_where_it_was(tmp_path: Path) -> None:
    first, second = steps_of(folder(tmp_path, "0001_a.py", "0002_b.py"))
    with pytest.raises(MigrationRefused, match=r"^store s: step 0002: expected its file 0002_b\.py, .*; it is missing$"):
        waiting("s", [first], applied(first, second))
    (tmp_path / "0002_b.py").rename(tmp_path / "0002_other.py")
    with pytest.raises(MigrationRefused, match=r"^store s: step 0002: expected the file 0002_b\.py, .* got .*0002_other\.py$"):
        waiting("s", steps_of(tmp_path), applied(first, second))


def test_a_gap_in_what_was_run_is_refused(tmp_path: Path) -> None:
    first, second, third = steps_of(folder(tmp_path, "0001_a.py", "0002_b.py", "0003_c.py"))
    with pytest.raises(MigrationRefused, match=r"^store s: step 0003: expected 0002 to be recorded before it, got 0001, 0003$"):
        waiting("s", [first, second, third], applied(first, third))


def test_a_folder_is_a_kinds_where_it_has_steps(tmp_path: Path) -> None:
    assert folder_of(None, "things") is None
    (tmp_path / "things").mkdir()
    assert folder_of(tmp_path, "things") is None
    folder(tmp_path / "things", "0001_a.py")
    assert folder_of(tmp_path, "things") == tmp_path / "things"


def test_the_next_script_has_the_next_number_and_a_name_of_its_text(tmp_path: Path) -> None:
    assert next_number(tmp_path / "nowhere") == "0001"
    assert next_number(folder(tmp_path, "0001_a.py", "0009_b.py")) == "0010"
    assert slug("Add an index: e-mail (unique)!") == "add_an_index_e_mail_unique"
    assert slug("…") == "step"
