"""Turn a validated document into levels of batches. Pure: no I/O, no clock; depends on the text, the operation and which
@skip/@include variables are on, so a plan is cached, printed and explained.

A *place* is a spot of the query whose objects come from one batch: ``users``, ``users.posts``, ``users.posts.author``. It has rows
with a layout of columns, and *views*: what the client selected of those rows (``nodes`` and ``edges { node }`` are two views of one
place). A place's keys come from a column of its parent view's rows, so a plan is a tree, and a level is all places of one depth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from weakref import ReferenceType, ref

from graphql import (
    DirectiveNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLLeafType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    GraphQLString,
    InlineFragmentNode,
    OperationType,
    SchemaMetaFieldDef,
    SelectionSetNode,
    TypeMetaFieldDef,
    Undefined,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_enum_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
    is_specified_scalar_type,
)
from graphql.execution.values import VariableValues
from graphql.pyutils import is_iterable
from graphql.utilities.coerce_input_value import coerce_default_value, coerce_input_literal

from gateway.engine.document import Document, Operation
from gateway.engine.values import NOTHING, Binder, Bound
from gateway.errors import BadUserInput, CallerError, LimitExceeded
from gateway.fields import (
    SOURCE,
    Batched,
    Computed,
    Each,
    FromColumn,
    Lookup,
    Many,
    NodeById,
    NodesByIds,
    One,
    Part,
    Source,
    Stats,
)
from gateway.stores.base import Collection, Column, Type

Coerced = Mapping[str, Any]  # variables by name

Sample = tuple["Place", tuple[tuple[int, int], ...]]  # a place, the slots of its texts, and how often each is written for a row

Common = tuple[str, str, str, GraphQLOutputType, tuple[int, ...]]  # what every FieldPlan begins with

_TYPENAME = GraphQLNonNull(GraphQLString)

# Leaves whose wire value is the answer's value: nothing to serialize. A FLOAT may be infinite or not a number, which JSON has not.
_AS_IS = {
    ("String", Type.TEXT),
    ("ID", Type.TEXT),
    ("Boolean", Type.BOOL),
    ("DateTime", Type.TIME),
    ("Date", Type.DATE),
    ("JSON", Type.JSON),
    ("String", Type.TEXTS),
}
# Numbers whose wire value is the answer's within what GraphQL can say (spec 3.5.1 and 3.5.2).
_AS_IS_IF = {("Int", Type.INT): "-2147483648 <= {v} <= 2147483647", ("Float", Type.FLOAT): "finite({v})"}
_STAT_COLUMNS = {
    "day": Column("day", Type.TIME, nullable=True),
    "count": Column("count", Type.INT),
    "first_at": Column("first_at", Type.TIME),
    "last_at": Column("last_at", Type.TIME),
}


# ---------------------------------------------------------------------------------------------------------------- fields


@dataclass(slots=True, eq=False)
class FieldPlan:
    """A response key of a view: which field of the schema it is, and where errors and nulls of it go."""

    key: str
    parent_type: str
    name: str
    type: GraphQLOutputType
    at: tuple[int, ...]  # where it stands in the document: offsets of its text


@dataclass(slots=True, eq=False)
class Constant(FieldPlan):
    value: str


@dataclass(slots=True, eq=False)
class Leaf(FieldPlan):
    slot: int
    prefix: str | None  # "User:" before a key
    serialize: Callable[[Any], Any] | None  # None: the wire value is the answer's
    as_is_if: str | None = None  # a test of ``{v}``: what passes needs no serializing


@dataclass(slots=True, eq=False)
class ComputedLeaf(FieldPlan):
    function: Callable[..., Any]
    slots: tuple[int, ...]
    serialize: Callable[[Any], Any]


@dataclass(slots=True, eq=False)
class Child(FieldPlan):
    """A field with a place of its own; ``slot`` is the column of the parent's row that holds the key(s)."""

    place: Place
    slot: int
    serialize: Callable[[Any], Any] | None = None  # of a leaf that a batch function gives


@dataclass(slots=True, eq=False)
class NodeChild(FieldPlan):
    """node(id) and nodes(ids): a place per type; which one is asked follows from the ids."""

    places: Mapping[str, Place]
    slot: int


@dataclass(slots=True, eq=False)
class Introspected(FieldPlan):
    """``__schema`` or ``__type``: graphql-core's answer, put into the root's row."""

    slot: int
    nodes: Sequence[FieldNode]


