"""The rules that documents are validated by: the specification's, and the same verdict where one is replaced."""

from __future__ import annotations

import pytest
from graphql import OverlappingFieldsCanBeMergedRule, ValuesOfCorrectTypeRule, parse, specified_rules, validate

from gateway.engine.overlapping import OverlappingFields
from gateway.engine.rules import MOST_PER_VALUE, RULES, ValuesOfCorrectType
from schema import schema as graph

SCHEMA = graph.schema._schema


def test_all_rules_of_the_specification_are_there_in_their_order() -> None:
    replaced = {ours: theirs for ours, theirs in zip(RULES, specified_rules, strict=True) if ours is not theirs}
    assert replaced == {OverlappingFields: OverlappingFieldsCanBeMergedRule, ValuesOfCorrectType: ValuesOfCorrectTypeRule}


@pytest.mark.parametrize(
    "where",
    [
        "{}",
        '{name: {eq: "a"}}',
        "{name: {eq: 1}}",
        "{nam: 1}",
        "{a: 1, b: 2, c: 3, d: 4, e: 5}",
        "{or: [{x: 1}, {y: 2}]}",
        "1",
        "null",
        "[{}]",
    ],
)
def test_values_have_graphql_cores_first_errors(where: str) -> None:
    document = parse(f"{{ users(where: {where}) {{ totalCount }} posts(first: {{}}) {{ totalCount }} }}")
    wanted = validate(SCHEMA, document, [ValuesOfCorrectTypeRule])
    found = validate(SCHEMA, document, [ValuesOfCorrectType])
    of_where, of_first = wanted[:-1], wanted[-1:]
    assert [error.message for error in found] == [error.message for error in of_where[:MOST_PER_VALUE] + of_first]
