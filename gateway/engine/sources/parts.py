"""The ten parts of a connection, its edges and its page info: what each is made of, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

from graphql import get_named_type

from gateway.engine.code import Code, made
from gateway.engine.plan import FieldPlan, Place, View
from gateway.engine.results import Failed
from gateway.engine.sources.key import Child, look
from gateway.engine.sources.source import Asked, Source
from gateway.stores.base import Order

if TYPE_CHECKING:
    from gateway.engine.declared import Declared, Problem
    from gateway.engine.planner import Planning


@dataclass(frozen=True, slots=True)
class PartKind:
    """A part of a connection, an edge or a page info. ``text``: its expression, of a page's ``rows``, ``more`` and ``total``."""

    name: str
    text: str = ""
    has_cursor: bool = False
    has_nodes: bool = False
    may_be_null: bool = False


TYPENAME = PartKind("__typename")
PARTS = {
    kind.name: kind
    for kind in (
        PartKind("nodes", has_nodes=True),
        PartKind("edges"),
        PartKind("node", has_nodes=True),
        PartKind("cursor", has_cursor=True),
        PartKind("page_info"),
        PartKind("total_count", "total"),
        PartKind("has_next_page", "(has_before if backward else more)"),
        PartKind("has_previous_page", "(more if backward else has_after)"),
        PartKind("start_cursor", "(cursor(rows[0]) if rows else None)", has_cursor=True, may_be_null=True),
        PartKind("end_cursor", "(cursor(rows[-1]) if rows else None)", has_cursor=True, may_be_null=True),
    )
}


@dataclass(frozen=True, slots=True)
class Part(Source):
    """A field of a connection, an edge or a page info; the connection's own batch fills it."""

    name: str

    @property
    def promised(self) -> bool:
        return not PARTS[self.name].may_be_null

    @property
    def is_a_step(self) -> bool:
        return self.name == "edges"

    def check(self, field: Declared) -> Iterator[Problem]:
        if self.name not in PARTS:
            yield field.problem(f"a part of a connection ({', '.join(PARTS)})", repr(self.name))

    def plan(self, planning: Planning, view: View, asked: Asked) -> FieldPlan:
        place = view.place
        if isinstance(place, ConnectionPlace) and place.ends is not None:  # the rows are edges
            if self.name == "node":
                nodes = planning.view(place.ends, planning.type_of_rows(place.ends, get_named_type(asked.definition.type)), asked)
                return EndOfEdge(*asked.common, place.ends, place.ends.slot, place.ends.views.index(nodes))
            if self.name == "cursor":
                place.has_cursors = True
                return CursorOfEdge(*asked.common, place.cursor_slot())
        raise LookupError(f"{asked.parent_type}.{asked.name} is a part of a connection, outside of one")


@dataclass(slots=True, eq=False)
class EndOfEdge(Child):
    """The node of an edge that is an object of its own; ``view`` says which of the views of its place."""

    view: int

    def found(self, code: Code, number: int) -> str:
        code.setup.append(f"c{number} = outs[{self.place.index}][{self.view}]")
        found = f"(c{number}, v{self.slot})"
        return f"{code.name('look', look)}{found}" if code.is_careful else f"c{number}[v{self.slot}]"


@dataclass(slots=True, eq=False)
class CursorOfEdge(FieldPlan):
    """Its cursor, which is made with the row; an error that stands for it is looked for with all others."""

    slot: int

    def expression(self, code: Code, number: int) -> str:
        return f"v{self.slot}"


CURSOR = "#cursor"  # the column of edges' rows that has their cursors


def _no_cursor() -> None:
    """Stand for a cursor, until the order is known that it is of."""


@dataclass(slots=True, eq=False)
class PartField(FieldPlan):
    part: PartKind
    value: str = ""  # of __typename
    view: View | None = None  # of nodes, node; of edges that are objects of their own
    parts: list[PartField] = field(default_factory=list)  # of edges, page_info

    def expression(self, code: Code, number: int) -> str:
        return repr(self.value) if self.part is TYPENAME else self.part.text


