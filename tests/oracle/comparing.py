"""Whether two answers are the same: same data in the same order of keys, nulls and errors at the same places.

Left out on purpose: the text of cursors (walks compare those by using them), the words of errors, and which of several failed fields
below one null is named. Of a refused operation only the codes are compared, and that there is no data at all.
"""

from __future__ import annotations

import difflib
import inspect
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from graphql import FieldNode, Visitor, parse, visit

Answer = Mapping[str, Any]
Execute = Callable[[str, Mapping[str, Any], str | None], Answer | Awaitable[Answer]]

MOST_ERRORS = 20  # a gateway may stop naming errors here, and say so in one more error without a path
CURSOR = "<cursor>"
_CURSOR_FIELDS = frozenset({"cursor", "startCursor", "endCursor"})
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}")


@dataclass(frozen=True, slots=True)
class Operation:
    """A text, its variables and which of its operations: what is executed."""

    query: str
    variables: dict[str, Any] = field(default_factory=dict)
    operation_name: str | None = None


class Answers(Protocol):
    """The oracle, or whatever else answers at once."""

    def execute(self, query: str, variables: Mapping[str, Any] | None = None, operation_name: str | None = None) -> dict[str, Any]: ...


async def compare(execute: Execute, oracle: Answers, operation: Operation) -> Answer:
    """Return the oracle's answer to ``operation``; an AssertionError shows where the answer of ``execute`` differs.

    ``execute(query, variables, operation_name)`` gives the decoded JSON, now or when awaited.
    """
    expected = oracle.execute(operation.query, operation.variables, operation.operation_name)
    got = execute(operation.query, operation.variables, operation.operation_name)
    if inspect.isawaitable(got):
        got = await got
    found = difference(got, expected, operation.query)
    if found:
        raise AssertionError(f"{found}\n\n{describe(operation)}")
    return expected


def describe(operation: Operation) -> str:
    """Return the operation as somebody would paste it to try it again."""
    return (
        f"query:\n{operation.query}\n"
        f"variables: {json.dumps(operation.variables, ensure_ascii=False)}\n"
        f"operationName: {operation.operation_name}"
    )


def equal_answers(a: Answer, b: Answer, query: str | None = None) -> bool:
    """Say whether two answers are the same. ``query`` tells under which aliases cursors are."""
    return not difference(a, b, query)


def difference(got: Answer, expected: Answer, query: str | None = None) -> str:
    """Return where ``got`` differs from ``expected``, for a person to read; "" where it does not."""
    left, right = normalise(got, query), normalise(expected, query)
    _forgive_untold_errors(left, right)
    if json.dumps(left) == json.dumps(right):  # not sorted: the order of keys counts
        return ""
    lines = difflib.unified_diff(_lines(right), _lines(left), "expected", "got", lineterm="", n=4)
    shown = [line[:300] for line in lines]
    if len(shown) > 60:
        shown = [*shown[:60], f"… and {len(shown) - 60} lines more"]
    texts = [f"  {error.get('message')}  {error.get('extensions')}" for error in [*(got.get("errors") or [])][:5]]
    return "\n".join([_first_difference(left, right), *shown, *(["errors got:", *texts] if texts else [])])


def normalise(answer: Answer, query: str | None = None) -> dict[str, Any]:
    """Return the answer without what may differ: {"refused": codes}, or {"data": …, "errors": [{"at", "codes"}]}.

    ``at`` is the place of the null that the errors caused; ``codes`` are [code, store] of the errors there, each once.
    """
    errors = answer.get("errors") or []
    if "data" not in answer:
        return {"refused": sorted({_code(error) for error in errors})}
    result: dict[str, Any] = {"data": _without_cursors(answer["data"], _cursor_keys(query))}
    if errors:
        result["errors"] = _places(errors, answer["data"])
    return result


def _places(errors: list[dict[str, Any]], data: Any) -> list[dict[str, Any]]:
    found: dict[str, tuple[list[Any], set[tuple[str, str]]]] = {}
    for error in errors:
        at = _null_at(data, error.get("path"))
        _, codes = found.setdefault(json.dumps(at), (at, set()))
        codes.add((_code(error), str((error.get("extensions") or {}).get("store"))))
    return [{"at": found[name][0], "codes": sorted(map(list, found[name][1]))} for name in sorted(found)]


def _null_at(data: Any, path: list[Any] | None) -> list[Any]:
    """Return the first part of ``path`` that is null in ``data``: GraphQL spec 6.4.4, a failed field nulls the nearest nullable."""
    if path is None:
        return ["no path"]
    value = data
    for length, step in enumerate(path):
        if value is None:
            return path[:length]
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return ["no such path", *path]
    return path if value is None else ["not null", *path]


def _forgive_untold_errors(left: dict[str, Any], right: dict[str, Any]) -> None:
    """Where there are too many errors to name, take those that are named, if they are right, for all of them."""
    got, expected = left.get("errors"), right.get("errors")
    if not got or not expected or len(expected) <= MOST_ERRORS:
        return
    named = [place for place in got if place["at"] != ["no path"]]
    if len(named) < len(got) and len(named) > 0 and all(place in expected for place in named):
        left["errors"] = expected


def _code(error: dict[str, Any]) -> str:
    return str((error.get("extensions") or {}).get("code"))


def _cursor_keys(query: str | None) -> frozenset[str]:
    if query is None:
        return _CURSOR_FIELDS
    names = set(_CURSOR_FIELDS)

    class Aliases(Visitor):
        def enter_field(self, node: FieldNode, *_: Any) -> None:
            if node.alias and node.name.value in _CURSOR_FIELDS:
                names.add(node.alias.value)

    visit(parse(query), Aliases())
    return frozenset(names)


def _without_cursors(value: Any, keys: frozenset[str]) -> Any:
    if isinstance(value, list):
        return [_without_cursors(item, keys) for item in value]
    if not isinstance(value, dict):
        return value
    return {k: CURSOR if k in keys and _is_cursor(v) else _without_cursors(v, keys) for k, v in value.items()}


def _is_cursor(value: Any) -> bool:
    return isinstance(value, str) and _BASE64URL.fullmatch(value) is not None


def _lines(value: Any) -> list[str]:
    return json.dumps(value, ensure_ascii=False, indent=1).splitlines()


def _first_difference(got: Any, expected: Any, path: str = "answer") -> str:
    if isinstance(got, dict) and isinstance(expected, dict):
        if list(got) != list(expected):
            return f"{path}: got the keys {list(got)}, expected {list(expected)}"
        return next((_first_difference(got[k], expected[k], f"{path}.{k}") for k in got if _differ(got[k], expected[k])), "")
    if isinstance(got, list) and isinstance(expected, list):
        if len(got) != len(expected):
            return f"{path}: got {len(got)} items, expected {len(expected)}"
        return next(
            (_first_difference(a, b, f"{path}[{i}]") for i, (a, b) in enumerate(zip(got, expected, strict=True)) if _differ(a, b)), ""
        )
    return f"{path}: got {got!r}, expected {expected!r}"


def _differ(got: Any, expected: Any) -> bool:
    return json.dumps(got) != json.dumps(expected)
