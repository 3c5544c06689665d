"""Turn a validated document into a plan. Pure: no I/O, no clock; depends on the text, the operation and which @skip/@include variables
are on, so a plan is cached, printed and explained.

A *place* is a spot of the query whose objects come from one batch: ``users``, ``users.posts``, ``users.posts.author``. Its keys come from
a column of its parent's rows, so a plan is a tree, and a level is all places whose rows are there after as many rounds of asking.

Longer than 400 lines: one plan is made by one object, which all sources plan by.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast
from weakref import ref

from graphql import (
    DirectiveNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLString,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SchemaMetaFieldDef,
    SelectionSetNode,
    TypeMetaFieldDef,
    VariableNode,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
    is_object_type,
)

from gateway.engine.arguments import ABSENT_ARGUMENTS, split_arguments
from gateway.engine.cost import cost, is_settled, weight_of
from gateway.engine.document import Document, Operation
from gateway.engine.introspection import Introspected
from gateway.engine.plan import ROOT, Constant, Layout, Place, Plan, View
from gateway.engine.sources import NO_ARGUMENTS, Asked, Bound, Source, source_of
from gateway.engine.sources.objects import OBJECT
from gateway.engine.values import Binder
from gateway.errors import BadUserInput, CallerError
from gateway.stores.base import Collection, Column
from gateway.stores.types import each_key_between, keys_between

P = TypeVar("P", bound=Place)

_TYPENAME = GraphQLField(GraphQLNonNull(GraphQLString))
_META = {"__typename": _TYPENAME, "__schema": SchemaMetaFieldDef, "__type": TypeMetaFieldDef}


class Planner:
    """Makes plans for one schema."""

    def __init__(self, schema: GraphQLSchema, collections: Mapping[str, Collection], binder: Binder) -> None:
        self.schema = schema
        self.collections = collections  # by the name of the type that is its Node
        self.binder = binder

    def plan(self, document: Document, operation: Operation, switches: Mapping[str, bool | None]) -> Plan:
        """Return the plan of ``operation``; ``switches`` are the values of the variables in @skip and @include, None for null."""
        plan = Planning(self, document, switches).run(operation, None)
        if operation.type is OperationType.MUTATION:
            series = [Planning(self, document, switches).run(operation, only.key) for only in plan.root.fields]
            return replace(plan, series=series)
        return plan


class Planning:
    """The making of one plan: what sources plan by."""

    def __init__(self, planner: Planner, document: Document, switches: Mapping[str, bool | None]) -> None:
        self._schema = planner.schema
        self._collections = planner.collections
        self._binder = planner.binder
        self._text = document.text
        self._document = document.nodes
        self._switches = switches
        self._places: list[Place] = []
        self._bounds: list[Bound] = []
        self._layouts: dict[tuple[int, Collection], Layout] = {}  # of rows by key
        self._refused: list[tuple[Place, CallerError]] = []
        self._introspected: list[Introspected] = []
        self._told: Told | None = None
        self._view_count = 0

    def run(self, operation: Operation, only: str | None) -> Plan:
        root_type = self._schema.get_root_type(operation.type)
        assert root_type is not None, "validated"
        self._operation = operation
        root = Place(ROOT, -1, (), None, ROOT, 0, Layout(), {})
        view = self._view_of(root, root_type, [self._document.operations[operation.name].selection_set], only)
        places = self._places
        for place in places:
            home = place.collection
            if home is not None and not place.layout and place.source is not None and place.source.needs_column:
                place.layout.need(home.key[0])  # a row needs a column
        completing = {id(place.layout): made for place in places if (made := place.layout.completed()) is not None}
        for place in places:
            place.completes = completing.get(id(place.layout))
        rounds = max((place.level for place in places), default=-1) + 1
        bindings = [place for place in places if place.arguments is not None]
        limits = self._binder.limits
        weights = list(map(weight_of, places))
        return Plan(
            text=self._text,
            operation=operation.type,
            root=view,
            root_place=root,
            places=places,
            levels=[[place for place in places if place.level == number] for number in range(rounds)],
            starts=[[place for place in places if place.starts == number] for number in range(rounds)],
            bindings=bindings,
            bounds=self._bounds,
            refused=self._refused,
            noted=self._binder.take_noted(),
            keeps_nodes=self._told is not None or bool(self._introspected),
            introspected=self._introspected,
            view_count=self._view_count,
            width=max((len(view.fields) for place in places for view in place.views), default=0),
            cost=cost(places, self._bounds, limits.page_default) if is_settled(bindings, self._refused) else None,
            weights=weights,
            samples=[
                [
                    (place, weight.texts)
                    for place, weight in zip(places, weights, strict=True)
                    if place.level == number and place.type is not None and weight.texts
                ]
                for number in range(rounds)
            ],
            unsized=[
                [place for place in places if place.level == number and place.source is not None and place.source.is_unsized(place)]
                for number in range(rounds)
            ],
        )

    # ----------------------------------------------------------------------------------------------------- for sources

    def place(
        self,
        view: View,
        asked: Asked,
        source: Source,
        *,
        by: str | None = None,
        there: Sequence[Column] = (),
        many: bool = False,
        slot: int | None = None,
        layout: Layout | None = None,
        declared: Mapping[str, Column] | None = None,
    ) -> Place:
        """Return a new place below ``view``; its key is the parent's column ``by``, or a slot of its own at the root, or ``slot``.

        The key is what is in ``by``, one column or several with commas between them, as it is in the columns ``there`` (a list of such
        keys with ``many``).
        """
        return self.place_of(Place, view, asked, source, by=by, there=there, many=many, slot=slot, layout=layout, declared=declared)

    def place_of(
        self,
        sort: type[P],
        view: View,
        asked: Asked,
        source: Source,
        *,
        by: str | None = None,
        there: Sequence[Column] = (),
        many: bool = False,
        slot: int | None = None,
        layout: Layout | None = None,
        declared: Mapping[str, Column] | None = None,
    ) -> P:
        """Return a new place of a source's own sort."""
        above = view.place
        path = (*above.path, asked.key)
        index = len(self._places)
        if slot is None:
            if above.index == ROOT:
                slot = above.layout.need(f"{'.'.join(path)}#{index}")
            else:
                slot = 0 if by is None else self.key_slot(above, by, there, many=many)
        level = above.level + source.rounds
        layout = Layout() if layout is None else layout
        place = sort(index, level, path, source, above.index, slot, layout, declared or {}, asked.definition.type)
        place.below_objects = above.layout.columns[:1] == (OBJECT,)
        self._places.append(place)
        self._bounds.append(NO_ARGUMENTS)
        return place

    def key_slot(self, above: Place, by: str, there: Sequence[Column] = (), *, many: bool = False) -> int:
        """Return the slot of the key that rows have in ``by``, as it is in the columns ``there``; without, as it is in its own."""
        if by == "id" and above.collection is not None and "id" not in above.declared:
            by = above.collection.key_name
        names = by.split(",")
        if any(name not in above.declared for name in names):  # attributes of objects, which are keys as they are
            return above.layout.need(by)
        here = [above.declared[name] for name in names]
        made = each_key_between(here[0], there[0]) if many else keys_between(here, there)
        if made is None:
            return above.layout.need(by)
        forms = [(column.type.value, column.precision, column.scale, column.values) for column in there or here]
        return above.layout.make(f"{by}#{'each ' if many else ''}{forms}", names, made)

    def layout_by_key(self, view: View, collection: Collection) -> Layout:
        """Return the layout that rows by key of one collection share at a level: they come from one call."""
        return self._layouts.setdefault((view.place.level + 1, collection), Layout())

    def arguments(self, place: Place, asked: Asked) -> None:
        """Bind a place's arguments, now or, where variables are in them, for each request."""
        constants, getters = split_arguments(asked.definition, asked.nodes[0]) if asked.nodes else ABSENT_ARGUMENTS
        if getters:

            def arguments(coerced: Mapping[str, Any]) -> Mapping[str, Any]:
                given = dict(constants)
                for getter in getters:
                    getter(given, coerced)
                return given

            place.arguments = arguments
            return
        assert place.source is not None
        try:
            self._bounds[place.index] = place.source.bind(self._binder, constants)
        except CallerError as exc:
            self._refused.append((place, exc))

    def bound(self, place: Place) -> Bound:
        """Return a place's arguments, where none of them is a variable and all could be bound."""
        return self._bounds[place.index]

    def objects(self, place: Place, asked: Asked) -> None:
        """Plan what is selected of a place's rows, if they are objects, and if anything is."""
        named = get_named_type(asked.definition.type)
        if asked.nodes and not is_leaf_type(named):
            self.view(place, self.type_of_rows(place, named), asked)

    def type_of_rows(self, place: Place, named: Any) -> GraphQLObjectType:
        """Return the type that a place's rows are of: those of an interface or a union are of the type that is their collection's."""
        if is_object_type(named):
            return named
        found = next((type_ for type_, collection in self.nodes_of(named) if collection is place.collection), None)
        if found is None:
            expected = f"expected a collection whose key refers to one of the types of {named.name}, to know what its rows are"
            raise LookupError(f"{'.'.join(place.path)}: {expected}")
        return found

    def possible_types(self, named: Any) -> Sequence[GraphQLObjectType]:
        return [named] if is_object_type(named) else self._schema.get_possible_types(named)

    def view(self, place: Place, type_: GraphQLObjectType, asked: Asked) -> View:
        """Return a new view of a place: what is selected of its rows as objects of one type."""
        return self._view_of(place, type_, _sets(asked.nodes))

    def collect(self, place: Place, asked: Asked) -> list[Asked]:
        """Return the fields that are selected of an object that has no rows of its own."""
        type_ = cast("GraphQLObjectType", get_named_type(asked.definition.type))
        return self._asked(type_, self._collect(place, type_, _sets(asked.nodes)))

    def nodes_of(self, abstract: Any) -> Iterator[tuple[GraphQLObjectType, Collection]]:
        """Give the types that an abstract type may be and that have a collection of their own."""
        for possible in self._schema.get_possible_types(abstract):
            collection = self._collections.get(possible.name)
            if collection is not None:
                yield possible, collection

    def source_of(self, asked: Asked) -> Source:
        return source_of(asked.definition)

    @property
    def told(self) -> Told:
        """What resolvers written by hand are told of the operation."""
        if self._told is None:
            self._told = Told(self._schema, self._document.fragments, self._document.operations[self._operation.name])
        return self._told

    # ----------------------------------------------------------------------------------------------------- selections

    def _collect(self, place: Place, type_: GraphQLObjectType, sets: Sequence[SelectionSetNode]) -> dict[str, list[FieldNode]]:
        """Return field nodes by response key (GraphQL spec 6.3.2, CollectFields()). Each fragment once, so it is linear."""
        found: dict[str, list[FieldNode]] = {}
        seen: set[str] = set()
        for selection_set in sets:
            self._collect_into(place, found, seen, type_, selection_set)
        return found

    def _collect_into(
        self, place: Place, found: dict[str, list[FieldNode]], seen: set[str], type_: GraphQLObjectType, selection_set: SelectionSetNode
    ) -> None:
        for selection in selection_set.selections:
            if not self._included(place, selection.directives or ()):
                continue
            match selection:
                case FieldNode():
                    key = selection.alias.value if selection.alias else selection.name.value
                    found.setdefault(key, []).append(selection)
                case InlineFragmentNode():
                    if selection.type_condition is None or self._applies(selection.type_condition.name.value, type_):
                        self._collect_into(place, found, seen, type_, selection.selection_set)
                case FragmentSpreadNode():
                    fragment: FragmentDefinitionNode = self._document.fragments[selection.name.value]
                    if selection.name.value not in seen and self._applies(fragment.type_condition.name.value, type_):
                        seen.add(selection.name.value)
                        self._collect_into(place, found, seen, type_, fragment.selection_set)

    def _applies(self, condition: str, type_: GraphQLObjectType) -> bool:
        if condition == type_.name:
            return True
        abstract = self._schema.type_map[condition]
        return is_abstract_type(abstract) and self._schema.is_sub_type(abstract, type_)

    def _included(self, place: Place, directives: Sequence[DirectiveNode]) -> bool:
        for directive in directives:
            name = directive.name.value
            if name in ("skip", "include"):
                value = _first_argument(directive)
                on = self._switches[value.name.value] if isinstance(value, VariableNode) else value.value
                if on is None:  # a nullable variable may stand here, for the sake of its default
                    self._refused.append(
                        (place, BadUserInput(f"@{name}: expected a Boolean, got null from ${value.name.value}", argument="if"))
                    )
                elif on is (name == "skip"):
                    return False
            elif name in ("defer", "stream"):
                self._refused.append((place, BadUserInput(f"@{name}: expected none, as answers come in one piece here", argument=name)))
        return True

    def _asked(self, type_: GraphQLObjectType, found: Mapping[str, list[FieldNode]]) -> list[Asked]:
        asked: list[Asked] = []
        for key, nodes in found.items():
            name = nodes[0].name.value
            definition = _META[name] if name.startswith("__") else type_.fields[name]
            asked.append(Asked(key, type_.name, name, definition, nodes, _at(nodes)))
        return asked

    # ---------------------------------------------------------------------------------------------------------- views

    def _view_of(self, place: Place, type_: GraphQLObjectType, sets: Sequence[SelectionSetNode], only: str | None = None) -> View:
        view = View(ref(place), type_.name, self._view_count)
        self._view_count += 1
        place.views.append(view)
        for asked in self._asked(type_, self._collect(place, type_, sets)):
            if only is None or asked.key == only:
                self._field(view, asked)
        self._dropping(view, type_)
        return view

    def _field(self, view: View, asked: Asked) -> None:
        if asked.name == "__typename":
            view.fields.append(Constant(*asked.common, asked.parent_type))
            return
        if asked.name.startswith("__"):
            made = Introspected(*asked.common, view.place.layout.need(f"{asked.key}#introspection"), asked.nodes)
            self._introspected.append(made)
            view.fields.append(made)
            return
        planned = source_of(asked.definition).plan(self, view, asked)
        if planned is not None:
            view.fields.append(planned)

    def _dropping(self, view: View, type_: GraphQLObjectType) -> None:
        """Plan the fields without which a row is left out, selected or not."""
        for name, definition in type_.fields.items():
            source = source_of(definition)
            if source.leaves_out:
                dropping = next((found for planned in view.fields if (found := planned.dropping(source))), None)
                if dropping is None:  # selected or not
                    planned = source.plan(self, view, Asked(name, type_.name, name, definition, (), ()))
                    dropping = None if planned is None else planned.dropping(source)
                assert dropping is not None, "a source that leaves rows out says how"
                view.place.drops.append(dropping)


