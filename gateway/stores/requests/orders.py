"""The order of rows: total, and the same in every kind of store and in Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.stores.declarations import Collection, Value
from gateway.stores.types import order_key


@dataclass(frozen=True, slots=True)
class Order:
    column: str
    descending: bool = False  # nulls are last either way


def total_order(collection: Collection, order: Sequence[Order]) -> tuple[Order, ...]:
    """The order with the key's columns, ascending, behind it, up to the point where it is total; repeated columns once."""
    result: dict[str, Order] = {}
    for item in (*order, *(Order(name) for name in collection.key)):
        result.setdefault(item.column, item)
        if all(name in result for name in collection.key):
            break
    return tuple(result.values())


def rank(values: Sequence[Value], order: Sequence[Order]) -> tuple[Any, ...]:
    """A sort key in Python for the values of ``order``'s columns: the order of every store, nulls last."""
    return tuple(_Descending(v) if o.descending else (v is None, v if v is not None else 0) for v, o in zip(values, order, strict=True))


def ranker(collection: Collection, order: Sequence[Order]) -> Callable[[Sequence[Value]], tuple[Any, ...]]:
    """Return the function from the values of ``order``'s columns to their ``rank``, by the columns' types.

    What stands for a value that could not be read has the place of a null: so it has one in every kind, and in a cursor.
    """
    keys = [order_key(collection[item.column]) for item in order]

    def rank_of(values: Sequence[Value]) -> tuple[Any, ...]:
        return rank([_ordered(key, value) for key, value in zip(keys, values, strict=True)], order)

    return rank_of


def _ordered(key: Callable[[Value], Any] | None, value: Value) -> Any:
    if value is None or isinstance(value, Exception):
        return None
    return value if key is None else key(value)


class _Descending:
    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.value = value

    def __lt__(self, other: _Descending) -> bool:
        if self.value is None or other.value is None:
            return self.value is not None and other.value is None
        return bool(other.value < self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Descending) and self.value == other.value

    __hash__ = None  # type: ignore[assignment]
