"""Measure a parsed document before anything that could cost more is done with it. Linear: each fragment is walked once.

What a fragment holds counts as often as it is spread; numbers saturate, so that a fan-out of fragments costs additions alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    get_named_type,
    is_interface_type,
    is_object_type,
)

from gateway.errors import LimitExceeded
from gateway.security.limits import SATURATED, Limits

_INTROSPECTION = {"__schema": "__Schema", "__type": "__Type"}

Fields = Mapping[str, tuple[str, bool]]  # field name -> (name of its type, whether it counts as no level)


@dataclass(slots=True)
class Shape:
    """How large a document is. Fragments count as often as they are spread, but for ``directives`` and what is named a definition."""

    depth: int = 0
    aliases: int = 0
    root_fields: int = 0
    mutations: int = 0  # root fields of mutations
    selections: int = 0
    directives: int = 0
    directives_per_node: int = 0
    fragments: int = 0
    operations: int = 0
    variables: int = 0  # of the operation that declares most
    has_cycle: bool = False
    introspects: bool = False


@dataclass(slots=True)
class _Local:
    """What one definition holds itself, and where it spreads fragments: (name, levels above the spread, at the definition's top)."""

    depth: int = 0
    aliases: int = 0
    selections: int = 0
    top: int = 0  # fields at the definition's own level
    spreads: list[tuple[str, int, bool]] = field(default_factory=list)


@dataclass(slots=True)
class _Total:
    depth: int = 0
    aliases: int = 0
    selections: int = 0
    top: int = 0


class Measuring:
    """Measures documents of one schema. ``uncounted`` are fields, as (type, field), that add no level: the edges of a connection."""

    def __init__(self, schema: GraphQLSchema, uncounted: frozenset[tuple[str, str]] = frozenset(), *, introspection: bool = True) -> None:
        self._types: dict[str, Fields] = {
            type_.name: {
                name: (get_named_type(definition.type).name, (type_.name, name) in uncounted) for name, definition in type_.fields.items()
            }
            for type_ in schema.type_map.values()
            if is_object_type(type_) or is_interface_type(type_)
        }
        self._roots = {kind: type_.name for kind in OperationType if (type_ := schema.get_root_type(kind)) is not None}
        self._introspection = introspection

    def shape(self, document: DocumentNode) -> Shape:
        """Return the document's shape. What is unknown to the schema is counted too: validation comes later."""
        return _Document(self._types, self._roots, self._introspection, document).shape


class _Document:
    def __init__(
        self, types: Mapping[str, Fields], roots: Mapping[OperationType, str], introspection: bool, document: DocumentNode
    ) -> None:
        self.shape = shape = Shape()
        self._types = types
        self._introspection = introspection
        fragments: dict[str, _Local] = {}
        operations: list[tuple[OperationDefinitionNode, _Local]] = []
        for definition in document.definitions:
            if isinstance(definition, FragmentDefinitionNode):
                shape.fragments += 1
                local = self._local(definition.selection_set, definition.type_condition.name.value)
                fragments.setdefault(definition.name.value, local)
            elif isinstance(definition, OperationDefinitionNode):
                shape.operations += 1
                shape.variables = max(shape.variables, len(definition.variable_definitions or ()))
                for variable in definition.variable_definitions or ():
                    self._directives(variable.directives)
                operations.append((definition, self._local(definition.selection_set, roots.get(definition.operation, ""))))
            self._directives(getattr(definition, "directives", None))
        totals = self._totals(fragments)
        if shape.has_cycle:  # there is no number to it; validation says where it is
            return
        for operation, local in operations:
            total = _total(local, totals)
            shape.root_fields = max(shape.root_fields, total.top)
            if operation.operation is OperationType.MUTATION:
                shape.mutations = max(shape.mutations, total.top)
            self._most(total)
        for total in totals.values():  # of fragments that nobody spreads, too
            self._most(total)

    def _most(self, total: _Total) -> None:
        shape = self.shape
        shape.depth = max(shape.depth, total.depth)
        shape.aliases = max(shape.aliases, total.aliases)
        shape.selections = max(shape.selections, total.selections)

    # ------------------------------------------------------------------------------------------------------- definitions

    def _local(self, selection_set: SelectionSetNode, type_name: str) -> _Local:
        """Return what a definition holds itself. Without recursion, as inline fragments and fields may be nested to any depth."""
        local = _Local()
        stack: list[tuple[SelectionSetNode, str, int, bool]] = [(selection_set, type_name, 0, True)]
        while stack:
            selections, type_name, level, at_top = stack.pop()
            fields = self._types.get(type_name, {})
            for selection in selections.selections:
                local.selections += 1
                self._directives(selection.directives)
                match selection:
                    case FieldNode():
                        below = self._field(local, selection, fields, level, at_top)
                        if below is not None and selection.selection_set is not None:
                            stack.append((selection.selection_set, *below))
                    case InlineFragmentNode():
                        condition = selection.type_condition
                        inner = type_name if condition is None else condition.name.value
                        stack.append((selection.selection_set, inner, level, at_top))
                    case FragmentSpreadNode():
                        local.spreads.append((selection.name.value, level, at_top))
        return local

    def _field(self, local: _Local, node: FieldNode, fields: Fields, level: int, at_top: bool) -> tuple[str, int, bool]:
        """Count one field; return the type, the level and no longer the top for what is selected of it."""
        name = node.name.value
        local.top += at_top
        local.aliases += node.alias is not None
        type_name, is_uncounted = fields.get(name, ("", False))
        if name in _INTROSPECTION:
            self.shape.introspects = True
            type_name = _INTROSPECTION[name]
        # Introspection goes deep by its nature and has a rule of its own (MaxIntrospectionDepthRule); where it is off it is counted.
        if not (is_uncounted or (self._introspection and type_name.startswith("__"))):
            level += 1
            local.depth = max(local.depth, level)
        return type_name, level, False

    def _directives(self, directives: Sequence[object] | None) -> None:
        if directives:
            self.shape.directives += len(directives)
            self.shape.directives_per_node = max(self.shape.directives_per_node, len(directives))

    # --------------------------------------------------------------------------------------------------------- fragments

    def _totals(self, fragments: Mapping[str, _Local]) -> dict[str, _Total]:
        """Return what each fragment holds with those that it spreads: each once, those that are spread before those that spread."""
        totals: dict[str, _Total] = {}
        for root in fragments:
            if root in totals:
                continue
            path = [(root, iter(fragments[root].spreads))]
            on_path = {root}
            while path:
                name, spreads = path[-1]
                for spread, _, _ in spreads:
                    if spread in on_path:
                        self.shape.has_cycle = True
                    elif spread in fragments and spread not in totals:
                        path.append((spread, iter(fragments[spread].spreads)))
                        on_path.add(spread)
                        break
                else:
                    path.pop()
                    on_path.discard(name)
                    totals[name] = _total(fragments[name], totals)
        return totals


def _total(local: _Local, totals: Mapping[str, _Total]) -> _Total:
    found = _Total(local.depth, local.aliases, local.selections, local.top)
    for name, level, at_top in local.spreads:
        spread = totals.get(name)
        if spread is not None:
            found.depth = max(found.depth, level + spread.depth)
            found.aliases += spread.aliases
            found.selections += spread.selections
            found.top += spread.top if at_top else 0
    found.aliases = min(found.aliases, SATURATED)
    found.selections = min(found.selections, SATURATED)
    found.top = min(found.top, SATURATED)
    return found


def check_shape(limits: Limits, shape: Shape) -> list[LimitExceeded]:
    """Return the limits that a document breaks, one error each, in the order of the settings."""
    measured = (
        ("DEPTH_LIMIT", "The document is nested to", "depth_max", shape.depth, "levels"),
        ("ALIAS_LIMIT", "The document has", "aliases_max", shape.aliases, "aliases, fragments counted as often as they are spread"),
        ("ROOT_FIELD_LIMIT", "An operation has", "root_fields_max", shape.root_fields, "root fields"),
        ("ROOT_FIELD_LIMIT", "A mutation has", "mutations_max", shape.mutations, "root fields"),
        ("DIRECTIVE_LIMIT", "The document has", "directives_max", shape.directives, "directives"),
        ("DIRECTIVE_LIMIT", "One place has", "directives_per_node_max", shape.directives_per_node, "directives"),
        (
            "SELECTION_LIMIT",
            "The document has",
            "selections_max",
            shape.selections,
            "selections, fragments counted as often as they are spread",
        ),
        ("FRAGMENT_LIMIT", "The document has", "fragments_max", shape.fragments, "fragments"),
        ("OPERATION_LIMIT", "The document has", "operations_max", shape.operations, "operations"),
        ("VARIABLE_LIMIT", "An operation has", "variables_max", shape.variables, "variables"),
    )
    broken: list[LimitExceeded] = []
    for code, what, setting, actual, unit in measured:
        broken += limits.exceeded(code, what, setting, actual, unit)
    return broken
