"""Pages of edges: whose nodes are there, in the order of the nodes' keys where edges can be in it, and what edges alone tell of a page
while the store of their nodes does not answer.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from gateway.stores.base import (
    And,
    Collection,
    Column,
    Compare,
    Fetch,
    Get,
    Key,
    Match,
    Or,
    Order,
    Page,
    Row,
    Slice,
    UniqueKeys,
    Where,
    ranker,
)
from gateway.stores.types import KeyForm, keys_between

if TYPE_CHECKING:
    from gateway.engine.execute import Run

GROWTH = 8  # so many times as long is a page of edges that is read again, where too many of the last one lead nowhere
LEAST_AGAIN = 64  # edges

# ----------------------------------------------------------------------------------------------- edges and their nodes


@dataclass(slots=True)
class Reached:
    """Pages of edges by parent, the rows of the nodes that are there by key, and the keys of those that are gone.

    ``error`` is that of the nodes' store: nobody knows then which nodes are there, and edges stand whose nodes are not known.
    """

    pages: dict[Any, Slice] = field(default_factory=dict)
    there: dict[Key, Row] = field(default_factory=dict)
    gone: set[Key] = field(default_factory=set)
    error: Exception | None = None


def reached(
    run: Run, fetch: Fetch, key_of: Callable[[Row], Any], collection: Collection, columns: tuple[str, ...], *, is_exact: bool
) -> Generator[Any, Any, Reached]:
    """Return the pages of edges that ``fetch`` asks for, without the edges that lead nowhere, and their nodes.

    ``key_of`` gives the key of an edge's node, which is asked for ``columns`` of ``collection``. ``is_exact``: ``more`` of a page says
    whether there is another edge whose node is there; nobody looks at it else. Asks for the edges and then the nodes; parents whose page
    is not full then, while there are more edges, are asked again for longer ones: after n such rounds, for GROWTH**n times as many.
    """
    assert isinstance(fetch.match, Match), "edges are asked by parents"
    assert fetch.page is not None, "by pages"
    page, column, parents = fetch.page, fetch.match.column, fetch.match.keys
    limit = page.limit
    size = wanted = limit + is_exact
    found = Reached()
    there, gone = found.there, found.gone
    totals: dict[Any, int | None] = {}
    while parents:
        asked = replace(fetch, match=Match(column, parents), page=replace(page, limit=size), count=fetch.count and not totals)
        answer: Mapping[Any, Slice] = yield asked
        run.take_edges(sum([len(part.rows) for part in answer.values()]))
        totals = totals or {parent: part.total for parent, part in answer.items()}
        keyed = {parent: [(key_of(row), row) for row in part.rows] for parent, part in answer.items()}
        # An edge whose node's key is none, or could not be read, leads nowhere, as one to a node that is gone does.
        keys = UniqueKeys(dict.fromkeys([key for edges in keyed.values() for key, _ in edges if isinstance(key, str)]))
        if there or gone:
            keys = UniqueKeys([key for key in keys if key not in there and key not in gone])
        if keys and found.error is None:
            try:
                rows: Mapping[Key, Row] = yield Get(collection, columns, keys, collection.key_name)
            except Exception as exc:
                found.error = exc
            else:
                there.update({key: rows[key] for key in keys if key in rows})
                gone.update([key for key in keys if key not in rows])
        lacking: list[Any] = []
        for parent, edges in keyed.items():
            kept = [row for key, row in edges if isinstance(key, str) and key not in gone]
            more = answer[parent].more
            if more and len(kept) < wanted:
                lacking.append(parent)
                continue
            if len(kept) > limit:
                kept, more = kept[len(kept) - limit :] if page.backward else kept[:limit], True
            found.pages[parent] = Slice(kept, more, totals.get(parent))
        parents, size = UniqueKeys(lacking), max(GROWTH * size, LEAST_AGAIN)
    return found


# ----------------------------------------------------------------------------------------------------- in whose order


@lru_cache(maxsize=1_000)
def key_of_node(edges: Collection, node: str, collection: Collection) -> Callable[[Row], Any]:
    """Return the function from the values of an edge's ``node`` columns to the key of its node, as ``keys_between`` gives it."""
    made = keys_between(edges.columns_of(node), collection.columns_of(collection.key_name))
    return itemgetter(0) if made is None else lambda row: made(*row)


