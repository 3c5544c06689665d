"""Hostile documents, by what they try: the rows B18 to B35 of the catalogue of bad input, and shapes that once ended a process.

Each is a request with the code that one of its errors must have (None: it is answered), for the limits' defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import get_introspection_query

VALIDATION = "GRAPHQL_VALIDATION_FAILED"
SYNTAX = "GRAPHQL_PARSE_FAILED"


@dataclass(frozen=True, slots=True)
class Hostile:
    """A request. ``code``: that of one of the errors; None where it is answered. ``status``: the draft's."""

    name: str
    query: str
    code: str | None
    status: int = 422
    variables: Mapping[str, Any] = field(default_factory=dict)
    operation_name: str | None = None


def fan_out(spreads: int, depth: int, leaf: str = "id", *, alias: bool = False) -> str:
    """Return a query that spreads each of ``depth`` fragments ``spreads`` times in the one before."""

    def level(number: int) -> str:
        inner = f"...F{number + 1}" if number < depth else leaf
        return " ".join(f"{f'a{i}: ' if alias else ''}author {{ {inner} }}" if alias else inner for i in range(spreads))

    fragments = " ".join(f"fragment F{i} on Post {{ {level(i)} }}" for i in range(1, depth + 1))
    return f"{{ posts {{ nodes {{ ...F1 }} }} }} {fragments}"


def aliased_fan_out(aliases: int, depth: int) -> str:
    """Return aliases of a field in each of several fragments, each of which spreads the next: 1,907 bytes planned for 44 s once."""
    fragments = [
        f"fragment F{level} on User {{ "
        + " ".join(f"a{i}: following(first: 1) {{ nodes {{ {f'...F{level + 1}' if level < depth else 'id'} }} }}" for i in range(aliases))
        + " }"
        for level in range(1, depth + 1)
    ]
    return "{ users { nodes { ...F1 } } } " + " ".join(fragments)


def deep(levels: int) -> str:
    """Return a query of so many levels, lists of edges not counted."""
    text = "id"
    for level in range(levels - 1, 0, -1):
        text = f"nodes {{ {text} }}" if level % 2 == 0 else f"{'users' if level == 1 else 'following'} {{ {text} }}"
    return f"{{ {text} }}"


def nested_lists(sizes: Sequence[int]) -> str:
    """Return users in users in users, in pages of these sizes."""
    text = "id"
    for size in reversed(sizes[1:]):
        text = f"id following(first: {size}) {{ nodes {{ {text} }} }}"
    return f"{{ users(first: {sizes[0]}) {{ nodes {{ {text} }} }} }}"


def chain(fragments: int) -> str:
    """Return a depth that comes of fragments alone."""
    text = "{ users { nodes { ...F1 } } }"
    for number in range(1, fragments + 1):
        inner = f"...F{number + 1}" if number < fragments else "id"
        text += f" fragment F{number} on User {{ following {{ nodes {{ {inner} }} }} }}"
    return text


def many(count: int, text: Callable[[int], str], around: str = "{{ users {{ nodes {{ {} }} }} }}") -> str:
    return around.format(" ".join(text(i) for i in range(count)))


def hostile() -> Iterator[Hostile]:
    """Give all of them, for a gateway in development."""
    yield from _syntax()
    yield from _sizes()
    yield from _fragments()
    yield from _validation()
    yield from _costs()
    yield from _values()
    yield from _many_times()
    yield from _introspection()


