"""The text of a native query, with its conditions in it, alone and as a subquery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.errors import NarrowingRefused, StoreMisbehaved
from gateway.stores.base import Collection, Native, Where
from gateway.stores.neo4j.conditions import conditions
from gateway.stores.neo4j.sources import Source, quoted
from gateway.stores.placeholders import filled, prefix_of


class NativeText:
    """A native query's text, and the same as a subquery whose rows come in one record, as soon as its columns' names are known."""

    def __init__(self, native: Native, prefix: str, narrowings: Sequence[tuple[Collection, Where | None]]) -> None:
        def condition(number: int, variables: Sequence[str]) -> str:
            collection, shape = narrowings[number]
            source = _source_of(native, prefix, collection, variables)
            [written] = conditions(source, shape, prefix_of(number)) or ["true"]
            return written.replace("{", "{{").replace("}", "}}")

        query = filled(native, native.query("neo4j"), [collection for collection, _ in narrowings], condition)
        self.name = native.name
        self.width = 1 + len(native.columns)
        self.plain = labelled(query, prefix)
        self.in_one: str | None = None
        self._learned = False

    def learn(self, names: Sequence[str]) -> str | None:
        """The text as a subquery, to be tried; None when it has been tried."""
        if len(names) != self.width:
            raise StoreMisbehaved(f"native query {self.name} returned {len(names)} columns, expected {self.width}: the key and its columns")
        if self._learned:
            return None
        self._learned = True
        return f"CALL () {{ {self.plain} }} RETURN collect([{', '.join(map(quoted, names))}])"


def _source_of(native: Native, prefix: str, collection: Collection, variables: Sequence[str]) -> Source:
    expected = "the variable of its node" if collection.relationship is None else "those of its start, itself and its end"
    if len(variables) != (1 if collection.relationship is None else 3):
        raise NarrowingRefused(native.name, collection.name, f"expected {expected}, got {', '.join(variables)}")
    return Source(prefix, collection, variables)


def labelled(template: str, prefix: str) -> str:
    """Return a native query's text, or a step's statement, with its labels, relationship types and names of indexes prefixed."""
    return template.format_map(_Labels(prefix))


class _Labels(Mapping[str, str]):
    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def __getitem__(self, label: str) -> str:
        return quoted(self._prefix + label)

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0
