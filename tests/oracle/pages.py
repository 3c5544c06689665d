"""Orders, cursors and pages of a list of records."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable
from typing import Any

from tests.oracle.filters import Record
from tests.oracle.scalars import BadInputError

DEFAULT_PAGE = 10
MAX_PAGE = 100

Order = list[tuple[str, bool]]  # (field of the record, descending)
_COLUMNS = {
    "KEY": "id",
    "NAME": "name",
    "EMAIL": "email",
    "CREATED_AT": "createdAt",
    "UPDATED_AT": "updatedAt",
    "TITLE": "title",
    "TYPE": "type",
    "OCCURRED_AT": "occurredAt",
}


def order_of(order_by: list[dict[str, Any]] | None) -> Order:
    """Return the whole order: a field said again says nothing new, and the key, ascending, breaks every tie."""
    order: Order = []
    for item in [*(order_by or []), {"field": "KEY", "direction": "ASC"}]:
        column = _COLUMNS[item["field"]]
        if column not in [known for known, _ in order]:
            order.append((column, item["direction"] == "DESC"))
        if column == "id":
            break  # no two records have the same key, so what follows cannot matter
    return order


def in_order(records: Iterable[Record], order: Order) -> list[Record]:
    """Return the records sorted by code point; nulls last in both directions."""
    result = list(records)
    for column, descending in reversed(order):  # sorting is stable, so the weightiest field comes last
        present = sorted((r for r in result if r[column] is not None), key=lambda r: r[column], reverse=descending)
        result = present + [r for r in result if r[column] is None]
    return result


def page_size(args: dict[str, Any]) -> tuple[int, bool]:
    """Return how many records, and whether from the back."""
    first, last = args.get("first"), args.get("last")
    if first is not None and last is not None:
        raise BadInputError("first and last cannot be given together.")
    for name, value in (("first", first), ("last", last)):
        if value is not None and not 0 <= value <= MAX_PAGE:
            raise BadInputError(f"{name} must be from 0 to {MAX_PAGE}, got {value}.")
    if last is not None:
        return last, True
    return (DEFAULT_PAGE if first is None else first), False


def connection(type_name: str, records: Iterable[Record], args: dict[str, Any]) -> dict[str, Any]:
    """Return a page of ``records`` (those that match already) as the contract's connection."""
    order = order_of(args.get("orderBy"))
    size, backward = page_size(args)
    after, before = (read_cursor(type_name, order, args.get(name)) for name in ("after", "before"))
    everything = in_order(records, order)
    window = [r for r in everything if (after is None or _follows(r, after, order)) and (before is None or _precedes(r, before, order))]
    nodes = window[max(len(window) - size, 0) :] if backward else window[:size]
    more = len(window) > size
    edges = [{"node": node, "cursor": cursor(type_name, order, node)} for node in nodes]
    return {
        "edges": edges,
        "nodes": nodes,
        "totalCount": len(everything),
        "pageInfo": {
            "hasNextPage": before is not None if backward else more,
            "hasPreviousPage": more if backward else after is not None,
            "startCursor": edges[0]["cursor"] if edges else None,
            "endCursor": edges[-1]["cursor"] if edges else None,
        },
    }


def cursor(type_name: str, order: Order, record: Record) -> str:
    """Return where ``record`` stands in this order of this type."""
    content = [type_name, order, [record[column] for column, _ in order]]
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def read_cursor(type_name: str, order: Order, text: str | None) -> list[Any] | None:
    """Return the values in a cursor, or None where there is no cursor. One made for something else is bad input."""
    if text is None:
        return None
    try:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
            raise ValueError("not base64url")
        found_type, found_order, values = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, TypeError, binascii.Error) as exc:
        raise BadInputError("The cursor is broken.") from exc
    if found_type != type_name or found_order != [list(item) for item in order]:
        raise BadInputError("The cursor was made for another order.")
    return list(values)


def _follows(record: Record, values: list[Any], order: Order) -> bool:
    return distance(record, values, order) > 0


def _precedes(record: Record, values: list[Any], order: Order) -> bool:
    return distance(record, values, order) < 0


def distance(record: Record, values: list[Any], order: Order) -> int:
    """Return -1, 0 or 1: ``record`` stands before, at or behind the place that ``values`` name."""
    for (column, descending), value in zip(order, values, strict=True):
        own = record[column]
        if own == value:
            continue
        if own is None or value is None:
            return 1 if own is None else -1
        return 1 if (own > value) != descending else -1
    return 0