def _syntax() -> Iterator[Hostile]:
    yield Hostile("B18 open brace", "{", SYNTAX, 400)
    yield Hostile("B18 no name", "{a(:1)}", SYNTAX, 400)
    yield Hostile("B18 unterminated string", '{ user(id: "', SYNTAX, 400)
    yield Hostile("B18 a comment of 1 MB", "#" * 1_000_000, "QUERY_TOO_LONG", 400)
    yield Hostile("B18 commas of 1 MB", "," * 1_000_000, "QUERY_TOO_LONG", 400)
    yield Hostile("B18 commas, as many as fit", "," * 16_000 + "{", SYNTAX, 400)
    yield Hostile("B18 a name of 16 KB", "{ " + "a" * 16_000 + " }", VALIDATION)
    yield Hostile("B18 a number of 16 KB", "{ users(first: " + "1" * 16_000 + ") { totalCount } }", VALIDATION)
    yield Hostile("B18 a string of 16 KB", '{ user(id: "' + "\\u0041" * 2_600 + '") { id } }', None, 200)
    yield Hostile("B18 comments, one token each", "#\n" * 2_001 + "{ __typename }", "TOKEN_LIMIT", 400)
    yield Hostile("B19 2,001 tokens", "{" + " a" * 2_000 + "}", "TOKEN_LIMIT", 400)
    yield Hostile("B20 nested selections", "{a" * 5_000, "DEPTH_LIMIT", 400)
    yield Hostile("B20 nested lists", "{ a(b: " + "[" * 1_000, "DEPTH_LIMIT", 400)
    yield Hostile("B20 nested objects", "{ a(b: " + "{a:" * 600, "DEPTH_LIMIT", 400)
    yield Hostile("B20 nested types", "query ($a: " + "[" * 1_000 + "Int", "DEPTH_LIMIT", 400)
    yield Hostile("B08 an integer of 5,000 digits", "{ users(first: " + "9" * 5_000 + ") { totalCount } }", VALIDATION)


def _sizes() -> Iterator[Hostile]:
    yield Hostile("B21 16 levels", deep(16), "DEPTH_LIMIT")
    yield Hostile("B21 16 levels of fragments", chain(16), "DEPTH_LIMIT")
    inline = "... { " * 3
    yield Hostile("B21 16 levels, inline fragments between", deep(16).replace("{ id }", f"{{ {inline} id {'}' * 3} }}"), "DEPTH_LIMIT")
    yield Hostile("B21 in one fragment", "{ ...Q } fragment Q on Query " + deep(16), "DEPTH_LIMIT")
    yield Hostile("B22 101 aliases", many(101, lambda i: f"a{i}: name"), "ALIAS_LIMIT")
    fragment = "fragment F on User { " + " ".join(f"a{i}: name" for i in range(51)) + " }"
    yield Hostile(
        "B22 51 aliases in a fragment spread twice", "{ users { nodes { ...F following { nodes { ...F } } } } } " + fragment, "ALIAS_LIMIT"
    )
    yield Hostile("B22 aliases of __typename", many(101, lambda i: f"a{i}: __typename"), "ALIAS_LIMIT")
    yield Hostile("B23 21 root fields", many(21, lambda i: f"a{i}: __typename", "{{ {} }}"), "ROOT_FIELD_LIMIT")
    yield Hostile(
        "B23 21 root fields in a fragment",
        many(21, lambda i: f"a{i}: __typename", "{{ ...Q }} fragment Q on Query {{ {} }}"),
        "ROOT_FIELD_LIMIT",
    )
    yield Hostile("B27 51 directives", many(51, lambda i: f"a{i}: name @skip(if: false)"), "DIRECTIVE_LIMIT")
    yield Hostile("B27 6 directives at one field", "{ __typename" + " @skip(if: false)" * 6 + " }", "DIRECTIVE_LIMIT")
    yield Hostile("B27 1,000 unknown directives", "{ __typename" + " @x" * 990 + " }", "DIRECTIVE_LIMIT")
    variables = ", ".join(f"$v{i}: Int" for i in range(51))
    yield Hostile("51 variables", f"query ({variables}) {{ __typename }}", "VARIABLE_LIMIT")
    yield Hostile("11 operations", " ".join(f"query Q{i} {{ __typename }}" for i in range(11)), "OPERATION_LIMIT", operation_name="Q1")
    yield Hostile(
        "400 operations of long names, and none named", " ".join(f"query {'Q' * 20}{i} {{ a }}" for i in range(400)), "OPERATION_LIMIT"
    )
    fragments = " ".join(f"fragment F{i} on User {{ id }}" for i in range(51))
    yield Hostile("51 fragments", "{ users { nodes { " + " ".join(f"...F{i}" for i in range(51)) + " } } } " + fragments, "FRAGMENT_LIMIT")


