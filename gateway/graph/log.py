"""Which tables of the gateway's own a store has, for what a graph writes: none where it writes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.graph.fields import Graph
from gateway.stores.base import Ability, Collection
from gateway.stores.kinds import kind_named
from gateway.writes.tables import tables_of

_NEEDED: frozenset[Ability] = frozenset({"transact", "migrate"})


def own_tables(graph: Graph, name: str, kind: str) -> Sequence[Collection]:
    """Return the gateway's own collections in the store ``name``, which is of this kind; none where the kind could do nothing with them."""
    known = kind_named(kind)
    if name not in graph.logged or (known is not None and not known.can >= _NEEDED):
        return ()
    return tables_of(name).all
