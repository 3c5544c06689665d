"""Mistakes in what a graph declares of its writes: ``Graph(replication=…, audit=…)``. Pure, as all checks of a graph are."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.engine.declared import Problem
from gateway.graph.fields import Graph
from gateway.stores.base import Collection
from gateway.stores.kinds import Kind
from gateway.stores.types import joins
from gateway.writes.declarations import AUDIT, Cascade, Copied, FollowUp, Replica, Target, ends_of


def of_replication(graph: Graph, kinds: Mapping[str, Kind]) -> Iterator[Problem]:
    """Give all that is wrong with the targets of a graph, and with its audit."""
    where = "Graph.replication"
    broken = [problem for item in graph.replication for problem in _of_form(where, item)]
    if broken:  # the others would not be true of it
        yield from broken
        return
    for name, count in Counter(target.name for target in graph.replication).items():
        if count > 1:
            yield Problem(where, f"one target of the name {name!r}: give one of them another (name=…)", str(count))
    for target in graph.replication:
        yield from _of_target(target, graph, kinds)
    yield from _of_audit(graph, kinds)


def _of_form(where: str, item: Any) -> Iterator[Problem]:
    if not isinstance(item, (Replica, Cascade, FollowUp)):
        yield Problem(where, "what replicate(), cascade() and follow_up() make", f"a {type(item).__name__}")
        return
    for end in ends_of(item):
        if not isinstance(end, Collection):
            yield Problem(f"replication {item.name!r}", "Collections as its ends", f"a {type(end).__name__}")


def _of_target(target: Target, graph: Graph, kinds: Mapping[str, Kind]) -> Iterator[Problem]:
    where = f"replication {target.name!r}"
    if not target.name or target.name == AUDIT:
        yield Problem(where, f"a name of its own, which is not {AUDIT!r}", repr(target.name))
    yield from _of_collection(f"{where}: source", target.source, graph, kinds)
    if not target.source.managed:
        yield Problem(where, "a managed collection as source, since the log has writes of these alone", target.source.name)
    match target:
        case FollowUp(run=run):
            yield from _of_function(where, "run", run, "(ctx, state, payload)", 3)
        case Replica():
            yield from _of_collection(f"{where}: target", target.target, graph, kinds)
            yield from _of_rows(where, target)
            if target.by:
                yield from _of_by(where, target)
        case Cascade():
            yield from _of_collection(f"{where}: target", target.target, graph, kinds)
            if not target.target.managed:
                expected = "a managed collection to delete from, as each deletion is a write with a version"
                yield Problem(where, expected, target.target.name)
            yield from _of_by(where, target)


def _of_collection(where: str, collection: Collection, graph: Graph, kinds: Mapping[str, Kind]) -> Iterator[Problem]:
    if collection not in graph.collections:
        names = ", ".join(its.name for its in graph.collections)
        yield Problem(where, f"one of the graph's collections ({names})", f"{collection.name}, which is none of them")
    kind = kinds.get(collection.store)
    if kind is not None and "transact" not in kind.can:
        yield Problem(where, "a store that can transact", f"{collection.store} of kind {kind.name}, which cannot")


def _of_by(where: str, target: Replica | Cascade) -> Iterator[Problem]:
    """Give what is wrong with the columns of the target that have the source's key."""
    names, source = target.by.split(","), target.source
    unknown = [name for name in names if name not in target.target.declared]
    if unknown:
        yield Problem(f"{where}: by", f"columns of {target.target.name} ({', '.join(target.target.names)})", ", ".join(map(repr, unknown)))
        return
    if len(names) != len(source.key):
        expected = f"as many columns as the key of {source.name} has ({', '.join(source.key)})"
        yield Problem(f"{where}: by", expected, target.by)
        return
    for here, there in zip(source.columns_of(source.key_name), target.target.columns_of(target.by), strict=True):
        if not joins(here, there):
            yield Problem(f"{where}: by", f"a column that can hold {source.name}.{here.name}, {here.type}", f"{there.name}, {there.type}")


def _of_rows(where: str, target: Replica) -> Iterator[Problem]:
    source, copy = target.source, target.target
    if source is copy:
        yield Problem(where, "another collection as target than the source", copy.name)
    if not isinstance(target.rows, Copied):
        yield from _of_function(where, "rows", target.rows, "(row)", 1)
        return
    for column in copy.columns:
        its = source.declared.get(column.name)
        if its is None:
            expected = f"a column {column.name!r} in {source.name}, as {copy.name} has it; or rows=…, which says what is copied"
            yield Problem(where, expected, ", ".join(source.names))
        elif (its.type, its.many) != (column.type, column.many):
            yield Problem(where, f"{copy.name}.{column.name} of the type {its.type}, as in {source.name}", column.type)
        elif its.nullable and not column.nullable:
            yield Problem(where, f"{copy.name}.{column.name} nullable, as in {source.name}", "one that is never null")


def _of_function(where: str, name: str, function: Any, shape: str, count: int) -> Iterator[Problem]:
    expected = f"a function of {shape}"
    if not callable(function):
        yield Problem(f"{where}: {name}", expected, repr(function))
        return
    try:
        inspect.signature(function).bind(*[None] * count)
    except (TypeError, ValueError) as exc:
        yield Problem(f"{where}: {name}", expected, f"{getattr(function, '__name__', function)}: {exc}")


def _of_audit(graph: Graph, kinds: Mapping[str, Kind]) -> Iterator[Problem]:
    if graph.audit is None:
        return
    if not graph.logged:
        yield Problem("Graph.audit", "a graph with mutations or replication, as nothing else is written", "neither")
    kind = kinds.get(graph.audit)
    if kind is not None and "transact" not in kind.can:
        yield Problem("Graph.audit", "a store that can transact", f"{graph.audit} of kind {kind.name}, which cannot")