@dataclass(slots=True, eq=False)
class View:
    """What is selected of a place's rows, as objects of one type. The place holds its views, so a view only points at its place:
    a plan without circles is freed when its document is forgotten, not when the garbage collector comes."""

    _place: ReferenceType[Place]
    type_name: str
    fields: list[FieldPlan] = field(default_factory=list)
    build: Callable[..., list[Any]] | None = None  # compiled by complete

    @property
    def place(self) -> Place:
        place = self._place()
        assert place is not None, "its plan holds it"
        return place


@dataclass(slots=True, eq=False)
class PartField(FieldPlan):
    """A response key of a connection, an edge or a page info."""

    part: str  # nodes, edges, page_info, total_count, node, cursor, has_next_page, …, or typename
    value: str = ""  # typename
    view: View | None = None  # nodes, node
    parts: list[PartField] = field(default_factory=list)  # edges, page_info


# ---------------------------------------------------------------------------------------------------------------- places

ROOT = -1  # the index of the place of the root's only row; it is in no level


@dataclass(slots=True, eq=False, weakref_slot=True)
class Place:
    """A spot of the query whose rows come from one batch."""

    index: int
    level: int  # 0 for root fields
    path: tuple[str, ...]  # response keys from the root
    source: Source | None  # None: the root itself
    parent: int  # the index of the place that it is below; ROOT for root fields
    slot: int  # of the parent's rows: the key
    layout: list[str]  # columns of this place's rows, in order
    columns: Mapping[str, Column]  # the declarations of columns that layout may name
    type: GraphQLOutputType | None = None
    views: list[View] = field(default_factory=list)
    parts: list[PartField] = field(default_factory=list)  # of a connection
    count: bool = False
    rows_wanted: bool = False  # a connection asked for its totalCount alone needs no rows
    cursors: bool = False
    edges: Place | None = None  # of Through: the place that found the keys
    node_type: str | None = None  # of node/nodes: the type whose ids are taken
    ids: int = 0  # of node/nodes: the index of the place whose argument has them
    fixed: bool = False  # the layout is the source's, whatever is selected
    bound: Bound | None = None  # arguments without variables, bound once
    arguments: Callable[[Coerced], Mapping[str, Any]] | None = None  # arguments with variables
    connect: Callable[..., Any] | None = None  # compiled by complete
    drops: list[Child] = field(default_factory=list)  # children without which a row is left out

    def need(self, column: str) -> int:
        """Return the slot of ``column`` in this place's rows, asking for it where nobody did yet."""
        if column not in self.layout:
            if self.fixed:
                raise LookupError(f"{'.'.join(self.path)}: {column!r} is none of its columns, {', '.join(self.layout)}")
            self.layout.append(column)
        return self.layout.index(column)

    @property
    def collection(self) -> Collection | None:
        return getattr(self.source, "collection", None)

    @property
    def lists(self) -> bool:
        """Whether a parent has a list of these rows, not one of them."""
        return is_list_type(get_nullable_type(self.type)) if self.type is not None else True


@dataclass(slots=True)
class Cost:
    """How many objects an operation may have: in all, and of each place of its plan."""

    total: int
    places: list[int]


@dataclass(slots=True, eq=False)
class Plan:
    """An operation as levels of places. Immutable once made; ``refused`` are arguments that can never be bound."""

    text: str  # of the document
    operation: OperationType
    root: View
    root_place: Place
    places: list[Place]
    levels: list[list[Place]]
    bindings: list[Place]  # places whose arguments have variables
    refused: list[tuple[Place, CallerError]]
    unplanned: str | None  # why graphql-core must run it
    bounds: list[Bound]  # of all places; those of ``bindings`` are bound for each request
    introspected: list[Introspected]
    width: int  # the most fields that an object of it has
    noted: Sequence[LimitExceeded]  # limits that its constant arguments break where they are only measured
    is_compiled: bool = False
    cost: Cost | None = None  # where it does not depend on the request; set by cost, as the next two are
    samples: list[list[Sample]] = field(default_factory=list)  # by level: where texts are looked at
    unsized: list[list[Place]] = field(default_factory=list)  # by level: lists that may be longer than their cost says
    is_unsized: bool = False  # whether there are any
    series: list[Plan] = field(default_factory=list)  # a mutation: a plan per root field, run one after the other


