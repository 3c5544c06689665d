"""Limits of values: each says its code, the limit, the actual value and the setting, and nothing is refused that is within them."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from gateway.config import Settings
from gateway.security.limits import MEASURE_FACTOR, Limits, check_filter, check_variables, enforced
from gateway.stores.requests.conditions import CONDITIONS_MOST, ITEMS_MOST, LEVELS_MOST

LIMITS = Limits(variables_limit_bytes=100, variables_depth_max=3, variables_list_max=4, variables_values_max=8)


def test_limits_are_settings_of_the_same_names_and_defaults() -> None:
    assert Limits.of(Settings()) == Limits()


def test_the_docs_say_each_limit_and_its_default() -> None:
    text = (Path(__file__).parents[3] / "docs" / "limits.md").read_text(encoding="utf-8")
    told = {name: int(default) for name, default in re.findall(r"^\| `(\w+)` \| (\d+) \|", text, re.MULTILINE)}
    wanted = {field.name: getattr(Limits(), field.name) for field in fields(Limits) if field.name not in ("limits", "page_default")}
    assert {name: told.get(name) for name in wanted} == wanted


def test_what_is_within_a_limit_is_no_error() -> None:
    assert Limits().exceeded("DEPTH_LIMIT", "It has", "depth_max", 15, "levels") == []


def test_an_error_says_code_limit_actual_value_and_setting() -> None:
    [error] = Limits().exceeded("DEPTH_LIMIT", "It has", "depth_max", 16, "levels")
    assert error.message == "It has 16 levels; at most 15 are allowed (setting depth_max)."
    assert error.extensions == {"code": "DEPTH_LIMIT", "limit": 15, "actual": 16, "setting": "depth_max"}


def test_limits_that_are_measured_are_enforced_ten_times_over_and_where_they_protect_the_process() -> None:
    measured = Limits(limits="measure")
    assert enforced(measured.exceeded("DEPTH_LIMIT", "It has", "depth_max", 15 * MEASURE_FACTOR, "levels")) == []
    assert enforced(measured.exceeded("DEPTH_LIMIT", "It has", "depth_max", 15 * MEASURE_FACTOR + 1, "levels"))
    assert enforced(measured.exceeded("TOKEN_LIMIT", "It has", "tokens_max", 2_001, "tokens", always=True))


def test_a_filter_that_is_only_measured_is_no_larger_than_what_stores_answer() -> None:
    measured = Limits(limits="measure")

    def is_enforced(where: dict[str, Any]) -> bool:
        broken = check_filter(measured, where, "where")
        assert broken
        return bool(enforced(broken))

    def nested(levels: int) -> dict[str, Any]:
        where: dict[str, Any] = {"active": True}
        for _ in range(levels - 1):
            where = {"not": where}
        return where

    assert not is_enforced({"or": [{"active": True}] * CONDITIONS_MOST})
    assert is_enforced({"or": [{"active": True}] * (CONDITIONS_MOST + 1)})
    assert not is_enforced(nested(LEVELS_MOST))
    assert is_enforced(nested(LEVELS_MOST + 1))
    assert not is_enforced({"id": {"in": ["1"] * ITEMS_MOST}})
    assert is_enforced({"id": {"in": ["1"] * (ITEMS_MOST + 1)}})


@pytest.mark.parametrize(
    ("variables", "settings"),
    [
        ({}, set()),
        ({"a": "x" * 10, "b": 1, "c": None}, set()),
        ({"a": "x" * 91}, set()),  # 99 bytes of JSON
        ({"a": "x" * 93}, {"variables_limit_bytes"}),
        ({"a": "\x01" * 20}, {"variables_limit_bytes"}),  # six bytes each in JSON
        ({"a": [[1]]}, set()),
        ({"a": [[[1]]]}, set()),
        ({"a": {"b": {"c": 1}}}, set()),
        ({"a": {"b": {"c": {"d": {}}}}}, {"variables_depth_max"}),
        ({"a": [[[[]]]]}, {"variables_depth_max"}),
        ({"a": [1, 2, 3, 4]}, set()),
        ({"a": [1, 2, 3, 4, 5]}, {"variables_list_max"}),
        ({"a": [1, 2, 3], "b": [1, 2, 3, 4]}, {"variables_values_max"}),
        ({"a": [1, 2, 3], "b": [1, 2, 3]}, set()),
    ],
)
def test_variables(variables: dict[str, Any], settings: set[str]) -> None:
    broken = check_variables(LIMITS, variables)
    assert {error.extensions["setting"] for error in broken} == settings
    assert {error.extensions["code"] for error in broken} <= {"VARIABLES_TOO_LARGE"}
    assert {error.http_status for error in broken} <= {400}


FILTERS = Limits(filter_conditions_max=3, filter_depth_max=3, filter_in_max=4, filter_text_max=5)


@pytest.mark.parametrize(
    ("where", "settings"),
    [
        ({}, set()),
        ({"id": {"eq": "1", "ne": "2"}, "name": None}, set()),
        ({"id": {"eq": "1", "ne": "2"}, "name": {"eq": "a"}, "active": True}, {"filter_conditions_max"}),
        ({"or": [{"id": {"eq": "1"}}, {"id": {"eq": "2"}}, {"id": {"eq": "3"}}]}, set()),
        ({"or": [{}, {}, {}, {}]}, {"filter_conditions_max"}),
        ({"and": [{"or": [{"id": {"eq": "1"}}]}]}, set()),
        ({"not": {"not": {"not": {"active": True}}}}, {"filter_depth_max"}),
        ({"and": None, "not": None}, set()),
        ({"id": {"in": ["1"] * 4}}, set()),
        ({"id": {"in": ["1"] * 5}}, {"filter_in_max"}),
        ({"name": {"contains": "abcde"}}, set()),
        ({"name": {"contains": "abcdef"}}, {"filter_text_max"}),
        ({"name": {"startsWith": "abcdef"}}, {"filter_text_max"}),
        ({"name": {"eq": "abcdef"}}, set()),
    ],
)
def test_filters(where: dict[str, Any], settings: set[str]) -> None:
    broken = check_filter(FILTERS, where, "where")
    assert {error.extensions["setting"] for error in broken} == settings
    assert {error.extensions["code"] for error in broken} <= {"FILTER_LIMIT"}
    assert all(error.message.startswith("where: the filter has ") for error in broken)
