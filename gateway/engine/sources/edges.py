"""What a connection's edges alone tell of its page, while the store of its nodes does not answer: the keys, in the order of the key.

Runs only when the nodes' batch failed. Nobody knows then which of the nodes still exist, so all that the edges name count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.stores.base import And, Collection, Key, Order, Page, Row, Slice, Where, rank


def page_of_edges(
    collection: Collection, order: Sequence[Order], where: Where | None, page: Page, keys: Iterable[Key | None]
) -> Slice | None:
    """Return the page, with rows of the key alone; None where it takes the nodes to know it: with a filter, or by another order."""
    if [item.column for item in order] != [collection.key[0]] or not _matches_everything(where):
        return None
    ranks = {key: rank((key,), order) for key in keys if key is not None}
    after = None if page.after is None else rank(page.after, order)
    before = None if page.before is None else rank(page.before, order)
    rows: list[Row] = [
        (key,)
        for key in sorted(ranks, key=ranks.__getitem__)
        if (after is None or after < ranks[key]) and (before is None or ranks[key] < before)
    ]
    shown = rows[max(len(rows) - page.limit, 0) :] if page.backward else rows[: page.limit]
    return Slice(shown, len(rows) > page.limit, len(ranks))


def _matches_everything(where: Where | None) -> bool:
    return where is None or (isinstance(where, And) and all(map(_matches_everything, where.items)))