def _fragments() -> Iterator[Hostile]:
    for spreads, depth in ((7, 8), (40, 2), (30, 8), (2, 40)):
        yield Hostile(f"B24 {spreads} spreads, {depth} fragments deep", fan_out(spreads, depth), "SELECTION_LIMIT")
    yield Hostile("B24 8 aliases, 7 fragments deep", aliased_fan_out(8, 7), "SELECTION_LIMIT")
    inline = "name"
    for _ in range(8):
        inline = f"... {{ {inline} }} ... {{ {inline} }}"
    yield Hostile("B24 inline fragments", f"{{ users {{ nodes {{ {inline} }} }} }}", None, 200)
    yield Hostile("B25 a fragment of itself", "{ users { nodes { ...A } } } fragment A on User { id ...A }", VALIDATION)
    yield Hostile("B25 A in B in A", "{ users { nodes { ...A } } } fragment A on User { ...B } fragment B on User { ...A }", VALIDATION)
    yield Hostile("B25 a circle and a fan-out", fan_out(7, 8, "...F1"), VALIDATION)
    yield Hostile("B25 a circle that nobody uses", "{ __typename } fragment A on User { ...B } fragment B on User { ...A }", VALIDATION)
    all_of_them = " ".join(f"...F{i}" for i in range(25))
    ring = " ".join(f"fragment F{i} on User {{ {all_of_them} }}" for i in range(25))
    yield Hostile("B25 25 fragments, each of all", f"{{ users {{ nodes {{ ...F0 }} }} }} {ring}", VALIDATION)


def _validation() -> Iterator[Hostile]:
    yield Hostile("B26 1,900 equal fields", "{ users { nodes { " + "id " * 1_900 + "} } }", "SELECTION_LIMIT")
    yield Hostile("B26 900 equal fields", "{ users { nodes { " + "id " * 900 + "} } }", None, 200)
    yield Hostile("B26 fields of one name and other arguments", many(190, lambda i: f"posts(first: {i}) {{ totalCount }}"), VALIDATION)
    duplicates = " ".join("... { nodes { " + " ".join("... { id name }" for _ in range(15)) + " } }" for _ in range(15))
    yield Hostile("B26 nested duplicates", f"{{ users {{ {duplicates} }} }}", None, 200)
    yield Hostile("B28 900 unknown fields", many(900, lambda i: f"u{i}"), VALIDATION)
    yield Hostile("B28 40 unused variables", "query (" + ", ".join(f"$v{i}: Int" for i in range(40)) + ") { __typename }", VALIDATION)
    fragments = " ".join(f"fragment F{i} on User {{ id }}" for i in range(40))
    yield Hostile("B28 40 unused fragments", "{ __typename } " + fragments, VALIDATION)
    objects = " ".join(f"u{i}: 1" for i in range(600))
    yield Hostile("600 unknown fields of an input", f"{{ users(where: {{ {objects} }}) {{ totalCount }} }}", VALIDATION)
    long_name = "n" * 7_000
    yield Hostile("suggestions for a long name", f"{{ {long_name} user({long_name}: 1) {{ id }} }}", VALIDATION)
    yield Hostile("B33 a typo", "{ user(id: 1) { nam } }", VALIDATION)
    yield Hostile("B33 a typo of an argument", '{ user(iid: "1") { name } }', VALIDATION)
    yield Hostile("B33 a typo of an enum", "{ users(orderBy: {field: NAM}) { totalCount } }", VALIDATION)
    yield Hostile("B33 a typo of a type", "{ node(id: 1) { ... on Usr { id } } }", VALIDATION)
    yield Hostile("B35 an enum as a string", '{ users(orderBy: {field: "NAME"}) { totalCount } }', VALIDATION)
    yield Hostile("B35 a string as an Int", '{ users(first: "1") { totalCount } }', VALIDATION)
    yield Hostile("B35 a float as an Int", "{ users(first: 1.5) { totalCount } }", VALIDATION)
    yield Hostile("B35 an object as an ID", "{ user(id: {a: 1}) { id } }", VALIDATION)
    yield Hostile("B35 a list as a scalar", "{ users(first: [1]) { totalCount } }", VALIDATION)
    yield Hostile("B17 no such operation", "query A { __typename }", "OPERATION_RESOLUTION_FAILURE", operation_name="B" * 5_000)
    yield Hostile("B17 two operations", "query A { __typename } query B { __typename }", "OPERATION_RESOLUTION_FAILURE")
    yield Hostile("B17 no name", "query A { __typename }", "OPERATION_RESOLUTION_FAILURE", operation_name="")


