"""The second walk: the same answer object by object, with every null and error where the specification puts it.

Runs only when something failed. GraphQL spec 6.4.4, "Handling Execution Errors": an error in a nullable position makes it null and is
reported; in a non-null position it nulls the nearest nullable parent, and other errors below that parent are not reported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from graphql import GraphQLError, GraphQLOutputType, Source, is_list_type, is_non_null_type
from graphql.pyutils import is_iterable

from gateway.engine import respond
from gateway.engine.complete import cursor_writer, kept
from gateway.engine.edges import cursor_of_key, page_of_edges
from gateway.engine.plan import (
    Child,
    ComputedLeaf,
    Constant,
    FieldPlan,
    Introspected,
    Leaf,
    NodeChild,
    PartField,
    Place,
    Plan,
    View,
    not_null,
)
from gateway.engine.results import Result, State
from gateway.engine.values import Bound
from gateway.fields import Batched, Each, Lookup, Many, One, Stats, is_semantic_non_null
from gateway.stores.base import EMPTY, Row, Slice

Path = tuple[str | int, ...]


def complete_with_nulls(plan: Plan, state: State) -> tuple[dict[str, Any] | None, list[GraphQLError]]:
    """Return data and errors; data is None when an error went all the way up.

    As many errors are made as an answer tells; in the place of each further one stands one and the same, to be counted. PERF: 9,500 errors
    of one store took 340 ms, most of it for looking up where in the document each of them is.
    """
    walk = _Walk(state)
    try:
        data: dict[str, Any] | None = walk.object(plan.root, state.root, ())
    except _Failed as failed:
        return None, [failed.error.made(Source(plan.text))]
    source = Source(plan.text)
    told = [error.made(source) for error in walk.errors[: respond.MAX_ERRORS]]
    return data, told + [_UNTOLD] * (len(walk.errors) - len(told))


def semantic_null(parent_type: str, name: str) -> GraphQLError:
    """Return the error of a null where the source promised that there is none without an error."""
    return GraphQLError(f"Cannot return null for semantically non-null field {parent_type}.{name}.")


class _Error(NamedTuple):
    """What an error will be made of, if it is told."""

    message: str
    at: tuple[int, ...]
    path: Path
    original: Exception | None

    def made(self, source: Source) -> GraphQLError:
        return GraphQLError(self.message, source=source, positions=self.at, path=list(self.path), original_error=self.original)


_UNTOLD = GraphQLError("one of more errors than are told")


class _Failed(Exception):
    """An error on its way up to the nearest nullable position."""

    def __init__(self, error: _Error) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass(frozen=True, slots=True)
class _Page:
    """A parent's slice of a connection, and how its cursors are written. ``error``: why there are keys of nodes, but no nodes."""

    place: Place
    slice: Slice
    bound: Bound
    cursor: Callable[[Row], str]
    error: Exception | None = None