class Planner:
    """Makes plans for one schema."""

    def __init__(self, schema: GraphQLSchema, collections: Mapping[str, Collection], binder: Binder) -> None:
        self.schema = schema
        self.collections = collections  # by the name of the type that is its Node
        self.binder = binder

    def plan(self, document: Document, operation: Operation, switches: Mapping[str, bool | None]) -> Plan:
        """Return the plan of ``operation``; ``switches`` are the values of the variables in @skip and @include, None for null."""
        plan = _Planning(self, document, switches).run(operation, None)
        if operation.type is OperationType.MUTATION and plan.unplanned is None:
            plan.series = [_Planning(self, document, switches).run(operation, only.key) for only in plan.root.fields]
        return plan


class _Planning:
    """The making of one plan."""

    def __init__(self, planner: Planner, document: Document, switches: Mapping[str, bool | None]) -> None:
        self._schema = planner.schema
        self._collections = planner.collections
        self._binder = planner.binder
        self._text = document.text
        self._document = document.nodes
        self._switches = switches
        self._places: list[Place] = []
        self._layouts: dict[tuple[int, Collection], list[str]] = {}  # of rows by key
        self._refused: list[tuple[Place, CallerError]] = []
        self._introspected: list[Introspected] = []
        self._unplanned: str | None = None

    def run(self, operation: Operation, only: str | None) -> Plan:
        kind = operation.type
        root_type = self._schema.get_root_type(kind)
        assert root_type is not None, "validated"
        if kind is OperationType.SUBSCRIPTION:
            self._unplanned = "subscription"
        root = Place(ROOT, -1, (), None, ROOT, 0, [], {})
        view = self._view(root, root_type, [self._document.operations[operation.name].selection_set], only)
        levels: list[list[Place]] = []
        for place in self._places:
            while len(levels) <= place.level:
                levels.append([])
            levels[place.level].append(place)
            if not place.layout and place.collection is not None and not isinstance(place.source, Stats):
                place.need(place.collection.key[0])  # a row needs a column
        bindings = [place for place in self._places if place.arguments is not None]
        bounds = [place.bound or NOTHING for place in self._places]
        noted = self._binder.take_noted()
        width = max((len(view.fields) for place in self._places for view in place.views), default=0)
        introspected = self._introspected
        refused, unplanned = self._refused, self._unplanned
        return Plan(self._text, kind, view, root, self._places, levels, bindings, refused, unplanned, bounds, introspected, width, noted)

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
                self._unplanned = f"@{name}"
        return True

    # ---------------------------------------------------------------------------------------------------------- views

    def _view(self, place: Place, type_: GraphQLObjectType, sets: Sequence[SelectionSetNode], only: str | None = None) -> View:
        view = View(ref(place), type_.name)
        place.views.append(view)
        for key, nodes in self._collect(place, type_, sets).items():
            if only is None or key == only:
                made = self._field(view, type_, key, nodes)
                if made is not None:
                    view.fields.append(made)
        self._dropping(view, type_)
        return view

    def _dropping(self, view: View, type_: GraphQLObjectType) -> None:
        """Plan the fields without which a row is left out, selected or not."""
        for name, definition in type_.fields.items():
            source = source_of(definition)
            if isinstance(source, One) and source.drop:
                child = next((f for f in view.fields if isinstance(f, Child) and f.place.source is source), None)
                if child is None:
                    place = self._place(view, source, (*view.place.path, name), definition.type, source.by)
                    child = Child(name, type_.name, name, definition.type, (), place, place.slot)
                view.place.drops.append(child)

    def _field(self, view: View, type_: GraphQLObjectType, key: str, nodes: list[FieldNode]) -> FieldPlan | None:
        name = nodes[0].name.value
        if name == "__typename":
            return Constant(key, type_.name, name, _TYPENAME, _at(nodes), type_.name)
        if name.startswith("__"):
            return self._introspection(view, key, nodes)
        definition = type_.fields[name]
        source = source_of(definition)
        common: Common = (key, type_.name, name, definition.type, _at(nodes))
        place = view.place
        match source:
            case FromColumn(column):
                return self._leaf(place, common, column)
            case Computed(function, needs):
                leaf = cast("GraphQLLeafType", get_named_type(definition.type))
                return ComputedLeaf(*common, function, tuple(place.need(n) for n in needs), _serializer(definition.type, leaf))
            case NodeById() | NodesByIds():
                return self._nodes(view, common, nodes, source, definition)
            case Many():
                return self._connection(view, common, nodes, source, definition)
            case One() | Each() | Lookup() | Stats() | Batched():
                return self._child(view, common, nodes, source, definition)
            case Part():
                raise LookupError(f"{type_.name}.{name} is a part of a connection, outside of one")
        self._unplanned = f"{type_.name}.{name} has a resolver of its own"
        named = get_named_type(definition.type)
        if is_object_type(named):  # only for the arguments below it
            foreign = self._place(view, None, (*place.path, key), definition.type, None)
            self._view(foreign, named, _sets(nodes))
        return None

    def _introspection(self, view: View, key: str, nodes: list[FieldNode]) -> FieldPlan:
        type_ = SchemaMetaFieldDef.type if nodes[0].name.value == "__schema" else TypeMetaFieldDef.type
        slot = view.place.need(f"{key}#introspection")
        made = Introspected(key, view.type_name, nodes[0].name.value, type_, _at(nodes), slot, nodes)
        self._introspected.append(made)
        return made

    def _leaf(self, place: Place, common: Common, name: str) -> FieldPlan:
        slot = place.need(name)
        declared = place.columns.get(name)
        named = get_named_type(common[3])
        prefix = f"{declared.refers}:" if declared is not None and declared.refers is not None and named.name == "ID" else None
        as_is = declared is not None and (named.name, declared.type) in _AS_IS and is_leaf_type(named)
        serialize = None if as_is else _serializer(common[3], cast("GraphQLLeafType", named))
        return Leaf(*common, slot, prefix, serialize, _AS_IS_IF.get((named.name, declared.type)) if declared is not None else None)

    def _child(self, view: View, common: Common, nodes: list[FieldNode], source: Source, definition: GraphQLField) -> FieldPlan:
        key, _, _, type_, _ = common
        by: str | None = None
        match source:
            case One() | Each():
                by = source.by
            case Batched() if source.key_argument is None:
                by = source.by
            case Stats() if source.by is not None:
                by = _key_of(view)
        place = self._place(view, source, (*view.place.path, key), type_, by)
        self._arguments(place, definition, nodes[0])
        named = get_named_type(type_)
        if is_object_type(named):
            if isinstance(source, Batched) and not source.columns:
                self._unplanned = f"{common[1]}.{common[2]} has objects without columns"
            self._view(place, named, _sets(nodes))
        elif not is_leaf_type(named):
            self._unplanned = f"{common[1]}.{common[2]} is of an abstract type"
        serialize = _serializer(type_, named) if is_leaf_type(named) else None
        return Child(*common, place, place.slot, serialize)

    def _nodes(self, view: View, common: Common, nodes: list[FieldNode], source: Source, definition: GraphQLField) -> FieldPlan:
        """A place per type that the ids may be of."""
        key, _, _, type_, _ = common
        named = get_named_type(type_)
        root = self._place(view, source, (*view.place.path, key), type_, None)
        self._arguments(root, definition, nodes[0])
        places: dict[str, Place] = {}
        assert is_abstract_type(named)
        for possible in self._schema.get_possible_types(named):
            collection = self._collections.get(possible.name)
            if collection is not None:
                place = self._new(view, One(collection, "id"), (*view.place.path, key), type_, root.slot)
                place.node_type, place.ids = possible.name, root.index
                self._view(place, possible, _sets(nodes))
                place.need(collection.key[0])
                places[possible.name] = place
        return NodeChild(*common, places, root.slot)

    # ---------------------------------------------------------------------------------------------------- connections

    def _connection(self, view: View, common: Common, nodes: list[FieldNode], source: Many, definition: GraphQLField) -> FieldPlan:
        key, _, _, type_, _ = common
        path = (*view.place.path, key)
        if source.through is None:
            by = None if source.by is None else _key_of(view)
            place = self._place(view, source, path, type_, by)
        else:
            place = self._through(view, source, path, type_)
        self._arguments(place, definition, nodes[0])
        named = cast("GraphQLObjectType", get_named_type(type_))
        place.parts = self._parts(place, named, _sets(nodes))
        return Child(*common, place, place.slot)

    def _through(self, view: View, source: Many, path: tuple[str, ...], type_: GraphQLOutputType) -> Place:
        """Two places, one behind the other: the edges of all parents, then the nodes at their ends."""
        through = source.through
        assert through is not None
        edges = self._place(view, Many(through.edges, through.parent), path, None, _key_of(view))
        edges.need(through.node)
        between = View(ref(edges), "")
        edges.views.append(between)
        place = self._new(between, source, path, type_, 0)
        place.edges = edges
        place.slot = edges.slot
        return place

    def _parts(self, place: Place, type_: GraphQLObjectType, sets: Sequence[SelectionSetNode]) -> list[PartField]:
        made: list[PartField] = []
        for key, nodes in self._collect(place, type_, sets).items():
            name = nodes[0].name.value
            if name == "__typename":
                made.append(PartField(key, type_.name, name, _TYPENAME, _at(nodes), "typename", type_.name))
                continue
            definition = type_.fields[name]
            source = source_of(definition)
            if not isinstance(source, Part):
                self._unplanned = f"{type_.name}.{name} has a resolver of its own"
                continue
            part = PartField(key, type_.name, name, definition.type, _at(nodes), source.name)
            named = get_named_type(definition.type)
            if source.name in ("nodes", "node"):
                if not is_object_type(named):
                    self._unplanned = f"{type_.name}.{name} is of an abstract type"
                    continue
                part.view = self._view(place, named, _sets(nodes))
            elif is_object_type(named):
                part.parts = self._parts(place, named, _sets(nodes))
            place.count |= source.name == "total_count"
            place.rows_wanted |= source.name != "total_count"
            place.cursors |= source.name in ("cursor", "start_cursor", "end_cursor")
            made.append(part)
        return made

    # --------------------------------------------------------------------------------------------------------- places

    def _place(self, view: View, source: Source | None, path: tuple[str, ...], type_: GraphQLOutputType | None, by: str | None) -> Place:
        """Return a new place below ``view``; its key is the parent's column ``by``, or a slot of its own at the root."""
        root = view.place.index == ROOT
        slot = view.place.need(f"{'.'.join(path)}#{len(self._places)}") if root else 0 if by is None else view.place.need(by)
        return self._new(view, source, path, type_, slot)

    def _new(self, view: View, source: Source | None, path: tuple[str, ...], type_: GraphQLOutputType | None, slot: int) -> Place:
        columns: Mapping[str, Column] = {}
        layout: list[str] = []
        fixed = False
        match source:
            case Batched():
                columns = {c.name: c for c in source.columns}
                layout, fixed = list(columns), bool(columns)
            case Stats():
                columns = {c.name: c for c in source.collection.columns} | _STAT_COLUMNS
            case One() | Each():
                columns = {c.name: c for c in source.collection.columns}
                # Rows by key of one collection at one level come from one call: with one layout nobody has to pick its columns.
                layout = self._layouts.setdefault((view.place.level + 1, source.collection), [])
            case Many() | Lookup():
                columns = {c.name: c for c in source.collection.columns}
        above = view.place
        place = Place(len(self._places), above.level + 1, path, source, above.index, slot, layout, columns, type_, fixed=fixed)
        self._places.append(place)
        return place

    def _arguments(self, place: Place, definition: GraphQLField, node: FieldNode) -> None:
        constants, getters = _split_arguments(definition, node)
        if getters:

            def arguments(coerced: Coerced) -> Mapping[str, Any]:
                given = dict(constants)
                for getter in getters:
                    getter(given, coerced)
                return given

            place.arguments = arguments
            return
        try:
            place.bound = self._binder.bind(place.source, constants) if place.source is not None else None
        except CallerError as exc:
            self._refused.append((place, exc))


