"""Answer ``__schema`` and ``__type`` by graphql-core. Pure: no I/O, no clock; counted, as an introspection can fan out like any query."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphql import DocumentNode, FieldNode, GraphQLSchema, OperationDefinitionNode, OperationType, SelectionSetNode, execute_sync

from gateway.engine.document import Document, Operation
from gateway.engine.plan import FieldPlan, Plan
from gateway.errors import LimitExceeded
from gateway.security.limits import Limits

if TYPE_CHECKING:
    from gateway.engine.code import Code


@dataclass(slots=True, eq=False)
class Introspected(FieldPlan):
    """``__schema`` or ``__type``: graphql-core's answer, put into the root's row."""

    slot: int
    nodes: Sequence[FieldNode]

    def expression(self, code: Code, number: int) -> str:  # noqa: ARG002
        return f"v{self.slot}"


class _TooManyError(BaseException):
    """Ends graphql-core's execution, which keeps on after every Exception."""


def introspect(
    schema: GraphQLSchema, document: Document, operation: Operation, plan: Plan, variables: Mapping[str, Any], limits: Limits
) -> dict[int, Any]:
    """Return the values of the plan's introspected fields by their slots in the root's row; LimitExceeded beyond so many fields.

    So many per type of the schema: GraphiQL's own query, which asks for everything, takes 75 of the example's.
    """
    most = limits.introspection_fields_max * len(schema.type_map)
    count = 0

    def counted(resolve: Callable[..., Any], parent: Any, info: Any, **arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count > most:
            raise _TooManyError
        return resolve(parent, info, **arguments)

    try:
        result = execute_sync(schema, _alone(document, operation, plan.introspected), variable_values=dict(variables), middleware=[counted])
    except _TooManyError:
        setting = "introspection_fields_max"
        message = f"The introspection has more than {most:,} fields, {limits.introspection_fields_max} per type (setting {setting})."
        raise LimitExceeded("RESULT_LIMIT", message, limit=most, actual=count, setting=setting) from None
    if result.errors:
        raise result.errors[0]
    data: Mapping[str, Any] = result.data or {}
    return {field.slot: data[field.key] for field in plan.introspected}


def _alone(document: Document, operation: Operation, fields: list[Introspected]) -> DocumentNode:
    """Return the operation with these root fields alone."""
    selections = tuple(node for field in fields for node in field.nodes)
    nodes = document.nodes
    node = nodes.operations[operation.name]
    alone = OperationDefinitionNode(
        operation=OperationType.QUERY,
        name=node.name,
        variable_definitions=node.variable_definitions,
        directives=(),
        selection_set=SelectionSetNode(selections=selections),
    )
    return DocumentNode(definitions=(alone, *nodes.fragments.values()))
