"""What each of those who share a call gets of its answer: rows and errors that are his own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, TypeVar

from gateway.errors import GatewayError, WrongValue
from gateway.stores.declarations import Column, Key, Row, Type
from gateway.stores.requests import Get, Rows

E = TypeVar("E", bound=BaseException)

FoundWrong = Callable[[WrongValue], None]


def own_parts(answer: Rows, merged: Get, asked: Sequence[tuple[Get, FoundWrong]], wrong: Sequence[WrongValue]) -> Iterator[Rows]:
    """Give the rows of each of ``asked`` in the answer to ``merged``, which they were merged to.

    Lists and JSON that two have are copied, for each may change his own. Of the errors ``wrong``, which stand in rows, each has copies,
    and is told of those that stand in his.
    """
    may_change = len(asked) > 1 and any(can_change(merged.collection[name]) for name in merged.columns)
    given: set[Key] = set()
    for request, found_wrong in asked:
        rows = request.part_of(answer, merged)
        if may_change:
            rows = {key: _own(row) if key in given else row for key, row in rows.items()}
            given.update(rows)
        yield _with_own_errors(rows, wrong, found_wrong) if wrong else rows


def can_change(column: Column) -> bool:
    """Return whether who has a value of a column can change it."""
    return column.many or column.type is Type.JSON


def _own(row: Row) -> Row:
    return tuple([deepcopy(value) if isinstance(value, list | dict) else value for value in row])


def _with_own_errors(rows: Mapping[Key, Row], wrong: Sequence[WrongValue], found_wrong: FoundWrong) -> Rows:
    own: dict[int, WrongValue] = {}
    known = {id(error) for error in wrong}

    def replaced(value: Any) -> Any:
        if id(value) not in known:
            return value
        if id(value) not in own:
            own[id(value)] = copy_of(value)
            found_wrong(own[id(value)])
        return own[id(value)]

    return {key: tuple(map(replaced, row)) for key, row in rows.items()}


def copy_of(error: E) -> E:
    """Return an error with all that another one says, which can be raised and added to by itself."""
    copied = type(error).__new__(type(error), *error.args)
    copied.__dict__.update(error.__dict__)
    if isinstance(copied, GatewayError):
        copied.extensions = dict(copied.extensions)
    copied.__cause__ = error.__cause__
    copied.__suppress_context__ = error.__suppress_context__
    return copied