# -------------------------------------------------------------------------------------------------------------- helpers


def source_of(definition: GraphQLField) -> Source | None:
    """Return where a field's data comes from: its declared source, a column of its name, or None for a resolver by hand."""
    strawberry_field = definition.extensions.get("strawberry-definition")
    if strawberry_field is None:
        return cast("Source | None", definition.extensions.get(SOURCE))
    found = strawberry_field.metadata.get(SOURCE)
    if found is None and strawberry_field.base_resolver is None:
        return FromColumn(strawberry_field.python_name)
    return cast("Source | None", found)


def switches_of(document: Document) -> tuple[str, ...]:
    """Return the names of the variables in @skip and @include, anywhere in the document."""
    found: dict[str, None] = {}
    stack: list[SelectionSetNode] = [
        *(o.selection_set for o in document.nodes.operations.values()),
        *(f.selection_set for f in document.nodes.fragments.values()),
    ]
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


Getter = Callable[[dict[str, Any], Coerced], None]


def _split_arguments(definition: GraphQLField, node: FieldNode) -> tuple[dict[str, Any], list[Getter]]:
    """Return the arguments whose values are known now, and functions that add those which depend on variables."""
    constants: dict[str, Any] = {}
    getters: list[Getter] = []
    given = {argument.name.value: argument.value for argument in node.arguments or ()}
    for name, declared in definition.args.items():
        default = _default(declared)
        value = given.get(name)
        if value is None:
            if default is not _ABSENT:
                constants[name] = default
        elif isinstance(value, VariableNode):
            getters.append(_variable_getter(name, value.name.value, default, is_non_null_type(declared.type)))
        elif any(True for _ in _variables_in(value)):
            getters.append(_literal_getter(name, value, declared.type))
        else:
            constants[name] = coerce_input_literal(value, declared.type)
    return constants, getters


