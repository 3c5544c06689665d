"""Find fields that cannot be merged (GraphQL spec 5.3.2) without comparing them in pairs. Pure: no I/O, no clock.

graphql-core's rule compares every two fields of one response name, and gives up ("Validation aborted") when these get too many, also on
valid documents. Here the same is asked of whole groups, after "GraphQL: overlapping fields can be merged fast" (Simon Adameit, XING):

    part    the fields that stand in one selection set, those of inline fragments included, and the names of the fragments it spreads
    level   the parts that meet at one place of the answer: the selection sets of fields that are merged, and their fragments
    group   the fields of one response name in a level
    block   the fields of a group whose parent is one object type, or is none: an interface, a union, unknown

All fields of a group must return one shape, whatever their parents are (``_shape``). Fields that one object may be asked for must also have
one name and the same arguments: those of a block among themselves (``_merge``), and those without an object type with all others of their
group (``_join``). Being the same is transitive, so each field is held against one other, and what is below the fields that agree is one
level, looked at once.

Where fragments repeat, there can be many levels, but never more than selections with all fragments written out. And what two parts have to
say to each other is the same wherever they meet, so a level is passed over when all its parts have met before. This leaves no more levels
than there are pairs of parts.

The verdict is that of graphql-core's rule, also where that is lenient: it does not compare the types of ``__typename``, ``__schema`` and
``__type``. Two things are left to other rules: an argument that is given twice (UniqueArgumentNames), and fragments inside of an
introspection that can never apply there (PossibleFragmentSpreads). Fragments with arguments, which the parser reads only when asked to,
are not known here.

Longer than 400 lines: it is one algorithm, whose three questions and whose errors go through the same parts, levels and trails.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, TypeAlias

from graphql import (
    ArgumentNode,
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    ListValueNode,
    NullValueNode,
    ObjectFieldNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    StringValueNode,
    ValidationRule,
    ValueNode,
    VariableNode,
    get_named_type,
    is_interface_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)

MAX_CONFLICTS = 5  # reported of one document
MAX_NODES = 20  # of each side of one conflict, as in graphql-core
MAX_TEXT = 1_000  # characters of a name or a reason in a message, as in graphql-core


class OverlappingFields(ValidationRule):
    """graphql-core's OverlappingFieldsCanBeMergedRule, for documents of any size."""

    def leave_document(self, node: DocumentNode, *_args: Any) -> None:
        overlaps = Overlaps(self.context.schema, node)
        try:
            for error in overlaps.errors():
                self.report_error(error)
        finally:
            overlaps.end()


class _Field:
    """A field of a document under one parent type. ``owner`` is the parent if it is an object type: no object is of two of them."""

    __slots__ = ("arguments", "below", "home", "name", "node", "owner", "response", "shape", "type")

    def __init__(self, node: FieldNode, parent: GraphQLNamedType | None, type_: GraphQLOutputType | None, home: _Part) -> None:
        self.node = node
        self.name = node.name.value
        self.response = node.alias.value if node.alias else self.name
        self.owner = parent if isinstance(parent, GraphQLObjectType) else None
        self.type = type_
        self.home = home
        self.below: _Part | None = None  # these three when they are first asked for
        self.arguments: int | None = None
        self.shape: int | None = None


_Groups: TypeAlias = dict[str, list[_Field]]
_Blocks: TypeAlias = dict[GraphQLObjectType | None, list[_Field]]


class _Part:
    """What stands in one selection set. ``merged`` and ``shaped`` are the parts it has met, one bit each."""

    __slots__ = ("bit", "groups", "is_spread", "merged", "reach", "shaped", "spreads")

    def __init__(self, number: int) -> None:
        self.bit = 1 << number
        self.groups: _Groups = {}
        self.spreads: dict[str, None] = {}
        self.reach: tuple[_Part, ...] | None = None  # itself and the fragments spread in it and in them, as far as they have fields
        self.is_spread = False  # in a part that was looked at
        self.merged = 0
        self.shaped = 0


class _Level:
    """Parts that meet. ``mask`` has their bits."""

    __slots__ = ("blocks", "groups", "mask", "parts")

    def __init__(self, parts: tuple[_Part, ...], mask: int) -> None:
        self.parts = parts
        self.mask = mask
        self.groups: _Groups = {}  # when they are first asked for
        self.blocks: dict[str, _Blocks] = {}