@dataclass(slots=True, eq=False, weakref_slot=True)
class ConnectionPlace(Place):
    parts: list[PartField] = field(default_factory=list)
    counts: bool = False  # totalCount was asked
    has_rows: bool = False  # a connection asked for its totalCount alone needs no rows
    has_cursors: bool = False
    has_flags: bool = False  # hasNextPage or hasPreviousPage was asked
    cut: str = ""  # where its pages are cut, for who reads the plan
    ends: Place | None = None  # of the nodes, where the rows are edges

    @property
    def shown(self) -> list[View]:
        """The views whose objects a page is made of, in the order in which it takes them."""
        return self.views if self.ends is None else [*self.views, *self.ends.views]

    def anchor(self) -> View:
        """Return a view that is none of the answer's, below which a place of the same level can stand."""
        return View(ref(self), "", -1)

    def cursor_slot(self) -> int:
        """Return the slot of a row's cursor, where edges are objects of their own."""
        return self.layout.make(CURSOR, (), _no_cursor)

    def columns(self, order: Sequence[Order]) -> tuple[str, ...]:
        """Return the columns of its rows: the layout's, and behind it those of the order, which cursors are made of."""
        columns = self.layout.columns
        if not self.has_cursors:
            return columns
        return (*columns, *(item.column for item in order if item.column not in columns))

    def asked(self, order: Sequence[Order]) -> tuple[str, ...]:
        """Return those of them that a store is asked for, in the order of its rows."""
        columns = self.layout.asked
        if not self.has_cursors:
            return columns
        return (*columns, *(item.column for item in order if item.column not in columns))

    @property
    def has_tail(self) -> bool:
        return self.has_cursors

    def compile(self, *, is_careful: bool) -> Callable[..., Any]:
        return compile_connection(self, is_careful=is_careful)


def compile_connection(place: ConnectionPlace, *, is_careful: bool) -> Callable[..., Any]:
    """Return ``connect(out, groups, objects, cursor, backward, has_after, has_before)``, which puts a connection per parent into out."""
    code = Code(is_careful=is_careful)
    text = _object(place.parts, code, partial(_page_part, place, code))
    lines = [
        "def connect(out, groups, objects, cursor, backward, has_after, has_before):",
        "    s = 0",
        "    for key, (rows, more, total) in groups.items():",
        "        e = s + len(rows)",
        f"        out[key] = {text}",
        "        s = e",
    ]
    return code.function("connect", lines)


def _object(parts: Sequence[PartField], code: Code, text_of: Callable[[PartField], str]) -> str:
    text = "{" + ", ".join(f"{part.key!r}: {text_of(part)}" for part in parts) + "}"
    return made(code, text, parts)


def _page_part(place: ConnectionPlace, code: Code, part: PartField) -> str:
    match part.part.name:
        case "nodes" | "edges" if part.view is not None:
            objects = f"objects[{place.shown.index(part.view)}]"
            return f"{code.name('nodes_of', _nodes)}({objects}, s, e)" if code.is_careful else f"{objects}[s:e]"
        case "edges":
            return _edges(place, code, part)
        case "page_info":
            return _object(part.parts, code, partial(_page_part, place, code))
    return part.expression(code, 0)


def _edges(place: ConnectionPlace, code: Code, part: PartField) -> str:
    views: list[str] = []
    cursors = 0

    def text_of(inner: PartField) -> str:
        nonlocal cursors
        if inner.part.name == "node":
            assert inner.view is not None
            objects = f"objects[{place.shown.index(inner.view)}]"
            views.append(f"{code.name('each_node', _each_node)}({objects}, s, e)" if code.is_careful else f"{objects}[s:e]")
            return f"o{len(views) - 1}"
        if inner.part.name == "cursor":
            cursors += 1
            return "(c := cursor(r))" if cursors == 1 else "c"  # under further aliases
        return inner.expression(code, 0)

    text = _object(part.parts, code, text_of)
    loop = ", ".join(["r", *(f"o{i}" for i in range(len(views)))])
    return f"[{text} for {loop}, in zip({', '.join(['rows', *views])})]"


def _nodes(objects: Any, start: int, end: int) -> Any:
    """Return the nodes of a page; where their store failed, its error in place of some."""
    if isinstance(objects, Failed):
        return objects if end > start else []
    return objects[start:end]


def _each_node(objects: Any, start: int, end: int) -> Any:
    return [objects] * (end - start) if isinstance(objects, Failed) else objects[start:end]