@lru_cache(maxsize=1_000)
def columns_in_order(edges: Collection, parent: str, node: str, collection: Collection) -> tuple[str, ...] | None:
    """Return the edges' columns whose order is that of the nodes' keys; None where it is another, or where pairs of keys may repeat."""
    names = tuple(node.split(","))
    here, there = edges.columns_of(node), collection.columns_of(collection.key_name)
    alike = len(here) == len(there) and all(map(_is_ordered_alike, here, there))
    return names if alike and {*edges.key} <= {*names, *parent.split(",")} else None


def _is_ordered_alike(here: Column, there: Column) -> bool:
    def order(column: Column) -> tuple[Any, ...]:
        return (column.type, column.precision, column.scale, column.values, column.collation)

    return order(here) == order(there) and here.collation == "C" and not here.many


def page_by_edges(
    names: Sequence[str], collection: Collection, order: Sequence[Order], where: Where | None, page: Page
) -> tuple[Where | None, tuple[Order, ...], Page] | None:
    """Return which edges a page of nodes is of, in which order, and the page; None where it takes the nodes to know it.

    ``after`` and ``before`` are conditions: in the edges' own order a parent's key would stand behind that of the node.
    """
    if not is_of_keys(collection, order, where) or None in (*(page.after or ()), *(page.before or ())):
        return None
    ordered = tuple([Order(name, item.descending) for name, item in zip(names, order, strict=True)])
    between = [
        *([] if page.after is None else [_beyond(ordered, page.after, "gt", "lt")]),
        *([] if page.before is None else [_beyond(ordered, page.before, "lt", "gt")]),
    ]
    return between[0] if len(between) == 1 else And(tuple(between)) if between else None, ordered, Page(page.limit, page.backward)


def _beyond(order: Sequence[Order], values: Sequence[Any], ascending: Any, descending: Any) -> Where:
    """Return the condition of what comes behind (or before) these values in an order."""
    ways: list[Where] = []
    for number, (item, value) in enumerate(zip(order, values, strict=True)):
        compared = Compare(item.column, descending if item.descending else ascending, value)
        same = [Compare(other.column, "eq", equal) for other, equal in zip(order[:number], values, strict=False)]
        ways.append(And((*same, compared)) if same else compared)
    return ways[0] if len(ways) == 1 else Or(tuple(ways))


# ------------------------------------------------------------------------------------------------------- without nodes


def page_of_edges(
    collection: Collection, order: Sequence[Order], where: Where | None, page: Page, keys: Iterable[Key | None]
) -> Slice | None:
    """Return the page, with rows of the key alone; None where it takes the nodes to know it: with a filter, or by another order.

    Runs only when the nodes' batch failed. Nobody knows then which of the nodes still exist, so all that the edges name count.
    """
    if not is_of_keys(collection, order, where):
        return None
    form = KeyForm(collection.columns_of(collection.key_name))
    rank_of = ranker(collection, order)
    rows_by_rank = [(rank_of(row), row) for key in dict.fromkeys(keys) if key is not None and (row := form.values(key)) is not None]
    after = None if page.after is None else rank_of(page.after)
    before = None if page.before is None else rank_of(page.before)
    rows: list[Row] = [
        row
        for rank, row in sorted(rows_by_rank, key=itemgetter(0))
        if (after is None or after < rank) and (before is None or rank < before)
    ]
    shown = rows[max(len(rows) - page.limit, 0) :] if page.backward else rows[: page.limit]
    return Slice(shown, len(rows) > page.limit, len(rows_by_rank))


def is_of_keys(collection: Collection, order: Sequence[Order], where: Where | None) -> bool:
    """Return whether a page is all of its keys': in the order of the key, without a filter."""
    return [item.column for item in order] == list(collection.key) and _matches_everything(where)


def _matches_everything(where: Where | None) -> bool:
    return where is None or (isinstance(where, And) and all(map(_matches_everything, where.items)))
