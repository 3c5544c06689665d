"""Turn a query's text into a parsed, validated document, cached by its text. Pure: no I/O, no clock."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    parse,
    validate,
)

from gateway.engine.overlapping import RULES
from gateway.errors import OperationResolutionFailure

MAX_ERRORS = 20  # of validation, per document

K = TypeVar("K")
V = TypeVar("V")


class Lru(Generic[K, V]):
    """A mapping that forgets what was not used for longest. Counts its hits, misses and evictions."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: OrderedDict[K, V] = OrderedDict()
        self.hits = self.misses = self.evictions = 0

    def get(self, key: K) -> V | None:
        item = self._items.get(key)
        if item is None:
            self.misses += 1
            return None
        self.hits += 1
        self._items.move_to_end(key)
        return item

    def put(self, key: K, item: V) -> None:
        self._items[key] = item
        self._items.move_to_end(key)
        if len(self._items) > self._size:
            self._items.popitem(last=False)
            self.evictions += 1

    def __len__(self) -> int:
        return len(self._items)


class DocumentRefused(Exception):
    """The text is no valid document. ``errors`` are GraphQL errors for the client; ``code`` and ``status`` go with them."""

    def __init__(self, errors: list[GraphQLError], *, code: str, status: int) -> None:
        super().__init__(errors[0].message)
        self.errors = errors
        self.code = code
        self.status = status


@dataclass(slots=True, eq=False)
class Document:
    """A valid document. ``plans`` is the engine's: plans by operation name and switched-on directives."""

    text: str
    ast: DocumentNode
    operations: dict[str, OperationDefinitionNode]
    fragments: dict[str, FragmentDefinitionNode]
    plans: dict[Any, Any] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)  # by operation name, as ``variables`` reads them

    def operation(self, name: str | None) -> OperationDefinitionNode:
        """Return the operation to run (GraphQL spec 6.1, GetOperation())."""
        if name is None:
            if len(self.operations) == 1:
                return next(iter(self.operations.values()))
            if not self.operations:
                raise OperationResolutionFailure("The document has no operation.")
            names = ", ".join(name or "(anonymous)" for name in self.operations)
            raise OperationResolutionFailure(f"The document has several operations; operationName must say which: {names}")
        found = self.operations.get(name) if name else None
        if found is None:
            raise OperationResolutionFailure(f"There is no operation named {_shown(name)} in the document.")
        return found


class Documents:
    """Documents by text. Broken ones are kept apart, so that they cannot push out good ones."""

    def __init__(
        self,
        schema: GraphQLSchema,
        *,
        size: int = 1_000,
        broken_size: int = 200,
        max_tokens: int = 20_000,
    ) -> None:
        self._schema = schema
        self._good: Lru[str, Document] = Lru(size)
        self._broken: Lru[str, DocumentRefused] = Lru(broken_size)
        self._max_tokens = max_tokens

    def get(self, text: str) -> Document:
        """Return the document of ``text``; DocumentRefused when it does not parse or validate."""
        document = self._good.get(text)
        if document is not None:
            return document
        refused = self._broken.get(text)
        if refused is None:
            try:
                document = self._read(text)
            except DocumentRefused as exc:
                refused = exc.with_traceback(None)
                self._broken.put(text, refused)
            else:
                self._good.put(text, document)
                return document
        raise DocumentRefused(refused.errors, code=refused.code, status=refused.status)

    def counts(self) -> dict[str, int]:
        good, broken = self._good, self._broken
        return {
            "documents": len(good),
            "hits": good.hits,
            "misses": good.misses,
            "evictions": good.evictions,
            "broken": len(broken),
            "broken_hits": broken.hits,
            "broken_evictions": broken.evictions,
        }

    def _read(self, text: str) -> Document:
        try:
            ast = parse(text, max_tokens=self._max_tokens)
        except GraphQLError as exc:
            raise DocumentRefused([exc], code="GRAPHQL_PARSE_FAILED", status=400) from None
        except RecursionError:
            raise DocumentRefused([GraphQLError("Syntax Error: nested too deeply.")], code="DEPTH_LIMIT", status=400) from None
        try:
            errors = validate(self._schema, ast, RULES, max_errors=MAX_ERRORS)
        except RecursionError:
            errors = [GraphQLError("The document is nested too deeply.")]
        if errors:
            raise DocumentRefused(list(errors), code="GRAPHQL_VALIDATION_FAILED", status=422)
        operations = {d.name.value if d.name else "": d for d in ast.definitions if isinstance(d, OperationDefinitionNode)}
        fragments = {d.name.value: d for d in ast.definitions if isinstance(d, FragmentDefinitionNode)}
        return Document(text, ast, operations, fragments)


def _shown(name: str) -> str:
    return repr(name if len(name) <= 60 else name[:57] + "...")
