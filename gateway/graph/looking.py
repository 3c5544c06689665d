"""Look at the stores at the start: which are as the graph declares, which are not, and which could not be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from gateway.engine.declared import Problem
from gateway.errors import GatewayError, StoreTimeout, StoreUnavailable
from gateway.graph.alone import of_alone
from gateway.graph.fields import Graph
from gateway.graph.found import problems_of
from gateway.graph.indexes import hints_of
from gateway.graph.log import own_tables
from gateway.stores import Stores
from gateway.stores.base import Collection
from gateway.stores.described import Description
from gateway.stores.kinds import kind_named
from gateway.stores.unchecked import Look

LOOK_TIMEOUT_S = 5.0  # for all stores, which are looked at at the same time


@dataclass(slots=True)
class Looked:
    """What a look found. Each store is in one of the three: ``checked``, ``away`` with what it failed with, ``silent`` with the reason.

    ``hints`` are of the collections that are not managed: indexes that would serve what is asked of them, with their statements.
    """

    problems: list[Problem] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    away: dict[str, StoreUnavailable | StoreTimeout] = field(default_factory=dict)
    silent: dict[str, str] = field(default_factory=dict)


async def look(stores: Stores, graph: Graph, names: Iterable[str], *, timeout_s: float = LOOK_TIMEOUT_S) -> Looked:
    """Compare what these stores have with what the graph declares. One statement or a few for each; nothing is changed."""
    looked = Looked()
    asked = list(names)
    answers = await asyncio.gather(*(_seen(stores, graph, name, timeout_s) for name in asked), return_exceptions=True)
    for name, answer in zip(asked, answers, strict=True):
        match answer:
            case StoreUnavailable() | StoreTimeout():
                looked.away[name] = answer
            case GatewayError():
                looked.silent[name] = f"it could not be looked at: {answer.message.rstrip('.')}"
            case BaseException():
                raise answer
            case None, _:
                looked.silent[name] = f"stores of kind {stores.kind(name)} cannot say what they have"
            case description, problems:
                looked.checked.append(name)
                looked.problems += problems
                looked.hints += hints_of(graph, name, stores[name], description)
    return looked


Wanted = Callable[[Stores, Graph, str], Sequence[Collection]]


def looks_at(stores: Stores, graph: Graph, names: Iterable[str], wanted: Wanted | None = None) -> dict[str, Look]:
    """Return, for each of these stores, a function that looks at it, for when it is there. ``wanted``: ``collections_of`` by default."""

    async def lines(name: str) -> Sequence[str]:
        _, problems = await _seen(stores, graph, name, None, wanted)
        return [str(problem) for problem in problems]

    return {name: partial(lines, name) for name in names}


async def _seen(
    stores: Stores, graph: Graph, name: str, timeout_s: float | None, wanted: Wanted | None = None
) -> tuple[Description | None, list[Problem]]:
    """Return what one store has for the graph, None where it cannot say, and all that is wrong with it.

    With ``wanted`` it is one that is only read.
    """
    collections = (wanted or collections_of)(stores, graph, name)
    description = await stores.describe(name, collections, timeout_s=timeout_s)
    if description is None:
        return None, []
    return description, [*([] if wanted else await _of_server(stores, graph, name)), *problems_of(collections, description)]


async def _of_server(stores: Stores, graph: Graph, name: str) -> list[Problem]:
    """Return what the graph writes in a store and its server cannot, though servers of its kind may."""
    kind = kind_named(stores.kind(name))
    if kind is None or "transact" not in kind.can or await stores.can_transact(name):
        return []
    return list(of_alone(graph, name, kind.name))


def collections_of(stores: Stores, graph: Graph, name: str) -> Sequence[Collection]:
    """Return what a store is to have: the graph's collections, and the gateway's own tables where it is written."""
    return [*declared_of(stores, graph, name), *own_tables(graph, name, stores.kind(name))]


def declared_of(_: Stores, graph: Graph, name: str) -> Sequence[Collection]:
    """Return what a store is to have that is only read: the graph's collections."""
    return [collection for collection in graph.collections if collection.store == name]