_ABSENT: Any = object()


def _default(declared: Any) -> Any:
    if declared.default is None and (declared.default_value is None or declared.default_value.__class__.__name__ == "UndefinedType"):
        return _ABSENT
    return coerce_default_value(declared)


def _variable_getter(name: str, variable: str, default: Any, required: bool) -> Getter:
    def get(given: dict[str, Any], coerced: Coerced) -> None:
        value = coerced.get(variable, default)
        if value is None and required:  # GraphQL spec 6.4.1: a nullable variable may stand here, for the sake of the default
            raise BadUserInput(f"{name}: expected a value, got null from ${variable}", argument=name)
        if value is not _ABSENT:
            given[name] = value

    return get


def _literal_getter(name: str, value: Any, type_: Any) -> Getter:
    def get(given: dict[str, Any], coerced: Coerced) -> None:
        found = coerce_input_literal(value, type_, VariableValues({}, dict(coerced)))
        if found is Undefined:  # a null variable inside of it, where the type wants a value
            raise BadUserInput(f"{name}: expected a value, got null from a variable in it", argument=name)
        given[name] = found

    return get


def _variables_in(value: Any) -> Iterator[VariableNode]:
    if isinstance(value, VariableNode):
        yield value
    for item in getattr(value, "values", None) or ():
        yield from _variables_in(item)
    for item in getattr(value, "fields", None) or ():
        yield from _variables_in(item.value)


