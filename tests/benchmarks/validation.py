"""Print the CPU time that parsing and validating takes for documents made to be slow, and the rules that take it.

    python -m tests.benchmarks.validation [part of a name]

Each document has at most 2,000 tokens and 16 KiB. A rule's time is that beyond a walk through the document without any rule.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from graphql import DocumentNode, GraphQLError, GraphQLSchema, Lexer, OverlappingFieldsCanBeMergedRule, Source, TokenKind, parse, validate

from gateway.engine.document import MAX_ERRORS
from gateway.engine.rules import RULES
from schema import schema as graph

SCHEMA = graph.schema._schema
MAX_TOKENS = 2_000
MAX_BYTES = 16 * 1024
RUNS = 3
SHOWN_MS = 2.0  # rules below are left out

VALID = "{ users(first: 1) { nodes { name } } }"
POSTS = "posts(where: {title: {contains: "


def documents() -> dict[str, str]:
    return {name: text for part in (_fields, _names, _variables, _fragments, _values, _directives, _overlaps) for name, text in part()}


def _fields() -> Iterable[tuple[str, str]]:
    yield "990 fields that are unknown", "{ " + " ".join(f"usr{i}" for i in range(990)) + " }"
    yield "190 fields that are unknown, on an interface", '{ node(id: "User:1") { ' + " ".join(f"nam{i}" for i in range(190)) + " } }"
    yield "19 fields that are unknown, then one that is known", "{ " + " ".join(f"usr{i}" for i in range(19)) + " users { nodes { id } } }"
    yield "600 aliases of one leaf", "{ users { nodes { " + " ".join(f"a{i}: id" for i in range(600)) + " } } }"
    yield "195 levels", "{ user(id: 1) { " + "posts { nodes { author { " * 48 + "id" + " } } }" * 48 + " } }"
    yield "190 inline fragments inside of each other", "{ user(id: 1) " + "{ ... on User " * 190 + "{ id }" + " }" * 190 + " }"
    yield "300 selection sets missing", "{ " + " ".join(f"a{i}: users" for i in range(300)) + " }"
    yield "200 leaves with selections", "{ users { nodes { " + " ".join(f"a{i}: id {{ x }}" for i in range(200)) + " } } }"


def _names() -> Iterable[tuple[str, str]]:
    long = "u" * (MAX_BYTES - 100)
    yield "a field of 16 kB", f"{{ {long} }}"
    yield "a field of 16 kB, on an interface", f'{{ node(id: "User:1") {{ {long} }} }}'
    yield "19 fields of 800 bytes", "{ " + " ".join(f"{'users' * 160}{i}" for i in range(19)) + " }"
    yield "an argument of 16 kB", f"{{ users({long}: 1) {{ nodes {{ id }} }} }}"
    yield "19 arguments of 800 bytes", "{ users(" + ", ".join(f"{'first' * 160}{i}: 1" for i in range(19)) + ") { nodes { id } } }"
    yield "an input field of 16 kB", f"{{ users(where: {{{long}: 1}}) {{ nodes {{ id }} }} }}"
    yield "a type of 16 kB", f"{{ ... on {long} {{ id }} }}"
    yield "a value of an enum of 16 kB", f"{{ users(orderBy: {{field: {long}}}) {{ nodes {{ id }} }} }}"
    yield "a directive of 16 kB", f"{{ users @{long} {{ nodes {{ id }} }} }}"
    yield "a fragment of 16 kB", f"{{ ...{long} }}"
    yield "a variable of 8 kB", f"query (${long[:8_000]}: Int) {{ users(first: ${long[:8_000]}) {{ nodes {{ id }} }} }}"
    yield "an operation of 16 kB", f"query {long} {{ users {{ nodes {{ id }} }} }}"


def _variables() -> Iterable[tuple[str, str]]:
    yield "490 variables that are not used", "query (" + " ".join(f"$v{i}: Int" for i in range(490)) + f") {VALID}"
    yield "250 variables, each used once", _used(250, 1)
    yield "160 variables that are not defined", "{ " + " ".join(f"a{i}: users(first: $v{i}) {{ x }}" for i in range(160)) + " }"
    yield "490 variables of one name", "query (" + "$v: Int " * 490 + f") {VALID}"
    yield "390 variables of unknown types", "query (" + " ".join(f"$v{i}: Userr{i}" for i in range(390)) + f") {VALID}"
    yield "10 operations of 50 fragments of 5 variables", _many_operations(10, 50, 5)
    yield "50 operations of 50 fragments", _many_operations(50, 50, 1)
    yield "150 operations of one fragment", _many_operations(150, 1, 1)
    yield "1 operation of 60 fragments of 5 variables", _many_operations(1, 60, 5)


def _used(variables: int, times: int) -> str:
    defined = " ".join(f"$v{i}: ID!" for i in range(variables))
    used = ", ".join(f"$v{i}" for i in range(variables))
    return f"query ({defined}) {{ {' '.join(f'a{i}: nodes(ids: [{used}]) {{ id }}' for i in range(times))} }}"


def _many_operations(operations: int, fragments: int, variables: int) -> str:
    defined = " ".join(f"$v{i}: ID!" for i in range(variables))
    used = ", ".join(f"$v{i}" for i in range(variables))
    chain = [
        f"fragment F{i} on Query {{ a: nodes(ids: [{used}]) {{ id }} {f'...F{i + 1}' if i + 1 < fragments else ''} }}"
        for i in range(fragments)
    ]
    return " ".join([*(f"query O{i} ({defined}) {{ ...F0 }}" for i in range(operations)), *chain])


def _fragments() -> Iterable[tuple[str, str]]:
    yield "220 fragments that are not used", VALID + " ".join(f" fragment F{i} on User {{ id }}" for i in range(220))
    yield "220 fragments of one name", "{ ...F }" + " fragment F on Query { __typename }" * 220
    yield "240 fragments, each spreads the next", "{ ...F0 }" + _chain(range(240))
    yield "240 fragments, each spreads the one before", "{ ...F0 }" + _chain(reversed(range(240)))
    yield "230 fragments that nobody uses, each spreads the next", VALID + _chain(range(230))
    yield "900 spreads of one fragment", "{ " + "...F " * 900 + "} fragment F on Query { __typename }"
    yield "20 fragments, each spreads 40", "{ ...F0 }" + "".join(f" fragment F{i} on Query {{ {_spreads(40)} }}" for i in range(20))
    yield (
        "40 fragments, each spreads all behind it",
        "{ ...F0 }" + "".join(f" fragment F{i} on Query {{ __typename {_spreads(40, i + 1)} }}" for i in range(40)),
    )
    yield "a circle of 240 fragments", "{ ...F0 }" + _chain(range(239)) + " fragment F239 on Query { ...F0 }"
    yield "990 spreads of unknown fragments", "{ " + " ".join(f"...F{i}" for i in range(990)) + " }"
    yield "8 spreads, 7 deep", "{ ...F0 }" + "".join(f" fragment F{i} on Query {{ {f'...F{i + 1} ' * 8} }}" for i in range(7))
    yield (
        "8 aliases, 7 deep",
        "{ ...U } fragment U on Query { user(id: 1) { ...F0 } }"
        + "".join(
            f" fragment F{i} on User {{ {' '.join(f'p{j}: posts {{ nodes {{ author {{ ...F{i + 1} }} }} }}' for j in range(8))} }}"
            for i in range(7)
        ),
    )


def _chain(numbers: Iterable[int]) -> str:
    return "".join(f" fragment F{i} on Query {{ ...F{i + 1} }}" for i in numbers)


def _spreads(count: int, start: int = 0) -> str:
    return " ".join(f"...F{i}" for i in range(start, count))


def _values() -> Iterable[tuple[str, str]]:
    yield "a string of 16 kB", f'{{ {POSTS}"{"x" * 16_000}"}}}}) {{ nodes {{ id }} }} }}'
    yield "a string of 2,600 escapes", f'{{ {POSTS}"{chr(92) + "u0041"}{(chr(92) + "u0041") * 2_600}"}}}}) {{ nodes {{ id }} }} }}'
    yield "a string of 16 kB where a number should be", f'{{ users(first: "{"x" * 16_000}") {{ nodes {{ id }} }} }}'
    yield "a block string of 8,000 lines", f'{{ {POSTS}"""{" " * 3}{chr(10) * 8_000}"""}}}}) {{ nodes {{ id }} }} }}'
    yield "a block string of 4,000 indented lines", f'{{ {POSTS}"""{(chr(10) + "  x") * 4_000}"""}}}}) {{ nodes {{ id }} }} }}'
    yield "16,000 digits", f"{{ users(first: {'9' * 16_000}) {{ nodes {{ id }} }} }}"
    yield "4,000 digits", f"{{ users(first: {'9' * 4_000}) {{ nodes {{ id }} }} }}"
    yield "16,000 digits behind a point", f"{{ users(first: 1.{'9' * 16_000}) {{ nodes {{ id }} }} }}"
    yield "an exponent of 16,000 digits", f"{{ users(first: 1e{'9' * 16_000}) {{ nodes {{ id }} }} }}"
    yield "16,000 digits as an id", f"{{ user(id: {'9' * 16_000}) {{ id }} }}"
    yield "a list of 1,980 ids", f"{{ nodes(ids: [{' 1' * 1_980}]) {{ id }} }}"
    yield "a list of 1,980 values of another type", f"{{ nodes(ids: [{' 1.5' * 1_980}]) {{ id }} }}"
    yield "190 lists inside of each other", f"{{ nodes(ids: {'[' * 190}{']' * 190}) {{ id }} }}"
    yield "190 filters inside of each other", f"{{ users(where: {'{and: [' * 90}{{}}{']}' * 90}) {{ nodes {{ id }} }} }}"
    yield "320 filters beside each other", f"{{ users(where: {{or: [{'{and: []} ' * 320}]}}) {{ nodes {{ id }} }} }}"
    yield "480 times one input field", f"{{ users(where: {{{'and: [] ' * 480}}}) {{ nodes {{ id }} }} }}"
    yield "640 unknown input fields", f"{{ users(where: {{{' '.join(f'andd{i}: 1' for i in range(640))}}}) {{ nodes {{ id }} }} }}"
    yield "640 times one argument", f"{{ users({'first: 1 ' * 640}) {{ nodes {{ id }} }} }}"
    yield "640 unknown arguments", f"{{ users({' '.join(f'firs{i}: 1' for i in range(640))}) {{ nodes {{ id }} }} }}"
    yield "190 arguments missing", "{ " + " ".join(f"a{i}: post {{ id }}" for i in range(190)) + " }"


def _directives() -> Iterable[tuple[str, str]]:
    yield "980 times one directive", "{ users " + "@skip " * 980 + "{ nodes { id } } }"
    yield "980 unknown directives", "{ users " + " ".join(f"@skp{i}" for i in range(980)) + " { nodes { id } } }"
    yield "190 conditions", "{ " + " ".join(f"a{i}: __typename @skip(if: true)" for i in range(190)) + " }"


def _overlaps() -> Iterable[tuple[str, str]]:
    yield "990 times one field", "{ " + "__typename " * 990 + "}"
    yield "16 times 30 fields of one name", "{ " + ("users { " + "nodes { id } " * 30 + "} ") * 16 + "}"
    yield "600 fields of one alias", "{ users { nodes { " + " ".join("x: id" if i % 2 else "x: name" for i in range(600)) + " } } }"
    yield (
        "170 fields that conflict below",
        "{ " + " ".join(f"u: users {{ nodes {{ x: {'id' if i % 2 else 'name'} }} }}" for i in range(170)) + " }",
    )


def main() -> None:
    wanted = " ".join(sys.argv[1:])
    _say(f"{'document':58} {'bytes':>6} {'tokens':>6} {'parse':>6} {'walk':>6} {'all':>7} ms  rules over {SHOWN_MS:g} ms")
    for name, text in documents().items():
        if wanted in name:
            _say(_line(name, text))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _line(name: str, text: str) -> str:
    tokens = _tokens(text)
    size = len(text.encode())
    if tokens > MAX_TOKENS or size > MAX_BYTES:
        raise SystemExit(f"{name}: at most {MAX_TOKENS} tokens and {MAX_BYTES} bytes, got {tokens} and {size}")
    parsing = _best(lambda: _parsed(text))
    document = _parsed(text)
    start = f"{name:58} {size:6} {tokens:6} {parsing:6.1f}"
    if document is None:
        return f"{start}  does not parse"
    walk = _best(lambda: _errors(SCHEMA, document, ()))
    together = _best(lambda: _errors(SCHEMA, document, RULES))
    rules = {rule.__name__: _best(partial(_errors, SCHEMA, document, (rule,))) - walk for rule in RULES}
    replaced = _best(lambda: _errors(SCHEMA, document, (OverlappingFieldsCanBeMergedRule,)), 1) - walk
    slow = [f"{rule.removesuffix('Rule')} {ms:.1f}" for rule, ms in sorted(rules.items(), key=lambda item: -item[1]) if ms > SHOWN_MS]
    if replaced > 10 * SHOWN_MS:
        slow.append(f"(graphql-core's {OverlappingFieldsCanBeMergedRule.__name__} {replaced:.0f})")
    errors = _errors(SCHEMA, document, RULES)
    last = f"; ends: {errors[-1].message[-60:]}" if errors and errors[-1].message.endswith("aborted.") else ""
    return f"{start} {walk:6.1f} {together:7.1f}     {', '.join(slow)}  [{len(errors)} errors{last}]"


def _tokens(text: str) -> int:
    lexer = Lexer(Source(text))
    count = 0
    while lexer.advance().kind is not TokenKind.EOF:
        count += 1
    return count


def _parsed(text: str) -> DocumentNode | None:
    try:
        return parse(text, max_tokens=MAX_TOKENS)
    except (GraphQLError, RecursionError):
        return None


def _errors(schema: GraphQLSchema, document: DocumentNode, rules: tuple[type[Any], ...]) -> list[GraphQLError]:
    return validate(schema, document, rules, max_errors=MAX_ERRORS)


def _best(work: Callable[[], object], runs: int = RUNS) -> float:
    """Return the milliseconds of CPU of the fastest run."""
    times = []
    for _ in range(runs):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return min(times) * 1_000


if __name__ == "__main__":
    main()
