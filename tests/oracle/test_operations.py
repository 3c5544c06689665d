"""What the generator writes is valid, stays within the limits of documents, and reaches the whole read contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    parse,
    validate,
)
from hypothesis import HealthCheck, Phase, given, settings

from tests.forms import of_form
from tests.operations import SCHEMA, Invalid, Operation, Pool, invalid_operations, operations, with_cursor
from tests.oracle import Oracle
from tests.oracle.rows import odd_rows

ODD = Oracle.from_rows(odd_rows())
WITHOUT_USERS = Oracle.from_rows(odd_rows(), down={"users"})
WANTED = """
node( nodes( user( users( post( posts( event( events( eventStats recommendations following followers because
and: or: not: eq: ne: in: contains: startsWith: gt: gte: lt: lte: orderBy: first: last: email: interval: TIME USER POST
NAME EMAIL CREATED_AT UPDATED_AT TITLE OCCURRED_AT COLLABORATIVE @skip @include __typename fragment ...F edges pageInfo payload
"""
FEW = settings(
    max_examples=of_form(12, 60, "FUZZ_EXAMPLES"),
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


@pytest.fixture(scope="module")
def many() -> list[Operation]:
    """Operations as they are written, the same each time."""
    found: list[Operation] = []

    @settings(FEW, max_examples=of_form(130, 250), phases=[Phase.generate])
    @given(operations(Pool.odd()))
    def run(operation: Operation) -> None:
        found.append(operation)

    run()
    return found


@FEW
@given(operations(Pool.odd()))
def test_operations_are_valid_and_answered(operation: Operation) -> None:
    assert validate(SCHEMA, parse(operation.query)) == []
    answer = ODD.execute(operation.query, operation.variables, operation.operation_name)
    assert list(answer) == ["data"]


@FEW
@given(operations(Pool.odd(), faults=True))
def test_with_a_store_down_every_error_is_one_of_that_store(operation: Operation) -> None:
    answer = WITHOUT_USERS.execute(operation.query, operation.variables, operation.operation_name)
    assert "data" in answer
    assert {e["extensions"]["store"] for e in answer.get("errors", [])} <= {"users"}
    assert all(e["path"] for e in answer.get("errors", []))


def test_operations_stay_within_the_limits_of_documents(many: list[Operation]) -> None:
    for operation in many:
        document = parse(operation.query)
        fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        assert len(operation.query.encode()) < 16_384
        for definition in document.definitions:
            if isinstance(definition, OperationDefinitionNode):
                fields = list(_expanded(definition.selection_set, fragments, 1))
                assert max((depth for _, depth in fields), default=0) <= 15, operation.query
                assert sum(node.alias is not None for node, _ in fields) <= 30, operation.query
                assert sum(depth == 1 for _, depth in fields) <= 20, operation.query
                assert len(fields) <= 400, operation.query


def test_operations_are_drawn_from_the_sample(snb_dir: Path) -> None:
    oracle = Oracle.from_folder(snb_dir)
    seen: list[str] = []

    @settings(FEW, max_examples=20)
    @given(operations(Pool.from_folder(snb_dir)))
    def run(operation: Operation) -> None:
        answer = oracle.execute(operation.query, operation.variables, operation.operation_name)
        assert list(answer) == ["data"]
        seen.append(operation.query)

    run()
    assert len(seen) >= 20


def test_operations_reach_the_whole_read_contract(many: list[Operation]) -> None:
    everything = "\n".join(operation.query for operation in many)
    assert [word for word in WANTED.split() if word not in everything] == []


@pytest.mark.parametrize("invalid", invalid_operations(), ids=str)
def test_bad_input_is_refused_with_its_code(invalid: Invalid) -> None:
    operation = with_cursor(invalid, ODD.execute)
    answer = ODD.execute(operation.query, operation.variables, operation.operation_name)
    assert "data" not in answer
    assert {error["extensions"]["code"] for error in answer["errors"]} == {invalid.codes[0]}


def _expanded(selections: SelectionSetNode, fragments: dict[str, FragmentDefinitionNode], depth: int) -> Iterator[tuple[FieldNode, int]]:
    for node in selections.selections:
        if isinstance(node, FieldNode):
            yield node, depth
            if node.selection_set:
                yield from _expanded(node.selection_set, fragments, depth + 1)
        elif isinstance(node, FragmentSpreadNode):
            yield from _expanded(fragments[node.name.value].selection_set, fragments, depth)
        elif isinstance(node, InlineFragmentNode):
            yield from _expanded(node.selection_set, fragments, depth)
