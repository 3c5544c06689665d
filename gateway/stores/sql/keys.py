"""Keys of one or several columns: as parameters of a statement, and in what it answers. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, TypeVar

from gateway.stores.base import Collection, Key, Value
from gateway.stores.sql.dialects import Dialect, KeyValues
from gateway.stores.types import NO_VALUE, KeyForm

_T = TypeVar("_T")

# What an answer has in place of a key: the key, its place among those that were sent, or the wire value that it stands for.
Named = Literal["key", "place", "value"]


class Keys:
    """The keys that ``column``, or several with commas between their names, has of a collection."""

    def __init__(self, dialect: Dialect, collection: Collection, column: str) -> None:
        columns = collection.columns_of(column)
        self._dialect = dialect
        self._form = KeyForm(columns)
        self.names = tuple(item.name for item in columns)
        self.forms = [dialect.form(collection, name) for name in self.names]
        self._send = [form.send_item for form in self.forms]
        self.is_plain = self._form.is_plain and columns[0].collation == "C"
        # What the one column holds is compared with all keys at once. Of several columns, and where two keys are one value, a join tells
        # which of the keys a row has.
        self.is_one = len(columns) == 1 and columns[0].collation == "C"

    def send(self, keys: Sequence[Key], values: dict[str, Value]) -> Sequence[Key] | None:
        """Add what is to be bound to ``values``. Return the keys that are sent, by their places; None where none is one of any row."""
        if self.is_plain:
            values["keys"] = self._dialect.keys(keys)
            return keys
        known = [(key, sent) for key in keys if (sent := self.values(key)) is not None]
        if not known:
            return None
        values.update(self._dialect.key_values([sent for _, sent in known]))
        return [key for key, _ in known]

    def send_pairs(self, pairs: Sequence[tuple[Key, Key]], values: dict[str, Value]) -> bool:
        """Add what is to be bound to ``values``; return whether there is any."""
        unique = dict.fromkeys(pairs)
        if self.is_plain:
            values.update(self._dialect.pairs_values([parent for parent, _ in unique], [(key,) for _, key in unique]))
            return True
        known = [(parent, sent) for parent, key in unique if (sent := self.values(key)) is not None]
        if known:
            values.update(self._dialect.pairs_values([parent for parent, _ in known], [sent for _, sent in known]))
        return bool(known)

    def values(self, key: Key) -> KeyValues | None:
        """Return the values of a key as they are sent; None where no row has it."""
        values = self._form.values(key)
        if values is None:
            return None
        sent = tuple([value if send is None else send(value) for value, send in zip(values, self._send, strict=True)])
        return None if NO_VALUE in sent else sent

    def named(self, by: Named, sent: Sequence[Key], answer: dict[Any, _T]) -> dict[Any, _T]:
        """Return an answer by the keys that were asked."""
        if by == "key":
            return answer
        if by == "place":
            first = self._dialect.first_place
            return {sent[place - first]: item for place, item in answer.items()}
        return {key: item for value, item in answer.items() if (key := self._form.text((value,))) is not None}


@lru_cache(maxsize=1_000)
def keys_of(dialect: Dialect, collection: Collection, column: str) -> Keys:
    return Keys(dialect, collection, column)
