"""Parsing: the same documents as graphql-core's own parser, limits in the one pass, and nothing left for the garbage collector."""

from __future__ import annotations

import gc

import pytest
from graphql import GraphQLSyntaxError, get_introspection_query, print_ast
from graphql import parse as parse_by_graphql_core

from gateway.engine.document import DocumentRefused, Documents
from gateway.engine.parsing import LimitReachedError, parse
from gateway.security.limits import Limits
from schema import schema as graph
from tests.hostile.documents import hostile

SCHEMA = graph.schema._schema
TEXTS = [
    "{ a }",
    '# comment\nquery Q($a: [Int!]! = [1, 2] @x, $b: In = {c: "d", e: E, f: null}) @y { a: b(c: $a, d: 1.5e3) @z { ...F ... on T { g } } }'
    "\nfragment F on T { h }",
    '"a description" query { a(text: """\n  block\n  string\n""") }',
    get_introspection_query(),
    "mutation { a } subscription S { b }",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_document_is_graphql_cores_with_its_locations_and_tokens(text: str) -> None:
    wanted = parse_by_graphql_core(text)
    made, tokens = parse(text, Limits())
    assert made == wanted
    assert print_ast(made) == print_ast(wanted)
    assert tokens == wanted.token_count
    assert made.definitions[-1].loc == wanted.definitions[-1].loc


@pytest.mark.parametrize("case", [case for case in hostile() if case.code == "GRAPHQL_PARSE_FAILED"], ids=lambda case: case.name)
def test_syntax_errors_are_graphql_cores(case: object) -> None:
    text = case.query  # type: ignore[attr-defined]
    with pytest.raises(GraphQLSyntaxError) as wanted:
        parse_by_graphql_core(text)
    with pytest.raises(GraphQLSyntaxError) as found:
        parse(text, Limits())
    assert found.value.message == wanted.value.message
    assert found.value.locations == wanted.value.locations


@pytest.mark.parametrize(("text", "tokens"), [("{" + " a" * 8 + "}", 10), ("#\n" * 8 + "{ a }", 11)])
def test_tokens_are_counted_with_comments(text: str, tokens: int) -> None:
    assert parse(text, Limits(tokens_max=tokens))[1] == tokens
    with pytest.raises(LimitReachedError) as reached:
        parse(text, Limits(tokens_max=tokens - 1))
    assert reached.value.broken.extensions == {"code": "TOKEN_LIMIT", "limit": tokens - 1, "actual": tokens, "setting": "tokens_max"}


@pytest.mark.parametrize("text", ["{a{b{c{d}}}}", "{a(b:[[[1]]])}", "{a(b:{c:{d:1}})}", "query($a:[[[Int]]]){a}"])
def test_nesting_counts_every_sort_of_bracket(text: str) -> None:
    parse(text, Limits(nesting_max=5))
    with pytest.raises(LimitReachedError, match="levels or more; at most 3"):
        parse(text, Limits(nesting_max=3))


def test_the_first_limit_that_is_reached_ends_the_pass() -> None:
    with pytest.raises(LimitReachedError, match="nesting_max"):
        parse("{a" * 65 + " !!! not even read", Limits())


def test_a_parsed_document_holds_no_circle() -> None:
    """Nothing of a forgotten document waits for the collector: the leak of 35 MiB per 1,000 distinct queries."""
    gc.collect()
    gc.disable()
    try:
        document, _ = parse("{ a { b(c: [1, 2]) { ...F } } } fragment F on T { d }", Limits())
        assert gc.collect() == 0
        del document
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "text",
    [
        "{ a: __typename }",
        "query ($n: Int = 3) { users(first: $n) { nodes { ...F } } } fragment F on User { name posts(first: $n) { nodes { id } } }",
        "{ nothing }",
        "query ($a: Int) { users { nodes { name: id name } } }",
        '{ users(nothing: 1) { nodes { id } } user(id: "User:1") { ...G } }',
        "{ a",
    ],
)
def test_what_a_cache_of_documents_forgets_is_freed_at_once(text: str) -> None:
    """Validation too leaves no circle: a document's is 1,000 objects, and finding 40,000 held the loop for 100 ms."""
    documents = Documents(SCHEMA, size=0, broken_size=0)
    gc.collect()
    gc.disable()
    try:
        try:
            kept: object = documents.get(text)
        except DocumentRefused as refused:
            kept = refused
        assert gc.collect() == 0
        del kept
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_the_nodes_of_a_document_are_forgotten_once_it_is_planned_and_read_again_where_they_are_needed() -> None:
    documents = Documents(SCHEMA)
    document = documents.get("query A { users { totalCount } } query B { ...F } fragment F on Query { posts { totalCount } }")
    heavy, nodes = documents.counts()["bytes"], document.nodes
    documents.forget_nodes(document)
    light = documents.counts()["bytes"]
    documents.forget_nodes(document)
    assert documents.counts()["bytes"] == light < heavy
    assert document.nodes is not nodes
    assert document.nodes is not document.nodes, "what is read again is not kept, as the cache does not weigh it"
    documents.forget_nodes(document)
    assert documents.counts()["bytes"] == light
    assert document.nodes.ast == nodes.ast
    assert list(document.nodes.operations) == list(document.operations) == ["A", "B"]
    assert list(document.nodes.fragments) == ["F"]
