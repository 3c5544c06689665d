"""How long calls to a store take, and a line in the log for each that took longer than it should."""

from __future__ import annotations

import logging
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.observability import logs
from gateway.observability.metrics import BOUNDS_S, Histogram

STATEMENTS_SHOWN = 5  # of one call
TEXT_SHOWN = 4_000  # characters of one statement
UNKNOWN = "?"  # in place of a value

_log = logging.getLogger("gateway.slow")

# What holds values in a pipeline, and what names a field in the rest of it.
_VALUES = frozenset({"$match", "$documents", "$literal", "$in", "$nin", "filter", "documents"})
_NAMES = frozenset({"from", "localField", "foreignField", "as", "coll"})  # of a $lookup: names of collections and fields
_is_path = re.compile(r"\$\$?[A-Za-z_][\w.]{0,63}").fullmatch


class Watch:
    """Of the calls to one store. With ``slow_s`` None none is slow, and nobody keeps statements."""

    __slots__ = ("durations", "slow", "slow_s")

    def __init__(self, slow_s: float | None = None) -> None:
        self.slow_s = slow_s
        self.slow = 0  # calls, since the start
        self.durations = Histogram()

    def took(self, seconds: float) -> bool:
        """Count a call that took so long; return whether it was slow. PERF: ``Histogram.observe`` in line, 0.1 µs less."""
        durations = self.durations
        durations.counts[bisect_left(BOUNDS_S, seconds)] += 1
        durations.sum += seconds
        return self.slow_s is not None and seconds >= self.slow_s

    def tell(self, fields: dict[str, Any], statements: Sequence[Any]) -> None:
        """Write the line of a slow call."""
        self.slow += 1
        shown = [without_values(statement) for statement in statements[:STATEMENTS_SHOWN]]
        if len(statements) > STATEMENTS_SHOWN:
            shown.append(f"and {len(statements) - STATEMENTS_SHOWN} more")
        logs.event(_log, "slow store call", logging.WARNING, fields | {"statements": shown})


def without_values(statement: Any) -> str:
    """Return a statement as text in which no value of a client's or of a row's stands.

    SQL and Cypher have none, as all values are parameters. Of a MongoDB command its stages, operators and paths are left.
    """
    if isinstance(statement, str):
        text = statement
    else:
        command = next(iter(statement))  # its value is the collection's name
        text = logs.json_of({**_bare(statement, among_values=False), command: statement[command]})
    return " ".join(text.split())[:TEXT_SHOWN]


def _bare(part: Any, *, among_values: bool) -> Any:
    if isinstance(part, Mapping):
        return {
            name: value
            if name in _NAMES and not among_values and isinstance(value, str)
            else _bare(value, among_values=among_values or name in _VALUES)
            for name, value in part.items()
        }
    if isinstance(part, list | tuple):
        if among_values and not any(isinstance(item, Mapping | list | tuple) for item in part):
            return [UNKNOWN] if part else []
        return [_bare(item, among_values=among_values) for item in part]
    if not among_values and (isinstance(part, int | None) or (isinstance(part, str) and _is_path(part))):
        return part
    return UNKNOWN
