"""Cursors: a row's place in an order, as opaque text. They hold the order's name and the row's values in it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import orjson

from gateway.errors import BadUserInput, CursorTooLong
from gateway.stores.base import Collection, Column, Order, Value
from gateway.stores.types import fits

CURSOR_MAX = 65_536  # characters: so long a cursor is given out and taken, and no longer one


@lru_cache(maxsize=1_000)
def cursor_of(collection: Collection, order: tuple[Order, ...]) -> str:
    return collection.name + "".join(f"{'-' if o.descending else '+'}{o.column}" for o in order)


def write_cursor(cursor_of: str, values: Sequence[Value]) -> str:
    """Return the cursor of a row: base64url, without padding, of the order's name and the row's values in it.

    What could not be read has the place of a null in every order, and is one in a cursor.

    CursorTooLong where ``read_cursor`` would not take it; TypeError where a value is none that JSON can hold.
    """
    text = base64.urlsafe_b64encode(orjson.dumps((cursor_of, *values), default=_place_of)).rstrip(b"=").decode()
    if len(text) > CURSOR_MAX:
        raise CursorTooLong(CURSOR_MAX, len(text))
    return text


def _place_of(value: Any) -> None:
    if not isinstance(value, Exception):
        raise TypeError(f"a cursor cannot hold a {type(value).__name__}")


def read_cursor(argument: str, text: str, cursor_of: str, collection: Collection, order: Sequence[Order]) -> tuple[Value, ...]:
    """Return the values of a cursor, one per column of ``order``; BadUserInput when it is none or of another order."""
    values: Any = None
    if len(text) <= CURSOR_MAX:
        try:
            values = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        except (ValueError, binascii.Error, UnicodeEncodeError):
            values = None
    if not isinstance(values, list) or len(values) != len(order) + 1 or not isinstance(values[0], str):
        raise BadUserInput(f"{argument}: expected a cursor of this connection, got {shown_text(text)}", argument=argument)
    if values[0] != cursor_of:
        raise BadUserInput(f"{argument}: expected a cursor of this connection in this order, got one of another", argument=argument)
    for item, value in zip(order, values[1:], strict=True):
        if not _fits(collection[item.column], value):
            raise BadUserInput(f"{argument}: expected a cursor of this connection, got {shown_text(text)}", argument=argument)
    return tuple(values[1:])


def _fits(column: Column, value: Value) -> bool:
    return value is None or (not column.many and fits(column, value))


def shown_text(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
