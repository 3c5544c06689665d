"""The ten parts of a connection, its edges and its page info: what each is made of, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from gateway.engine.code import Code, made
from gateway.engine.plan import FieldPlan, Place
from gateway.engine.results import Failed
from gateway.engine.sources.source import Asked, Source
from gateway.stores.base import Order

if TYPE_CHECKING:
    from gateway.engine.declared import Declared, Problem
    from gateway.engine.plan import View
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
        raise LookupError(f"{asked.parent_type}.{asked.name} is a part of a connection, outside of one")


@dataclass(slots=True, eq=False)
class PartField(FieldPlan):
    part: PartKind
    value: str = ""  # of __typename
    view: View | None = None  # of nodes, node
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
        case "nodes":
            assert part.view is not None
            objects = f"objects[{place.views.index(part.view)}]"
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
            objects = f"objects[{place.views.index(inner.view)}]"
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
