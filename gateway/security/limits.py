"""How much a request may ask for, and what is said when it asks for more. Pure: no I/O, no clock.

A limit that is broken is a ``LimitExceeded`` with its code, the limit, the actual value and the setting. With ``limits = "measure"`` it is
only noted, for the log, a metric and ``extensions.limits``, as long as it is broken less than ten times over, and a filter is not beyond
what every kind of store answers; limits that protect the process itself are enforced always.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any, Literal

import orjson

from gateway.errors import LimitExceeded, TextLimitExceeded
from gateway.stores.requests.conditions import CONDITIONS_MOST, ITEMS_MOST, LEVELS_MOST, TEXT_MOST

SATURATED = 1_000_000_000  # numbers that only ever grow stop here, above every limit
SHORT_BYTES = 16 * 1024  # of variables that nobody looks at twice
MEASURE_FACTOR = 10  # so many times over a limit is too much also where limits are only measured
_MOST = {
    "filter_conditions_max": CONDITIONS_MOST,
    "filter_depth_max": LEVELS_MOST,
    "filter_in_max": ITEMS_MOST,
    "filter_text_max": TEXT_MOST,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Numbers of the settings, by the settings' names (gateway/config/settings.py says what each is)."""

    limits: Literal["enforce", "measure"] = "enforce"

    page_default: int = 10
    page_max: int = 100
    nodes_max: int = 1_000

    query_limit_bytes: int = 16 * 1024
    tokens_max: int = 2_000
    nesting_max: int = 64
    depth_max: int = 15
    aliases_max: int = 100
    root_fields_max: int = 20
    mutations_max: int = 5
    directives_max: int = 50
    directives_per_node_max: int = 5
    selections_max: int = 1_000
    fragments_max: int = 50
    operations_max: int = 10
    variables_max: int = 50

    variables_limit_bytes: int = 256 * 1024
    variables_depth_max: int = 32
    variables_list_max: int = 1_000
    variables_values_max: int = 10_000

    arguments_values_max: int = 20_000

    filter_conditions_max: int = 100
    filter_depth_max: int = 10
    filter_in_max: int = 1_000
    filter_text_max: int = 256

    cost_max: int = 10_000
    objects_max: int = 20_000
    edges_max: int = 100_000
    introspection_fields_max: int = 100
    response_limit_bytes: int = 8 * 1024 * 1024

    @classmethod
    def of(cls, settings: object) -> Limits:
        """Return the limits that settings say; each is a setting of the same name."""
        return cls(**{field.name: getattr(settings, field.name) for field in fields(cls)})

    def exceeded(
        self, code: str, what: str, setting: str, actual: int, unit: str, *, kind: type[LimitExceeded] = LimitExceeded, always: bool = False
    ) -> list[LimitExceeded]:
        """Return the error of the limit ``setting`` that ``actual`` is beyond; none where it is not.

        ``what`` is the subject and verb of the sentence, ``unit`` what is counted. ``always``: also where limits are only measured.
        """
        limit: int = getattr(self, setting)
        if actual <= limit:
            return []
        message = f"{what} {actual:,} {unit}; at most {limit:,} are allowed (setting {setting})."
        error = kind(code, message, limit=limit, actual=actual, setting=setting)
        most = MEASURE_FACTOR * limit
        error.is_enforced = always or self.limits == "enforce" or actual > min(most, _MOST.get(setting, most))
        return [error]


def enforced(broken: Iterable[LimitExceeded]) -> list[LimitExceeded]:
    """Return those that refuse the request; the others are noted."""
    return [error for error in broken if error.is_enforced]


