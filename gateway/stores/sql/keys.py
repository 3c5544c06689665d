"""Keys of one or several columns: as parameters of a statement, and in what it answers. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeVar

from gateway.stores.base import Collection, Key, Value
from gateway.stores.sql.dialects import Dialect, KeyValues
from gateway.stores.types import NO_VALUE, KeyForm

_T = TypeVar("_T")

# What an answer has in place of a key: the key, its place among those that were sent, or the wire value that it stands for.
Named = Literal["key", "place", "value"]


@dataclass(frozen=True, slots=True)
class Sent:
    """What is bound, and the keys that it stands for, by their places."""

    values: dict[str, Value]
    keys: Sequence[Key]


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

    def send(self, keys: Sequence[Key]) -> Sent | None:
        """Return what is to be bound; None where none of the keys is one of any row."""
        if self.is_plain:
            return Sent({"keys": self._dialect.keys(keys)}, keys)
        known: list[Key] = []
        sent: list[KeyValues] = []
        for key in keys:
            values = self.values(key)
            if values is not None:
                known.append(key)
                sent.append(values)
        return Sent(self._dialect.key_values(sent), known) if known else None

    def send_pairs(self, pairs: Sequence[tuple[Key, Key]]) -> dict[str, Value] | None:
        unique = dict.fromkeys(pairs)
        if self.is_plain:
            return self._dialect.pairs_values([parent for parent, _ in unique], [(key,) for _, key in unique])
        known = [(parent, values) for parent, key in unique if (values := self.values(key)) is not None]
        return self._dialect.pairs_values([parent for parent, _ in known], [values for _, values in known]) if known else None

    def values(self, key: Key) -> KeyValues | None:
        """Return the values of a key as they are sent; None where no row has it."""
        values = self._form.values(key)
        if values is None:
            return None
        sent = tuple([value if send is None else send(value) for value, send in zip(values, self._send, strict=True)])
        return None if NO_VALUE in sent else sent

    def named(self, by: Named, sent: Sent, answer: Mapping[Any, _T]) -> dict[Key, _T]:
        """Return an answer by the keys that were asked."""
        if by == "place":
            first = self._dialect.first_place
            return {sent.keys[place - first]: item for place, item in answer.items()}
        return {key: item for value, item in answer.items() if (key := self._form.text((value,))) is not None}


@lru_cache(maxsize=1_000)
def keys_of(dialect: Dialect, collection: Collection, column: str) -> Keys:
    return Keys(dialect, collection, column)