def _costs() -> Iterator[Hostile]:
    yield Hostile("B29 first: 101", "{ users(first: 101) { nodes { id } } }", "BAD_USER_INPUT")
    yield Hostile("B29 first: -1", "{ users(first: -1) { nodes { id } } }", "BAD_USER_INPUT")
    yield Hostile("B29 first: 2147483647", "{ users(first: 2147483647) { nodes { id } } }", "BAD_USER_INPUT")
    yield Hostile("an id of no type", '{ node(id: "6") { id } }', "BAD_USER_INPUT")
    yield Hostile("ids of no type", '{ nodes(ids: ["Nope:6", "6"]) { id } }', "BAD_USER_INPUT")
    yield Hostile("B29 first: 0", "{ users(first: 0) { nodes { id } } }", None, 200)
    yield Hostile("B29 first: null", "{ users(first: null) { nodes { id } } }", None, 200)
    yield Hostile("B29 lists of 100, nested thrice", nested_lists([100, 100, 100]), "COST_LIMIT")
    lists = " ".join(f"f{i}: users(first: 100) {{ nodes {{ posts(first: 100) {{ nodes {{ id }} }} }} }}" for i in range(20))
    yield Hostile("B29 20 lists of 100, nested", f"{{ {lists} }}", "COST_LIMIT")
    yield Hostile("242 bytes that ended the process", nested_lists([50, 50, 50, 50, 50, 50]), "COST_LIMIT")
    by_variable = "query ($n: Int) { users(first: $n) { nodes { following(first: $n) { nodes { posts(first: $n) { nodes { id } } } } } } }"
    yield Hostile("B30 cost by a variable", by_variable, "COST_LIMIT", variables={"n": 100})
    yield Hostile("B30 little cost by a variable", by_variable, None, 200, variables={"n": 1})
    yield Hostile("B30 cost by a default", by_variable.replace("$n: Int", "$n: Int = 100"), "COST_LIMIT")
    yield Hostile(
        "B30 1,001 ids", "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", "VARIABLES_TOO_LARGE", 400, {"ids": ["User:1"] * 1_001}
    )
    edges = "{ users(first: 100) { edges { node { following(first: 100) { edges { node { id } } } } } } }"
    yield Hostile("edges cost as nodes do", edges, "COST_LIMIT")


def _values() -> Iterator[Hostile]:
    for name, cursor in (("not base64", "!!"), ("another type", "WyJldmVudHMraWQiLCIxIl0"), ("16 KB", "A" * 16_000)):
        yield Hostile(
            f"B31 a cursor: {name}", "query ($c: String) { users(after: $c) { nodes { id } } }", "BAD_USER_INPUT", variables={"c": cursor}
        )
    where = "query ($w: UserFilter) { users(where: $w) { totalCount } }"
    yield Hostile("B34 an unknown key", where, "BAD_USER_INPUT", variables={"w": {"nam": 1}})
    yield Hostile("B34 a null for a non-null", where, "BAD_USER_INPUT", variables={"w": {"and": [None]}})
    nested: dict[str, Any] = {}
    for _ in range(33):
        nested = {"not": nested}
    yield Hostile("B34 33 levels", where, "VARIABLES_TOO_LARGE", 400, {"w": nested})
    yield Hostile("a filter of 11 levels", where, "FILTER_LIMIT", variables={"w": _nots(11)})
    yield Hostile(
        "a filter of 101 conditions", where, "FILTER_LIMIT", variables={"w": {"or": [{"name": {"eq": str(i)}} for i in range(101)]}}
    )
    yield Hostile("a filter of empty parts", where, "FILTER_LIMIT", variables={"w": {"or": [{"and": [{}] * 480}] * 10}})
    yield Hostile("an in of 1,001", where, "VARIABLES_TOO_LARGE", 400, {"w": {"id": {"in": [str(i) for i in range(1_001)]}}})
    yield Hostile("an in of 1,000", where, None, 200, {"w": {"id": {"in": [str(i) for i in range(1_000)]}}})
    yield Hostile("contains of 257 characters", where, "FILTER_LIMIT", variables={"w": {"name": {"contains": "a" * 257}}})
    yield Hostile("startsWith of 300,000 characters", where, "VARIABLES_TOO_LARGE", 400, {"w": {"name": {"startsWith": "a" * 300_000}}})
    yield Hostile("60,000 empty objects", where, "VARIABLES_TOO_LARGE", 400, {"w": {"or": [{"and": [{}] * 1_000} for _ in range(60)]}})
    yield Hostile("variables that nobody declared", "{ __typename }", "VARIABLES_TOO_LARGE", 400, {"x": ["a"] * 1_001})


