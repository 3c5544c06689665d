"""What a connection's edges alone tell of its page, while the store of its nodes does not answer: the keys, in the order of the key.

Runs only when the nodes' batch failed. Nobody knows then which of the nodes still exist, so all that the edges name count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter

from gateway.stores.base import And, Collection, Key, Order, Page, Row, Slice, Where, ranker
from gateway.stores.types import KeyForm


def page_of_edges(
    collection: Collection, order: Sequence[Order], where: Where | None, page: Page, keys: Iterable[Key | None]
) -> Slice | None:
    """Return the page, with rows of the key alone; None where it takes the nodes to know it: with a filter, or by another order."""
    if [item.column for item in order] != list(collection.key) or not _matches_everything(where):
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


def _matches_everything(where: Where | None) -> bool:
    return where is None or (isinstance(where, And) and all(map(_matches_everything, where.items)))
