"""The text of a function that builds objects, and the names that it uses. Source text is made of our own names and quoted response keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from gateway.engine.plan import FieldPlan
from gateway.engine.results import Failed, Made


class SecondWalk(Exception):
    """The good way ended: nulls or errors must be placed."""


class Code:
    """One function's. ``is_careful``: values that raise stand for their errors (``Failed``), and nulls stay where they are.

    ``setup`` are lines before the loop over rows, ``required`` the slots that have to hold something, or there is no object.
    """

    def __init__(self, *, is_careful: bool) -> None:
        self.is_careful = is_careful
        self.names: dict[str, Any] = {}
        self.setup: list[str] = []
        self.required: list[int] = []
        self.needs_row = False  # as ``row``, beside its values

    def name(self, name: str, value: Any) -> str:
        """Return a name under which the function finds ``value``."""
        self.names[name] = value
        return name

    def function(self, name: str, lines: Sequence[str]) -> Callable[..., Any]:
        """Return the function that ``lines`` define. It does not know itself: that would be a circle, which only the collector frees."""
        exec("\n".join(lines), self.names)  # noqa: S102
        return cast("Callable[..., Any]", self.names.pop(name))


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that gives the error in place of raising it."""

    def call(*values: Any) -> Any:
        try:
            return function(*values)
        except Exception as exc:
            return Failed(exc)

    return call


def not_null(value: Any) -> Any:
    if value is None:
        raise SecondWalk
    return value


def made(code: Code, text: str, fields: Sequence[FieldPlan]) -> str:
    """Return the expression of an object, which knows its fields where something failed."""
    if not code.is_careful:
        return text
    return f"{code.name('made', Made)}({code.name(f'fields{len(code.names)}', fields)}, {text})"