def _many_times() -> Iterator[Hostile]:
    """Give documents that use one variable at many places."""
    texts = {"in": [str(i) for i in range(1_000)]}
    where = {"or": [{"title": texts}, {"content": texts}, {"language": texts}, {"forum": texts}]}
    fields = many(99, lambda i: f"a{i}: posts(first: 0, where: $w) {{ totalCount }}", "{{ user(id: 1) {{ {} }} }}")
    yield Hostile("99 times one filter of 4,000 texts", f"query ($w: PostFilter) {fields}", "ARGUMENT_LIMIT", variables={"w": where})
    orders = [{"field": "TITLE"}] * 1_000
    fields = many(99, lambda i: f"a{i}: posts(first: 0, orderBy: $o) {{ totalCount }}", "{{ user(id: 1) {{ {} }} }}")
    yield Hostile("99 times 1,000 orders", f"query ($o: [PostOrder!]) {fields}", "ARGUMENT_LIMIT", variables={"o": orders})
    fields = many(99, lambda i: f"a{i}: posts(after: $c) {{ totalCount }}", "{{ user(id: 1) {{ {} }} }}")
    yield Hostile("99 times a cursor of 64 KB", f"query ($c: String) {fields}", "ARGUMENT_LIMIT", variables={"c": "A" * 64_000})
    ids = {"ids": ["User:1"] * 1_000}
    fields = many(20, lambda i: f"a{i}: nodes(ids: $ids) {{ id }}", "{{ {} }}")
    yield Hostile("20 times 1,000 ids", f"query ($ids: [ID!]!) {fields}", "ARGUMENT_LIMIT", variables=ids)
    bad = many(99, lambda i: f"a{i}: posts(first: $n) {{ totalCount }}", "{{ user(id: 1) {{ {} }} }}")
    yield Hostile("99 times a bad page size", f"query ($n: Int) {bad}", "BAD_USER_INPUT", variables={"n": 101})


def _nots(levels: int) -> dict[str, Any]:
    return {"name": {"eq": "a"}} if levels == 1 else {"not": _nots(levels - 1)}


def _introspection() -> Iterator[Hostile]:
    yield Hostile("B32 GraphiQL's introspection", get_introspection_query(specified_by_url=True, input_value_deprecation=True), None, 200)
    yield Hostile("B32 __type", '{ __type(name: "User") { name fields { name type { name } } } }', None, 200)
    of_types = "ofType { fields { name type { " * 20 + "name" + " } } }" * 20
    yield Hostile("B32 20 levels of ofType and fields", f"{{ __schema {{ types {{ {of_types} }} }} }}", VALIDATION)
    inner = "types { name fields { name args { name type { name ofType { name ofType { name } } } } type { name fields { name } } } }"
    yield Hostile("B32 introspection, aliased", many(15, lambda i: f"a{i}: __schema {{ {inner} }}", "{{ {} }}"), "RESULT_LIMIT")
