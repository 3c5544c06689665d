"""Which fields cannot be merged (GraphQL spec 5.3.2): the same verdict as graphql-core's rule has without its budget, for less work.

FUZZ_EXAMPLES sets how many random documents are held against graphql-core's rule.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from graphql import (
    GraphQLError,
    GraphQLSchema,
    OverlappingFieldsCanBeMergedRule,
    build_schema,
    parse,
    validate,
)
from graphql.validation.rules import overlapping_fields_can_be_merged as graphql_core
from hypothesis import HealthCheck, given, settings

from gateway.engine.overlapping import MAX_CONFLICTS, OverlappingFields, Overlaps
from tests.forms import of_form
from tests.gateway.engine.overlaps import CASES, Case
from tests.gateway.engine.selections import SCHEMA, TYPES, crossings, documents

EXAMPLES = of_form(40, 300, "FUZZ_EXAMPLES")
UNLIMITED = 10**12


@pytest.fixture(autouse=True)
def _no_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphql_core, "MAX_COMPLEXITY_BUDGET", UNLIMITED)


def ours(schema: GraphQLSchema, document: str) -> list[GraphQLError]:
    return validate(schema, parse(document), [OverlappingFields])


def theirs(schema: GraphQLSchema, document: str) -> list[GraphQLError]:
    return validate(schema, parse(document), [OverlappingFieldsCanBeMergedRule], max_errors=UNLIMITED)


def told(errors: list[GraphQLError]) -> set[tuple[str, tuple[tuple[int, int], ...]]]:
    return {(error.message, tuple((at.line, at.column) for at in error.locations or ())) for error in errors}


def steps(schema: GraphQLSchema, document: str) -> int:
    overlaps = Overlaps(schema, parse(document))
    assert overlaps.errors() == []
    return overlaps.steps


# -- the verdict ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_cases_of_graphql_core_have_their_verdicts(case: Case) -> None:
    errors = ours(case.schema, case.document)

    if case.conflict is None:
        assert errors == []
    else:
        assert errors[0].message.startswith(f"Fields {case.conflict}")
    assert bool(theirs(case.schema, case.document)) == bool(errors)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(documents())
def test_random_documents_have_the_verdict_of_graphql_core(document: str) -> None:
    got, expected = ours(SCHEMA, document), theirs(SCHEMA, document)

    assert bool(got) == bool(expected), f"got {told(got)}, expected {told(expected)}"


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(crossings())
def test_random_crossings_of_types_have_the_verdict_of_graphql_core(document: str) -> None:
    got, expected = ours(TYPES, document), theirs(TYPES, document)

    assert bool(got) == bool(expected), f"got {told(got)}, expected {told(expected)}"


def test_types_in_introspections_of_different_objects_are_not_compared() -> None:
    document = "{ i { ... on A { q { __schema { t: types { kind } } } } ... on B { q { __schema { t: queryType { kind } } } } } }"
    schema = build_schema("interface I { q: Query } type A implements I { q: Query } type B implements I { q: Query } type Query { i: I }")

    assert ours(schema, document) == theirs(schema, document) == []


def test_a_fragment_that_nobody_spreads_is_looked_at_and_so_are_those_in_a_circle() -> None:
    alone = "{ x } fragment F on A { k: x k: z }"
    circle = "{ x } fragment F on A { ...G } fragment G on A { child { ...F k: x } child { k: z } }"

    assert [len(ours(SCHEMA, text)) for text in (alone, circle)] == [1, 1]


# -- the messages --------------------------------------------------------------------------------------------------------------------------


SEVERAL_IN_ONE = {  # graphql-core puts several differences into one message, or says one twice; here each is a message
    "reports each conflict once",
    "deep conflict with multiple issues",
    "reports deep conflict in nested fragments",
}


@pytest.mark.parametrize("case", [case for case in CASES if case.conflict and case.name not in SEVERAL_IN_ONE], ids=str)
def test_a_conflict_is_told_in_graphql_cores_words_and_places(case: Case) -> None:
    assert told(ours(case.schema, case.document)) == told(theirs(case.schema, case.document))


def test_each_of_several_differences_below_two_fields_is_an_error_of_its_own() -> None:
    errors = ours(SCHEMA, "{ a { k: x l: y } a { k: id l: z } }")

    because = [error.message.split(" because ", 1)[1].split(".")[0] for error in errors]
    assert because == [
        "subfields 'k' conflict because 'x' and 'id' are different fields",
        "subfields 'l' conflict because 'y' and 'z' are different fields",
    ]


def test_a_conflict_between_an_interface_and_an_object_names_the_fields_in_their_order() -> None:
    document = "{ node { ... on B { k: z } ... on A { k: x } k: id } }"

    assert told(ours(SCHEMA, document)) < told(theirs(SCHEMA, document))


def test_no_more_than_a_handful_of_conflicts_is_told() -> None:
    errors = ours(SCHEMA, "{ " + " ".join(f"k{i}: x k{i}: y" for i in range(100)) + " }")

    assert len(errors) == MAX_CONFLICTS


def test_a_message_stays_short_whatever_the_names() -> None:
    long = "x" * 10_000
    deep = " ".join("a { " + "child { " * 50 + f"k: {name}" + " }" * 51 for name in (long, "id"))

    (error,) = ours(SCHEMA, f"{{ {deep} }}")

    assert len(error.message) < 1_300
    assert len(error.nodes or ()) == 40


# -- the work ------------------------------------------------------------------------------------------------------------------------------


def repeated(n: int) -> str:
    return "{" + " x" * n + "}"


def nested_repeats(n: int) -> str:
    return "{" + ("a {" + " child { x }" * 30 + " } ") * (n // 30) + "}"


def inline_repeats(n: int) -> str:
    return "{" + ("... { " + "a { x } " * 30 + "} ") * (n // 30) + "}"


def many_fragments(n: int) -> str:
    spreads = " ".join(f"...F{i}" for i in range(n))
    return f"{{ a {{ {spreads} }} }} " + " ".join(
        f"fragment F{i} on A {{ child {{ ...G{i} x }} }} fragment G{i} on A {{ y }}" for i in range(n)
    )


def fan_out(n: int) -> str:
    """8 spreads in every fragment: 8 to the power of n selections."""
    aliased = [" ".join(f"c{j}: child {{ ...F{i + 1} ...F{i + 1} }}" for j in range(8)) for i in range(n)]
    return "{ a { ...F0 } } " + " ".join(f"fragment F{i} on A {{ {text} }}" for i, text in enumerate([*aliased, "x"]))


def two_fan_outs(n: int) -> str:
    chains = fan_out(n).removeprefix("{ a { ...F0 } } ")
    return "{ a { ...F0 ...G0 } } " + chains + " " + chains.replace("F", "G")


def unused_chain(n: int) -> str:
    return "{ x } " + " ".join(f"fragment F{i} on A {{ x ...F{i + 1} }}" for i in reversed(range(n)))


def exclusive(n: int) -> str:
    return "{ r { " + " ".join(f"... on T{i % 200} {{ r {{ x: {'xa'[i % 2]} }} }}" for i in range(n)) + " } }"


def abstract_beside_concrete(n: int) -> str:
    return "{ r { " + "r { x } " * n + " ".join(f"... on T{i % 200} {{ r {{ x }} }}" for i in range(n)) + " } }"


def crossed(n: int) -> str:
    """Paths of which each may meet each of the other half: n of T, any; n of any, T."""
    left = " ".join(f"... on T{i} {{ r {{ r {{ x }} }} }}" for i in range(n))
    right = " ".join(f"... on T{i} {{ r {{ x }} }}" for i in range(n))
    return f"{{ r {{ {left} r {{ {right} }} }} }}"


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        (repeated, 500),
        (nested_repeats, 300),
        (inline_repeats, 300),
        (many_fragments, 40),
        (fan_out, 5),
        (two_fan_outs, 5),
        (unused_chain, 45),
        (exclusive, 90),
        (abstract_beside_concrete, 90),
        (crossed, 50),
    ],
)
def test_work_grows_with_the_document_and_not_with_its_pairs(shape: Callable[[int], str], size: int) -> None:
    schema = TYPES if shape in (exclusive, abstract_beside_concrete, crossed) else SCHEMA

    small, large = steps(schema, shape(size)), steps(schema, shape(4 * size))

    assert large < 4.5 * small


def test_fragments_that_make_ever_new_sets_of_fields_are_not_all_looked_at() -> None:
    """As an automaton these fragments have 2 to the power of 35 states. Every two of them meet in far fewer."""
    n = 35
    levels = [f"fragment S{i} on A {{ p: child {{ ...S{i + 1} ...Q0 }} q: child {{ ...S{i + 1} }} }}" for i in range(n)]
    chain = [f"fragment Q{i} on A {{ p: child {{ ...Q{i + 1} }} q: child {{ ...Q{i + 1} }} }}" for i in range(n)]
    document = " ".join(["{ a { ...S0 } }", *levels, *chain, f"fragment S{n} on A {{ x }} fragment Q{n} on A {{ x }}"])

    assert steps(SCHEMA, document) < 5_000