class _Trail(NamedTuple):
    """How a level was reached: below these fields, which are one list unless two blocks were joined."""

    left: list[_Field]
    right: list[_Field]
    above: _Trail | None


class _Difference(NamedTuple):
    first: _Field
    second: _Field
    of_shape: bool = False  # whatever their names and arguments


class _Shape(NamedTuple):
    level: _Level
    trail: _Trail


class _Merge(NamedTuple):
    level: _Level
    trail: _Trail | None


class _Join(NamedTuple):
    left: _Level
    right: _Level
    trail: _Trail


_Task: TypeAlias = _Shape | _Merge | _Join


class Overlaps:
    """The overlapping fields of one document. ``steps`` counts the fields looked at, once for every time."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode) -> None:
        self.steps = 0
        self._schema = schema
        self._document = document
        # The last of several fragments of one name, as in graphql-core.
        self._fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        self._parts: dict[tuple[int, GraphQLNamedType | None], _Part] = {}
        self._levels: dict[int, _Level] = {}
        self._arguments: dict[Any, int] = {}
        self._shapes: dict[Any, int] = {}
        self._shape_of: dict[GraphQLOutputType, int] = {}
        self._conflicts: dict[frozenset[int], GraphQLError] = {}  # by the two fields
        self._of_shape: set[frozenset[int]] = set()  # those of which only the shapes were compared
        self._tasks: list[_Task] = []

    def errors(self) -> list[GraphQLError]:
        """Return an error for each conflict, at most MAX_CONFLICTS."""
        for part in self._roots():
            if part.is_spread:
                continue  # It was merged where it is spread, together with its own fragments.
            if level := self._level(self._reach(part)):
                self._tasks.append(_Merge(level, None))
            while self._tasks:
                self._run(self._tasks.pop())
                if len(self._conflicts) == MAX_CONFLICTS:
                    return list(self._conflicts.values())
        return list(self._conflicts.values())

    def end(self) -> None:
        """Break the circles between fields and parts, so that none is left to the garbage collector."""
        for part in self._parts.values():
            part.groups.clear()
            part.reach = None

    def _roots(self) -> Iterable[_Part]:
        """Give all selection sets that stand in no other: those that others spread come last, as they will have been merged by then."""
        definitions = self._document.definitions
        for operation in definitions:
            if isinstance(operation, OperationDefinitionNode):
                yield self._part(operation.selection_set, self._schema.get_root_type(operation.operation))
        fragments = [(d.name.value, self._of_fragment(d)) for d in definitions if isinstance(d, FragmentDefinitionNode)]
        spread = {name for _, part in fragments for name in part.spreads}
        yield from (part for name, part in fragments if name not in spread)
        yield from (part for name, part in fragments if name in spread)

    def _run(self, task: _Task) -> None:
        # What a task adds is done before what was there, in the order in which it was added: the conflicts come in the document's order.
        done = len(self._tasks)
        if isinstance(task, _Merge):
            self._merge(task.level, task.trail)
        elif isinstance(task, _Join):
            self._join(task.left, task.right, task.trail)
        else:
            self._shape(task.level, task.trail)
        self._tasks[done:] = self._tasks[done:][::-1]

    # -- the three questions ---------------------------------------------------------------------------------------------------------------

    def _merge(self, level: _Level, trail: _Trail | None) -> None:
        """Hold every group of a level against itself."""
        mask = level.mask
        if not any(mask & ~(part.merged & part.shaped) for part in level.parts):
            return
        for part in level.parts:
            part.merged |= mask
            part.shaped |= mask
        for name, fields in self._groups(level).items():
            self.steps += len(fields)
            if len(fields) > 1:
                self._merge_group(level, name, fields, trail)
            elif below := self._level(self._reach_all(fields)):
                self._tasks.append(_Merge(below, _Trail(fields, fields, trail)))

    def _merge_group(self, level: _Level, name: str, fields: list[_Field], trail: _Trail | None) -> None:
        blocks = self._blocks(level, name)
        free, bound = _split(blocks)
        if free:
            other = self._unlike(free[0], fields)
            first, *second = sorted((free[0], other), key=fields.index) if other else (free[0],)
            differences = [_Difference(first, field) for field in second]
        else:
            differences = [_Difference(block[0], other) for block in blocks.values() if (other := self._unlike(block[0], block))]
        if not differences and (difference := self._misshapen(fields)):
            differences = [difference]
        if differences:
            for difference in differences:
                self._report(difference, trail)
            return
        # The shape first, over all of them: then it is known wherever a part of them is merged, and not asked again there.
        if len(blocks) > 1 and (below := self._level(self._reach_all(fields))):
            self._tasks.append(_Shape(below, _Trail(fields, fields, trail)))
        for block in blocks.values():
            if below := self._level(self._reach_all(block)):
                self._tasks.append(_Merge(below, _Trail(block, block, trail)))
        self._join_below(free, bound, trail)

    def _join(self, left: _Level, right: _Level, trail: _Trail) -> None:
        """Hold the groups of one level against those of another. Their shapes were compared, and each is merged on its own."""
        if not any(right.mask & ~part.merged for part in left.parts):
            return
        for part in left.parts:
            part.merged |= right.mask
        for part in right.parts:
            part.merged |= left.mask
        few, many = sorted((self._groups(left), self._groups(right)), key=len)
        self.steps += len(few)
        for name in few:
            if name in many:
                self._join_groups(self._blocks(left, name), self._blocks(right, name), trail)

    def _join_groups(self, left: _Blocks, right: _Blocks, trail: _Trail) -> None:
        # All fields of the left against all of the right, but for those of two object types, in as few steps as there are.
        free_left, bound_left = _split(left)
        free_right, bound_right = _split(right)
        self._join_fields(free_left + bound_left, free_right, trail)
        self._join_fields(free_left, bound_right, trail)
        for owner, fields in left.items():
            if owner is not None and owner in right:
                self._join_fields(fields, right[owner], trail)

    def _join_fields(self, left: list[_Field], right: list[_Field], trail: _Trail) -> None:
        if not left or not right:
            return
        self.steps += len(left) + len(right)
        if other := self._unlike(right[0], left):
            self._report(_Difference(other, right[0]), trail)
        elif other := self._unlike(left[0], right):
            self._report(_Difference(left[0], other), trail)
        else:
            self._join_below(left, right, trail)

    def _join_below(self, left: list[_Field], right: list[_Field], trail: _Trail | None) -> None:
        if (one := self._level(self._reach_all(left))) and (other := self._level(self._reach_all(right))):
            self._tasks.append(_Join(one, other, _Trail(left, right, trail)))

    def _shape(self, level: _Level, trail: _Trail) -> None:
        """Hold the shapes of every group of a level against each other, whatever the parents."""
        mask = level.mask
        if not any(mask & ~part.shaped for part in level.parts):
            return
        for part in level.parts:
            part.shaped |= mask
        for fields in self._groups(level).values():
            self.steps += len(fields)
            if len(fields) == 1:
                continue
            if difference := self._misshapen(fields):
                self._report(difference, trail)
            elif below := self._level(self._reach_all(fields)):
                self._tasks.append(_Shape(below, _Trail(fields, fields, trail)))

    def _unlike(self, one: _Field, fields: list[_Field]) -> _Field | None:
        """Return the first of the fields that has another name or other arguments than the one."""
        for field in fields:
            if field.name != one.name:
                return field
            if (field.node.arguments or one.node.arguments) and self._arguments_of(field) != self._arguments_of(one):
                return field
        return None

    def _misshapen(self, fields: list[_Field]) -> _Difference | None:
        """Return the first difference in shape among the fields. One that is streamed has to be alone."""
        first = fields[0]
        known = first if first.type else None
        for field in fields[1:]:
            if (field.node.directives or first.node.directives) and (_stream(field) or _stream(first)):
                return _Difference(first, field, of_shape=True)
            if field.type is None:
                continue
            if known is None:
                known = field
            elif field.type is not known.type and self._shape_number(field) != self._shape_number(known):
                return _Difference(known, field, of_shape=True)
        return None

    # -- what is below a field -------------------------------------------------------------------------------------------------------------

    def _part(self, selection_set: SelectionSetNode, parent: GraphQLNamedType | None) -> _Part:
        key = (id(selection_set), parent)  # Nodes compare and hash by value, which takes time.
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = _Part(len(self._parts))
            self._collect(part, selection_set, parent)
        return part

    def _collect(self, part: _Part, selection_set: SelectionSetNode, parent: GraphQLNamedType | None) -> None:
        definitions = parent.fields if is_object_type(parent) or is_interface_type(parent) else {}
        groups = part.groups
        self.steps += len(selection_set.selections)
        for node in selection_set.selections:
            if isinstance(node, FieldNode):
                definition = definitions.get(node.name.value)
                field = _Field(node, parent, definition.type if definition else None, part)
                groups.setdefault(field.response, []).append(field)
            elif isinstance(node, FragmentSpreadNode):
                part.spreads[node.name.value] = None
            elif isinstance(node, InlineFragmentNode):
                condition = node.type_condition
                self._collect(part, node.selection_set, self._schema.get_type(condition.name.value) if condition else parent)

    def _below(self, field: _Field) -> _Part:
        if field.below is None:
            assert field.node.selection_set is not None
            field.below = self._part(field.node.selection_set, get_named_type(field.type) if field.type else None)
        return field.below

    def _of_fragment(self, fragment: FragmentDefinitionNode) -> _Part:
        return self._part(fragment.selection_set, self._schema.get_type(fragment.type_condition.name.value))

    def _reach(self, part: _Part) -> tuple[_Part, ...]:
        """Return the part and the fragments spread in it, and in them, and so on: those that have fields, each once."""
        if part.reach is not None:
            return part.reach
        seen = {part: None}
        waiting = [part]
        while waiting:
            spread = (self._fragments.get(name) for name in waiting.pop().spreads)
            fresh = [found for fragment in spread if fragment and (found := self._of_fragment(fragment)) not in seen]
            seen.update(dict.fromkeys(fresh))
            waiting.extend(reversed(fresh))
            for found in fresh:
                found.is_spread = True
        self.steps += len(seen)
        part.reach = tuple(reached for reached in seen if reached.groups)
        return part.reach

    def _reach_all(self, fields: list[_Field]) -> tuple[_Part, ...]:
        if len(fields) == 1:
            return self._reach(self._below(fields[0])) if fields[0].node.selection_set else ()
        return tuple(dict.fromkeys(part for field in fields if field.node.selection_set for part in self._reach(self._below(field))))

    def _level(self, parts: tuple[_Part, ...]) -> _Level | None:
        if not parts:
            return None
        mask = 0
        for part in parts:
            mask |= part.bit
        level = self._levels.get(mask)
        if level is None:
            level = self._levels[mask] = _Level(parts, mask)
        return level

    def _groups(self, level: _Level) -> _Groups:
        if not level.groups:
            level.groups = level.parts[0].groups if len(level.parts) == 1 else self._together(level.parts)
        return level.groups

    def _together(self, parts: tuple[_Part, ...]) -> _Groups:
        groups: _Groups = {}
        for part in parts:
            self.steps += len(part.groups)
            for name, fields in part.groups.items():
                groups.setdefault(name, []).extend(fields)
        return groups

    def _blocks(self, level: _Level, name: str) -> _Blocks:
        blocks = level.blocks.get(name)
        if blocks is None:
            blocks = level.blocks[name] = {}
            for field in self._groups(level)[name]:
                blocks.setdefault(field.owner, []).append(field)
        return blocks

    # -- what makes fields differ ----------------------------------------------------------------------------------------------------------

    def _arguments_of(self, field: _Field) -> int:
        """Return a number that is the same for the same arguments."""
        if field.arguments is None:
            field.arguments = self._number(field.node.arguments or ())
        return field.arguments

    def _number(self, arguments: Iterable[ArgumentNode]) -> int:
        key = tuple((argument.name.value, _value(argument.value)) for argument in sorted(arguments, key=_name))
        return self._arguments.setdefault(key, len(self._arguments))

    def _shape_number(self, field: _Field) -> int:
        """Return a number that is the same for types that can be merged: equal lists and non-nulls around one leaf, or around objects."""
        if field.shape is None:
            assert field.type is not None
            number = self._shape_of.get(field.type)
            if number is None:
                number = self._shape_of[field.type] = self._shapes.setdefault(_shape(field.type), len(self._shapes))
            field.shape = number
        return field.shape

    # -- what to say about it --------------------------------------------------------------------------------------------------------------

    def _report(self, difference: _Difference, trail: _Trail | None) -> None:
        """Tell of a difference from the nearest selection set that has both fields somewhere below it, as graphql-core does."""
        first, second, of_shape = difference
        key = frozenset((id(first), id(second)))
        if key in self._conflicts:
            if of_shape or key not in self._of_shape:
                return
            self._of_shape.remove(key)  # Different names say more than the different types that come with them.
        elif len(self._conflicts) == MAX_CONFLICTS:
            return
        elif of_shape:
            self._of_shape.add(key)
        above = []
        while trail is not None and not self._share(trail, first, second):
            first = next(field for field in trail.left if self._holds(field, first))
            second = next(field for field in trail.right if self._holds(field, second))
            above.append((first, second))
            trail = trail.above
        if first.home is second.home and _position(second) < _position(first):
            difference = _Difference(difference.second, difference.first, of_shape)
            above = [(second, first) for first, second in above]
        self._conflicts[key] = self._error(difference, above)

    def _error(self, difference: _Difference, above: list[tuple[_Field, _Field]]) -> GraphQLError:
        name, reason = difference.first.response, self._reason(difference)
        left, right = [difference.first.node], [difference.second.node]
        for first, second in above:
            reason = _short(f"subfields '{_short(name)}' conflict because {reason}")
            name = first.response
            left = [first.node, *left[1 - MAX_NODES :]]
            right = [second.node, *right[1 - MAX_NODES :]]
        advice = "Use different aliases on the fields to fetch both if this was intentional."
        return GraphQLError(f"Fields '{_short(name)}' conflict because {reason}. {advice}", left + right)

    def _reason(self, difference: _Difference) -> str:
        first, second, of_shape = difference
        if not of_shape:
            if first.name != second.name:
                return f"'{_short(first.name)}' and '{_short(second.name)}' are different fields"
            return "they have differing arguments"
        one, other = _stream(first), _stream(second)
        if one or other:
            same = one and other and self._number(one.arguments or ()) == self._number(other.arguments or ())
            see = ". See https://github.com/graphql/defer-stream-wg/discussions/100" if same else ""
            return f"they have overlapping stream directives{see}"
        return f"they return conflicting types '{first.type}' and '{second.type}'"

    def _share(self, trail: _Trail, first: _Field, second: _Field) -> bool:
        if trail.left is trail.right and len(trail.left) == 1:
            return True
        return any(self._holds(field, first) and self._holds(field, second) and field in trail.right for field in trail.left)

    def _holds(self, field: _Field, below: _Field) -> bool:
        return field.node.selection_set is not None and below.home in self._reach(self._below(field))


def _split(blocks: _Blocks) -> tuple[list[_Field], list[_Field]]:
    """Return the fields without an object type as their parent, and those with one."""
    return blocks.get(None, []), [field for owner, fields in blocks.items() if owner is not None for field in fields]


def _position(field: _Field) -> int:
    return field.node.loc.start if field.node.loc else 0


def _stream(field: _Field) -> DirectiveNode | None:
    return next((directive for directive in field.node.directives or () if directive.name.value == "stream"), None)


def _shape(type_: GraphQLOutputType) -> tuple[Any, ...]:
    if is_list_type(type_):
        return ("list", *_shape(type_.of_type))
    if is_non_null_type(type_):
        return ("non-null", *_shape(type_.of_type))
    return (type_,) if is_leaf_type(type_) else ()


def _value(node: ValueNode) -> tuple[str, str, tuple[Any, ...]]:
    """Return what is the same for the same value. The fields of an input object have no order."""
    if isinstance(node, ObjectValueNode):
        return "object", "", tuple((field.name.value, _value(field.value)) for field in sorted(node.fields, key=_name))
    if isinstance(node, ListValueNode):
        return "list", "", tuple(_value(value) for value in node.values)
    if isinstance(node, VariableNode):
        return "variable", node.name.value, ()
    if isinstance(node, StringValueNode):
        return "block" if node.block else "string", node.value, ()
    if isinstance(node, NullValueNode):
        return "null", "", ()
    return node.kind, str(node.value), ()  # type: ignore[attr-defined]


def _name(node: ArgumentNode | ObjectFieldNode) -> str:
    return node.name.value


def _short(text: str) -> str:
    return text[:MAX_TEXT] + "..." if len(text) > MAX_TEXT else text
