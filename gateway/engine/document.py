"""Turn a query's text into a parsed, validated document, cached by its text. Pure: no I/O, no clock.

The order is that of what each step can cost: length, parsing (tokens, nesting), shape (depth, aliases, …), validation. A document that
fails is refused with the errors of the step that it fails.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
)

from gateway.caches import Lru
from gateway.engine.parsing import LimitReachedError, parse
from gateway.engine.rules import RULES
from gateway.engine.validation import validate
from gateway.errors import LimitExceeded, OperationResolutionFailure, TextLimitExceeded, bounded
from gateway.security.limits import Limits, enforced
from gateway.security.shape import Measuring, check_shape

MAX_ERRORS = 20  # of validation, per document
NAMES_SHOWN = 20

# PERF: what a document weighs in its cache, from tracemalloc over documents of 10 to 1,900 tokens (python -m tests.benchmarks.caches).
DOCUMENT_BYTES = 3_000
BYTES_PER_TOKEN = 260


@dataclass(frozen=True, slots=True)
class Openness:
    """What a client may learn of the schema from what is refused: in production nothing."""

    introspection: bool = True
    suggestions: bool = True
    type_names: bool = True


class DocumentRefused(Exception):
    """A document, or its variables, cannot be. ``errors`` are for the client, as they go into the answer; ``status`` goes with them.

    Holds texts alone, as it is kept: errors of graphql-core hold the document.
    """

    def __init__(self, errors: Sequence[Mapping[str, Any]], *, status: int) -> None:
        super().__init__(errors[0]["message"])
        self.errors = list(errors)
        self.status = status


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of a document; ``name`` is empty where it has none."""

    name: str
    type: OperationType
    word: str  # of the type: query, mutation, subscription


class Nodes:
    """What the parser made of a document."""

    __slots__ = ("ast", "fragments", "operations")

    def __init__(self, ast: DocumentNode) -> None:
        self.ast = ast
        self.operations = {d.name.value if d.name else "": d for d in ast.definitions if isinstance(d, OperationDefinitionNode)}
        # The last of several fragments of one name, as in graphql-core.
        self.fragments = {d.name.value: d for d in ast.definitions if isinstance(d, FragmentDefinitionNode)}


class Document:
    """A valid document. ``plans`` is the engine's: plans by operation name, and by what switches fields on and off where anything does.

    Its nodes are forgotten once it is planned, and read again where another plan is made.
    PERF: nodes are four fifths of the objects of all caches, which the garbage collector looks at: 194 ms for 1,000 documents with
    them, 60 without, in which nobody is answered (``make soak``).
    """

    __slots__ = ("_hash", "_limits", "_nodes", "noted", "operations", "plans", "switches", "text", "tokens", "variables")

    def __init__(self, text: str, nodes: Nodes, tokens: int, limits: Limits, noted: Sequence[LimitExceeded] = ()) -> None:
        self.text = text
        self.tokens = tokens
        self.operations = {name: Operation(name, node.operation, node.operation.value) for name, node in nodes.operations.items()}
        self.noted = noted  # limits that it breaks where they are only measured
        self.plans: dict[Any, Any] = {}
        self.switches: tuple[str, ...] | None = None  # the variables of @skip and @include, once it is planned
        self.variables: dict[str, Any] = {}  # by operation name, as ``variables`` reads them
        self._limits = limits
        self._nodes: Nodes | None = nodes
        self._hash = ""

    @property
    def hash(self) -> str:
        """SHA-256 of its text in UTF-8, as hexadecimal digits."""
        if not self._hash:
            self._hash = sha256(self.text.encode(errors="replace")).hexdigest()
        return self._hash

    @property
    def nodes(self) -> Nodes:
        """Read anew each time once they are forgotten, as the cache no longer weighs them."""
        nodes = self._nodes  # another thread may forget them meanwhile
        return Nodes(parse(self.text, self._limits)[0]) if nodes is None else nodes

    def forget_nodes(self) -> bool:
        """Forget the nodes; False where they were forgotten before."""
        had, self._nodes = self._nodes, None
        return had is not None

    def operation(self, name: str | None) -> Operation:
        """Return the operation to run (GraphQL spec 6.1, GetOperation())."""
        if name is None:
            if len(self.operations) == 1:
                return next(iter(self.operations.values()))
            if not self.operations:
                raise OperationResolutionFailure("The document has no operation.")
            names = ", ".join(bounded(name or "(anonymous)", 60) for name in list(self.operations)[:NAMES_SHOWN])
            more = f" and {len(self.operations) - NAMES_SHOWN} more" if len(self.operations) > NAMES_SHOWN else ""
            raise OperationResolutionFailure(f"The document has several operations; operationName must say which: {names}{more}")
        found = self.operations.get(name) if name else None
        if found is None:
            raise OperationResolutionFailure(f"There is no operation named {bounded(name, 60)!r} in the document.")
        return found