def _key_of(view: View) -> str:
    """Return the column that is the key of a view's rows."""
    collection = view.place.collection
    return "id" if collection is None else collection.key[0]


def _first_argument(directive: DirectiveNode) -> Any:
    assert directive.arguments, "validated"
    return directive.arguments[0].value


def _at(nodes: Sequence[FieldNode]) -> tuple[int, ...]:
    return tuple([node.loc.start for node in nodes if node.loc is not None])


def _sets(nodes: Sequence[FieldNode]) -> list[SelectionSetNode]:
    return [node.selection_set for node in nodes if node.selection_set is not None]


def _serializer(type_: GraphQLOutputType, leaf: GraphQLLeafType) -> Callable[[Any], Any]:
    """Return what turns a non-null value into its output (GraphQL spec 6.4.3, CompleteValue()); lists item by item."""
    if is_non_null_type(type_):
        return _serializer(type_.of_type, leaf)
    if is_list_type(type_):
        inner = _serializer(type_.of_type, leaf)
        required = is_non_null_type(type_.of_type)
        return lambda items: [_item(item, inner, required) for item in _items(items)]
    if is_specified_scalar_type(leaf) or is_enum_type(leaf):
        return leaf.serialize
    return lambda value: not_null(leaf.serialize(value))


def not_null(output: Any) -> Any:
    """Return what a scalar made of a value; it may make anything but a null, and an error that stands for a value is none."""
    if output is None or output is Undefined or isinstance(output, Exception):
        raise TypeError("a scalar made a null of a value")
    return output


def _items(items: Any) -> Any:
    if not is_iterable(items):
        raise TypeError("expected a list")
    return items


def _item(item: Any, serialize: Callable[[Any], Any], required: bool) -> Any:
    if item is not None:
        return serialize(item)
    if required:
        raise ValueError("a list of non-null items has a null")
    return None