# -------------------------------------------------------------------------------------------------------------- helpers


@dataclass(frozen=True, slots=True)
class Told:
    """What resolvers written by hand are told of the operation, beside what is their field's."""

    schema: GraphQLSchema
    fragments: Mapping[str, FragmentDefinitionNode]
    operation: OperationDefinitionNode


def switches_of(document: Document) -> tuple[str, ...]:
    """Return the names of the variables in @skip and @include, anywhere in the document."""
    found: dict[str, None] = {}
    nodes = document.nodes
    stack: list[SelectionSetNode] = [definition.selection_set for definition in (*nodes.operations.values(), *nodes.fragments.values())]
    while stack:
        for selection in stack.pop().selections:
            for directive in selection.directives or ():
                if directive.name.value in ("skip", "include"):
                    value = _first_argument(directive)
                    if isinstance(value, VariableNode):
                        found[value.name.value] = None
            below = getattr(selection, "selection_set", None)
            if below is not None:
                stack.append(below)
    return tuple(sorted(found))


def _first_argument(directive: DirectiveNode) -> Any:
    assert directive.arguments, "validated"
    return directive.arguments[0].value


def _at(nodes: Sequence[FieldNode]) -> tuple[int, ...]:
    return tuple([node.loc.start for node in nodes if node.loc is not None])


def _sets(nodes: Sequence[FieldNode]) -> list[SelectionSetNode]:
    return [node.selection_set for node in nodes if node.selection_set is not None]
