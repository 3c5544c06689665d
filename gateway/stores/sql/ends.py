"""Edges that are followed to their ends in one statement: where two collections can be joined, and their edges as a table. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from gateway.stores.base import Collection, Column, Ends, Type
from gateway.stores.sql.conditions import Shape, condition_of
from gateway.stores.sql.dialects import Dialect, Expression
from gateway.stores.sql.keys import keys_of

_NATIVE = (Type.TEXT, Type.INT, Type.UUID)  # of which two values of others' tables are equal in PostgreSQL when their keys are
_ENDS = "ends"


def can_join(dialect: Dialect, collection: Collection, ends: Ends) -> bool:
    """Return whether equal values of the two columns are equal keys, and the other way round.

    Where nothing keeps values of other types out of others' tables, each must be looked at first.
    """
    edges = ends.edges
    here, there = edges.columns_of(ends.node), collection.columns_of(collection.key_name)
    if len(here) != 1 or len(there) != 1 or not keys_of(dialect, edges, ends.parent).is_one or _form_of(here[0]) != _form_of(there[0]):
        return False
    are_ours = edges.managed and collection.managed
    return here[0].collation == "C" and not here[0].many and (are_ours or (dialect.enforces_types and here[0].type in _NATIVE))


def _form_of(column: Column) -> tuple[Any, ...]:
    return (column.type, column.precision, column.scale, column.values, column.collation, column.many, column.enum)


def ends_of(
    dialect: Dialect, source: sa.Table, where: Shape | None, edges: sa.Table, ends: Ends, collection: Collection
) -> tuple[Any, Any]:
    """Return the table joined with the edges of the bound keys, and the edges' parents. A row is there once per parent."""
    parent: Expression = edges.c[ends.parent]
    node: Expression = edges.c[ends.node]
    if not (ends.edges.managed and collection.managed) and ends.edges[ends.node].type is Type.TEXT:
        # Columns of two collations, neither the database's own, cannot be compared. Of these the key's stands, for its index.
        node = sa.collate(node, "default")
    found = keys_of(dialect, ends.edges, ends.parent).forms[0].one_of_keys(parent)
    query = sa.select(parent.label("parent"), node.label("node"))
    query = query.where(found, *([condition_of(ends.edges, edges, where, dialect, PREFIX)] if where else []))
    if not ends.edges.managed or not {*ends.edges.key} <= {ends.parent, ends.node}:  # a key of others may be one by their word alone
        query = query.distinct()
    table = query.subquery(_ENDS if source.name.lower() != _ENDS else f"{_ENDS}_")
    return source.join(table, source.c[collection.key[0]] == table.c.node), table.c.parent


def shown_parent(dialect: Dialect, ends: Ends) -> tuple[Callable[[Expression], Expression], Callable[[Any], Any] | None, str | None]:
    """Return how a parent is shown, decoded and put into JSON."""
    keys = keys_of(dialect, ends.edges, ends.parent)
    form = keys.forms[0]
    if keys.is_plain:
        return form.shown, None, "{0}"
    return (lambda column: form.shown_key(form.grouped(column))), form.decode_key, form.in_json


PREFIX = "e"  # of the names of values in the edges' condition