class Documents:
    """Documents by text. Broken ones are kept apart, so that they cannot push out good ones."""

    def __init__(
        self,
        schema: GraphQLSchema,
        limits: Limits | None = None,
        *,
        openness: Openness | None = None,
        uncounted: frozenset[tuple[str, str]] = frozenset(),
        size: int = 1_000,
        limit_bytes: int = 32 * 1024 * 1024,
        broken_size: int = 200,
    ) -> None:
        self._schema = schema
        self._limits = limits or Limits()
        self._openness = openness or Openness()
        self._measuring = Measuring(schema, uncounted, introspection=self._openness.introspection)
        self._good: Lru[str, Document] = Lru(size, limit_bytes)
        self._broken: Lru[str, DocumentRefused] = Lru(broken_size, limit_bytes // 8)

    def kept(self, text: str) -> Document | None:
        """Return the document of ``text`` where it is known; DocumentRefused where it is known to be refused."""
        document = self._good.get(text)
        if document is None and (refused := self._broken.get(text)) is not None:
            raise DocumentRefused(refused.errors, status=refused.status)
        return document

    def get(self, text: str) -> Document:
        """Return the document of ``text``; DocumentRefused when it goes beyond a limit, does not parse or does not validate."""
        document = self.kept(text)
        return self.read(text) if document is None else document

    def read(self, text: str) -> Document:
        """Return the document of a text that is not kept, as ``get`` does."""
        try:
            document, weight = self._read(text)
        except DocumentRefused as exc:
            refused = exc.with_traceback(None)
            self._broken.put(text, refused, weight_of(text, 0) + 500 * len(refused.errors))
        else:
            self._good.put(text, document, weight)
            return document
        raise DocumentRefused(refused.errors, status=refused.status)

    def grow(self, document: Document, weight: int) -> None:
        """Say that a document holds so many bytes more: its plans."""
        self._good.grow(document.text, document, weight)

    def forget_nodes(self, document: Document) -> None:
        """Forget the nodes of a document that is planned: they weigh several times what its plans do."""
        if document.forget_nodes():
            self.grow(document, -BYTES_PER_TOKEN * document.tokens)

    def counts(self) -> dict[str, int]:
        good, broken = self._good, self._broken
        return {
            "documents": len(good),
            "bytes": good.bytes + broken.bytes,
            "hits": good.hits,
            "misses": good.misses,
            "evictions": good.evictions,
            "broken": len(broken),
            "broken_hits": broken.hits,
            "broken_evictions": broken.evictions,
        }

    def _read(self, text: str) -> tuple[Document, int]:
        length = len(text) if text.isascii() else len(text.encode())
        too_long = self._limits.exceeded(
            "QUERY_TOO_LONG", "The query has", "query_limit_bytes", length, "bytes", kind=TextLimitExceeded, always=True
        )
        _refuse(too_long)
        ast, tokens = self._parse(text)
        shape = self._measuring.shape(ast)
        broken = check_shape(self._limits, shape)
        _refuse(enforced(broken))
        self._validate(ast, introspects=shape.introspects)
        return Document(text, Nodes(ast), tokens, self._limits, broken), weight_of(text, tokens)

    def _parse(self, text: str) -> tuple[DocumentNode, int]:
        # What is refused is kept, so it is raised outside: inside, it would hold the error that it follows from, and that the parser.
        try:
            return parse(text, self._limits)
        except LimitReachedError as exc:
            error = exc.broken.shown
        except GraphQLError as exc:
            error = shown(exc, "GRAPHQL_PARSE_FAILED")
        except RecursionError:  # where nesting_max is set so high
            error = {"message": "Syntax Error: nested too deeply.", "extensions": {"code": "DEPTH_LIMIT"}}
        raise DocumentRefused([error], status=400)

    def _validate(self, ast: DocumentNode, *, introspects: bool) -> None:
        code = "GRAPHQL_VALIDATION_FAILED"
        if introspects and not self._openness.introspection:
            raise DocumentRefused([{"message": "Introspection is off (setting introspection).", "extensions": {"code": code}}], status=422)
        errors = validate(self._schema, ast, RULES, max_errors=MAX_ERRORS - 1, suggestions=self._openness.suggestions)
        if not errors:
            return
        if not self._openness.type_names:  # which error it is tells of the schema, too
            raise DocumentRefused([_masked(error, code) for error in errors], status=422)
        raise DocumentRefused([shown(error, code) for error in errors], status=422)


def shown(error: GraphQLError, code: str) -> dict[str, Any]:
    """Return an error as the client sees it; its message holds at most so much of what the client wrote."""
    formatted: dict[str, Any] = {**error.formatted, "extensions": {"code": code}}
    formatted["message"] = bounded(error.message)
    return formatted


def _masked(error: GraphQLError, code: str) -> dict[str, Any]:
    formatted = shown(error, code)
    formatted["message"] = "The document does not fit the schema here; more is not told (setting type_names)."
    return formatted


def _refuse(broken: Sequence[LimitExceeded]) -> None:
    if broken:
        raise _refused(broken)


def _refused(broken: Sequence[LimitExceeded]) -> DocumentRefused:
    return DocumentRefused([error.shown for error in broken], status=broken[0].http_status)


def weight_of(text: str, tokens: int) -> int:
    """Return the bytes that a parsed document of so many tokens is taken to hold."""
    return DOCUMENT_BYTES + sys.getsizeof(text) + BYTES_PER_TOKEN * tokens