def check_variables(limits: Limits, variables: Mapping[str, Any]) -> list[LimitExceeded]:
    """Return the broken limits of a request's variables: bytes as JSON, levels of objects and lists, items of a list, values in all."""
    if are_short(limits, variables):
        return []
    broken = _exceeded_variables(limits, "variables_limit_bytes", len(orjson.dumps(variables)), "bytes")
    depth, longest, count = _shape_of(variables, limits.variables_values_max)
    broken += _exceeded_variables(limits, "variables_depth_max", depth, "levels")
    broken += _exceeded_variables(limits, "variables_list_max", longest, "items in one list")
    # Coercion takes 3 µs a value, and 256 KiB hold 60,000 of them.
    return broken + _exceeded_variables(limits, "variables_values_max", count, "values or more")


def are_short(limits: Limits, variables: Mapping[str, Any]) -> bool:
    """Return whether variables are so few and short, without lists and objects, that they are beyond no limit."""
    size = 300 * len(variables)
    for value in variables.values():
        if type(value) is str:
            size += 6 * len(value)  # a character is six bytes of JSON at most
        elif isinstance(value, (str, dict, list)):
            return False
    return size <= SHORT_BYTES and size <= limits.variables_limit_bytes


def _exceeded_variables(limits: Limits, setting: str, actual: int, unit: str) -> list[LimitExceeded]:
    return limits.exceeded("VARIABLES_TOO_LARGE", "The variables have", setting, actual, unit, kind=TextLimitExceeded)


def _shape_of(value: Any, most: int) -> tuple[int, int, int]:
    """Return how many levels of objects and lists a JSON value has below its own, the length of its longest list, and its values in all.

    Levels below the one with which there are more than ``most`` values are not looked at.
    """
    depth, longest, count = 0, 0, 0
    level: list[Any] = [value]
    while True:
        inner: list[Any] = []
        for item in level:
            count += len(item)
            if isinstance(item, dict):
                inner += [part for part in item.values() if type(part) is dict or type(part) is list]
            else:
                longest = max(longest, len(item))
                inner += [part for part in item if type(part) is dict or type(part) is list]
        if not inner or count > most:
            return depth, longest, count
        depth += 1
        level = inner


def values_in(arguments: Mapping[str, Any], most: int) -> int:
    """Return how many values arguments have, nested ones too; a text counts one more for every 64 characters. Ends soon above ``most``."""
    count = 0
    values: Iterable[Any] = arguments.values()
    while True:
        inner: list[Any] = []
        for value in values:
            kind = type(value)
            count += 1
            if kind is str:
                count += len(value) >> 6
            elif kind is dict or kind is list:
                inner.append(value)
        if not inner or count > most:
            return count
        values = chain.from_iterable([item.values() if type(item) is dict else item for item in inner])


def check_filter(limits: Limits, where: Mapping[str, Any], path: str) -> list[LimitExceeded]:
    """Return the broken limits of a coerced filter, so that none is too large for any kind of store.

    One walk over its objects; each value inside a field's conditions is one condition, as each field with a value of its own is.
    """
    conditions, parts, depth, longest_in, longest_text = 0, 0, 0, 0, 0
    level: list[Mapping[str, Any]] = [where]
    while level:
        depth += 1
        below: list[Mapping[str, Any]] = []
        for part in level:
            for name, value in part.items():
                if name in ("and", "or"):
                    below.extend(value or ())
                elif name == "not":
                    below.extend(() if value is None else (value,))
                elif isinstance(value, Mapping):
                    conditions += len(value)
                    for op, operand in value.items():
                        if isinstance(operand, list):
                            longest_in = max(longest_in, len(operand))
                        elif isinstance(operand, str) and op not in ("eq", "ne", "gt", "gte", "lt", "lte"):
                            longest_text = max(longest_text, len(operand))
                else:
                    conditions += 1
        parts += len(below)
        level = below
    measured = (
        ("filter_conditions_max", max(conditions, parts), "conditions"),
        ("filter_depth_max", depth, "levels of and, or, not"),
        ("filter_in_max", longest_in, "items in one list"),
        ("filter_text_max", longest_text, "characters to look for"),
    )
    broken: list[LimitExceeded] = []
    for setting, actual, unit in measured:
        broken += limits.exceeded("FILTER_LIMIT", f"{path}: the filter has", setting, actual, unit)
    return broken