class _Walk:
    def __init__(self, state: State) -> None:
        self.errors: list[_Error] = []
        self._state = state
        self._indexes: dict[int, dict[Any, Row]] = {}
        self._kept: dict[int, Any] = {}

    def object(self, view: View, row: Row, path: Path) -> dict[str, Any]:
        return {plan.key: self._field(plan, row, (*path, plan.key)) for plan in view.fields}

    def _field(self, plan: FieldPlan, row: Row, path: Path) -> Any:
        return self._completed(plan, path, partial(self._value, plan, row, path))

    def _completed(self, plan: FieldPlan, path: Path, value: Callable[[], Any]) -> Any:
        mark = len(self.errors)
        try:
            found = self._required(plan.type, value(), plan, path)
            if found is None and isinstance(plan, Child) and is_semantic_non_null(plan.place.source):
                raise semantic_null(plan.parent_type, plan.name)
            return found
        except _Failed as exc:
            failed = exc
        except Exception as exc:
            failed = self._located(exc, plan, path)
        if is_non_null_type(plan.type):
            raise failed
        del self.errors[mark:]
        self.errors.append(failed.error)
        return None

    def _required(self, type_: GraphQLOutputType, value: Any, plan: FieldPlan, path: Path) -> Any:
        if value is None and is_non_null_type(type_):
            message = f"Cannot return null for non-nullable field {plan.parent_type}.{plan.name}."
            raise _Failed(_Error(message, plan.at, path, None))
        return value

    def _value(self, plan: FieldPlan, row: Row, path: Path) -> Any:
        match plan:
            case Constant():
                return plan.value
            case Leaf():
                value = row[plan.slot]
                if value is None:
                    return None
                if plan.prefix is not None:
                    return plan.prefix + value
                return value if plan.serialize is None else self._leaf(plan, plan.type, value, path)
            case ComputedLeaf():
                try:
                    value = plan.function(*(row[slot] for slot in plan.slots))
                except Exception as exc:
                    raise self._located(exc, plan, path) from exc
                return self._leaf(plan, plan.type, value, path)
            case NodeChild():
                return self._nodes(plan, row, path)
            case Introspected():
                return row[plan.slot]
        assert isinstance(plan, Child)
        return self._child(plan, row, path)

    def _leaf(self, plan: FieldPlan, type_: GraphQLOutputType, value: Any, path: Path) -> Any:
        """GraphQL spec 6.4.3, CompleteValue(), for leaves and lists of leaves."""
        bare: Any = type_.of_type if is_non_null_type(type_) else type_
        if isinstance(value, Exception):
            raise self._located(value, plan, path)
        if value is None:
            return None
        if is_list_type(bare):
            if not is_iterable(value):
                message = f"Expected Iterable, but did not find one for field '{plan.parent_type}.{plan.name}'."
                raise self._located(GraphQLError(message), plan, path)
            return [self._item(plan, bare.of_type, item, (*path, i), self._leaf) for i, item in enumerate(value)]
        try:
            return not_null(bare.serialize(value))
        except Exception as exc:
            raise self._located(exc, plan, path) from exc

    def _item(self, plan: FieldPlan, type_: GraphQLOutputType, item: Any, path: Path, complete: Any) -> Any:
        mark = len(self.errors)
        try:
            return self._required(type_, complete(plan, type_, item, path), plan, path)
        except _Failed as failed:
            if is_non_null_type(type_):
                raise
            del self.errors[mark:]
            self.errors.append(failed.error)
            return None

    def _located(self, exc: Exception, plan: FieldPlan, path: Path) -> _Failed:
        return _Failed(_Error(str(exc), plan.at, path, exc))

    # --------------------------------------------------------------------------------------------------------- children

    def _child(self, plan: Child, row: Row, path: Path) -> Any:
        place = plan.place
        result = self._state.results[place.index]
        key = row[plan.slot]
        failed = self._failure(place, result, key)
        if failed is not None:
            page = self._page_of_edges(place, key, failed)
            if page is None:
                raise self._located(failed, plan, path)
            return self._connection(page, path)
        match place.source:
            case One() | Lookup():
                found = self._index(place, result).get(key)
                return None if found is None else self.object(place.views[0], found, path)
            case Each():
                index = self._index(place, result)
                if key is None:
                    return None
                present = [index[k] for k in key if k in index]
                return self._objects(plan, place, present, path)
            case Many():
                found_here = result.groups.get(key, EMPTY)
                return self._connection(_Page(place, found_here, self._state.bounds[place.index], cursor_writer(place, self._state)), path)
            case Stats():
                return self._objects(plan, place, self._group(place, result, key), path)
            case Batched():
                return self._batched(plan, place, result, key, path)
        raise LookupError(f"{plan.parent_type}.{plan.name} has no place")

    def _failure(self, place: Place, result: Result, key: Any) -> Exception | None:
        """Return why this parent has no answer. A parent that had nothing to ask is not touched by a batch that failed."""
        edges = None if place.edges is None else self._state.results[place.edges.index]
        if edges is not None and edges.error is not None:
            return edges.error
        if result.error is None:
            return None
        if (isinstance(place.source, (One, Batched)) and key is None) or (isinstance(place.source, Each) and not key):
            return None
        if edges is not None and not edges.groups.get(key, EMPTY).rows:
            return None
        return result.error

    def _batched(self, plan: Child, place: Place, result: Result, key: Any, path: Path) -> Any:
        value = (result.values or {}).get(key)
        if isinstance(value, Exception):
            raise self._located(value, plan, path)
        if value is None:
            return None
        if not place.fixed:
            return self._leaf(plan, plan.type, value, path)
        if place.lists:
            return self._objects(plan, place, self._group(place, result, key), path)
        return self.object(place.views[0], value, path)

    def _objects(self, plan: Child, place: Place, rows: Sequence[Row], path: Path) -> list[Any]:
        bare: Any = plan.type.of_type if is_non_null_type(plan.type) else plan.type
        view = place.views[0]

        def complete(_: FieldPlan, __: Any, row: Any, here: Path) -> Any:
            if isinstance(row, Exception):
                raise self._located(row, plan, here)
            return None if row is None else self.object(view, row, here)

        return [self._item(plan, bare.of_type, row, (*path, i), complete) for i, row in enumerate(rows)]

    def _group(self, place: Place, result: Result, key: Any) -> Sequence[Row]:
        if place.index not in self._kept:
            self._kept[place.index] = kept(place, result, self._state)[0]
        found: Sequence[Row] = self._kept[place.index].get(key, ())
        return found

    def _index(self, place: Place, result: Result) -> dict[Any, Row]:
        if place.index not in self._indexes:
            self._indexes[place.index] = dict(zip(result.keys, result.rows, strict=True))
        return self._indexes[place.index]

    def _nodes(self, plan: NodeChild, row: Row, path: Path) -> Any:
        ids = row[plan.slot]
        bare: Any = plan.type.of_type if is_non_null_type(plan.type) else plan.type
        if not is_list_type(bare):
            return self._node(plan, bare, ids, path)
        return [self._item(plan, bare.of_type, text, (*path, i), self._node) for i, text in enumerate(ids)]

    def _node(self, plan: Any, _: Any, text: str, path: Path) -> Any:
        place = plan.places.get(text.partition(":")[0])
        if place is None:
            return None
        result = self._state.results[place.index]
        if result.error is not None:
            raise self._located(result.error, plan, path)
        row = self._index(place, result).get(text)
        return None if row is None else self.object(place.views[0], row, path)

    # ------------------------------------------------------------------------------------------------------ connections

    def _page_of_edges(self, place: Place, key: Any, error: Exception) -> _Page | None:
        """Return what the edges tell where they are there and only their nodes failed."""
        edges = None if place.edges is None else self._state.results[place.edges.index]
        if place.edges is None or edges is None or edges.error is not None:
            return None
        assert isinstance(place.source, Many)
        assert place.source.through is not None
        slot = place.edges.layout.index(place.source.through.node)
        bound = self._state.bounds[place.index]
        found = page_of_edges(place.source.collection, bound, (row[slot] for row in edges.groups[key].rows))
        return None if found is None else _Page(place, found, bound, partial(cursor_of_key, bound), error)

    def _connection(self, page: _Page, path: Path) -> dict[str, Any]:
        return self._parts(page.place.parts, partial(self._part, page), path)

    def _parts(self, parts: Sequence[PartField], value: Callable[[PartField, Path], Any], path: Path) -> dict[str, Any]:
        return {p.key: self._completed(p, (*path, p.key), partial(value, p, (*path, p.key))) for p in parts}

    def _part(self, page: _Page, part: PartField, path: Path) -> Any:
        rows, more, total = page.slice
        asked = page.bound.page
        assert asked is not None
        match part.part:
            case "typename":
                return part.value
            case "nodes" if page.error is not None and rows:
                raise self._located(page.error, part, path)
            case "nodes":
                return self._items(part, rows, partial(self._node_of_row, part), path)
            case "edges":
                return self._items(part, rows, lambda row, here: self._parts(part.parts, partial(self._edge, page, row), here), path)
            case "page_info":
                return self._parts(part.parts, partial(self._part, page), path)
            case "total_count":
                return total
            case "has_next_page":
                return asked.before is not None if asked.backward else more
            case "has_previous_page":
                return more if asked.backward else asked.after is not None
            case "start_cursor" | "end_cursor" if not rows:
                return None
            case "start_cursor":
                return page.cursor(rows[0])
            case "end_cursor":
                return page.cursor(rows[-1])
        raise LookupError(f"a connection has no part {part.part!r}")

    def _edge(self, page: _Page, row: Row, part: PartField, path: Path) -> Any:
        if part.part == "typename":
            return part.value
        if part.part == "cursor":
            return page.cursor(row)
        if page.error is not None:
            raise self._located(page.error, part, path)
        return self._node_of_row(part, row, path)

    def _node_of_row(self, part: PartField, row: Row, path: Path) -> dict[str, Any]:
        assert part.view is not None
        return self.object(part.view, row, path)

    def _items(self, part: PartField, rows: Sequence[Row], complete: Callable[[Row, Path], Any], path: Path) -> list[Any]:
        bare: Any = part.type.of_type if is_non_null_type(part.type) else part.type
        return [self._item(part, bare.of_type, row, (*path, i), lambda _, __, row, here: complete(row, here)) for i, row in enumerate(rows)]
