"""Validate a document as graphql-core's ``validate`` does, and leave nothing of that to the garbage collector.

PERF: graphql-core's visitors refer to each other in circles, some 1,000 objects a document. The collector found 40,000 of them at once
under a soak, and held the loop for 100 ms and more (``make soak``); freed here, by counting references, they take 0.1 ms a document.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from graphql import (
    ASTValidationRule,
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    ParallelVisitor,
    TypeInfo,
    TypeInfoVisitor,
    ValidationContext,
    visit,
)
from graphql.language.ast import QUERY_DOCUMENT_KEYS
from graphql.validation.validation_context import NodeWithSelectionSet, VariableUsage, VariableUsageVisitor

_KEYS = {kind: tuple(key for key in keys if key != "description") for kind, keys in QUERY_DOCUMENT_KEYS.items()}


def validate(
    schema: GraphQLSchema, document: DocumentNode, rules: Sequence[type[ASTValidationRule]], *, max_errors: int, suggestions: bool
) -> list[GraphQLError]:
    """Return what is wrong with a document; after ``max_errors`` of them one more says that there may be others."""
    errors: list[GraphQLError] = []

    def on_error(error: GraphQLError) -> None:
        if len(errors) >= max_errors:
            raise _EnoughError
        errors.append(error)

    types = TypeInfo(schema)
    context = _Context(schema, document, types, on_error, hide_suggestions=not suggestions)
    visitors = [rule(context) for rule in rules]
    parallel = ParallelVisitor(visitors)
    whole = TypeInfoVisitor(types, parallel)
    try:
        visit(document, whole, _KEYS)
    except _EnoughError:
        errors.append(GraphQLError("Too many validation errors, error limit reached. Validation aborted."))
    except RecursionError:  # where the limits of nesting and depth are set so high
        errors.append(GraphQLError("The document is nested too deeply."))
    finally:
        _part((whole, parallel, *visitors, context, types))
    return errors


class _Context(ValidationContext):
    def get_variable_usages(self, node: NodeWithSelectionSet) -> list[VariableUsage]:
        usages = self._variable_usages.get(node)
        if usages is None:
            visitor = VariableUsageVisitor(self._type_info, node if isinstance(node, FragmentDefinitionNode) else None)
            whole = TypeInfoVisitor(self._type_info, visitor)
            visit(node, whole)
            usages = self._variable_usages[node] = visitor.usages
            _part((whole, visitor))
        return usages


def _part(objects: Iterable[object]) -> None:
    """Break every circle between these objects, which are not used any more."""
    for it in objects:
        vars(it).clear()


class _EnoughError(Exception):
    """Ends the validation of a document."""
