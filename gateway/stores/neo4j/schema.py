"""Which constraints and indexes the collections need in Neo4j, and which of them are there.

Existence and key constraints are for the Enterprise edition alone, so a null in a column that is not nullable is refused by
the store itself, when it writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.stores.base import Collection
from gateway.stores.neo4j.sources import Source, quoted

SHOW = """SHOW INDEXES YIELD type, entityType, labelsOrTypes, properties, owningConstraint
WHERE type = 'RANGE' AND size(labelsOrTypes) = 1
RETURN collect([owningConstraint IS NOT NULL, entityType = 'RELATIONSHIP', labelsOrTypes[0], properties])"""
AWAIT = "CALL db.awaitIndex($name, 300)"  # one's own: db.awaitIndexes waits for those that others make and drop, too


@dataclass(frozen=True, slots=True)
class Rule:
    """An index or, when unique, a constraint, on the properties of a label's nodes or of a type's relationships."""

    unique: bool
    on: Literal["node", "relationship"]
    label: str
    properties: tuple[str, ...]

    def __str__(self) -> str:
        kind = "unique constraint" if self.unique else "index"
        return f"{kind} on {self.on} {self.label} ({', '.join(self.properties)})"

    @property
    def name(self) -> str:
        return f"{self.label}_{'_'.join(self.properties)}{'_unique' if self.unique else ''}"

    @property
    def statement(self) -> str:
        return self._statement(quoted(self.name), quoted(self.label))

    def template(self, prefix: str) -> str:
        """The statement as a step has it, for any prefix: names that get it stand in braces."""
        return self._statement(f"{{{self.name.removeprefix(prefix)}}}", f"{{{self.label.removeprefix(prefix)}}}")

    def _statement(self, name: str, label: str) -> str:
        entity = f"(x:{label})" if self.on == "node" else f"()-[x:{label}]-()"
        properties = ", ".join(f"x.{quoted(p)}" for p in self.properties)
        if self.unique:
            return f"CREATE CONSTRAINT {name} IF NOT EXISTS FOR {entity} REQUIRE ({properties}) IS UNIQUE"
        return f"CREATE INDEX {name} IF NOT EXISTS FOR {entity} ON ({properties})"


def wanted(prefix: str, collections: Iterable[Collection]) -> list[Rule]:
    """The rules of these collections, each once, constraints first: an index beside an equal constraint is refused."""
    sources = [Source(prefix, collection) for collection in collections]
    _require_own_labels(sources)
    rules = dict.fromkeys(rule for source in sources for rule in _rules(source))
    constraints = [rule for rule in rules if rule.unique]
    covered = {(rule.on, rule.label, rule.properties) for rule in constraints}
    return constraints + [rule for rule in rules if not rule.unique and (rule.on, rule.label, rule.properties) not in covered]


def _require_own_labels(sources: Sequence[Source]) -> None:
    """A managed relationship makes nodes that have nothing but an id; in a collection with the same label they would be rows.

    Not in one whose own condition (``where``) leaves them out, and whose key is that id.
    """
    ends: dict[str, tuple[str, str]] = {}
    for source in sources:
        if source.edge is None:
            continue
        start, end = source.edge.start_property, source.edge.end_property
        for which, labels, id_ in (("start", source.start_labels, start), ("end", source.end_labels, end)):
            if len(labels) != 1:
                raise ValueError(
                    f"collection {source.collection.name}: expected one label of its {which}, for a migration makes that end's property"
                    f" unique; got {' or '.join(labels) or 'none'}"
                )
            ends[labels[0]] = (source.collection.name, id_)
    for source in sources:
        if source.edge is not None or source.label not in ends:
            continue
        collection, (other, id_) = source.collection, ends[source.label]
        if collection.where is None or tuple(map(source.path, collection.key)) != (id_,):
            raise ValueError(
                f"collection {collection.name}: its label {source.label} is that of nodes of {other}, expected one of its own, or a where "
                f"that leaves out nodes with an {id_} alone, and {id_} as its key"
            )


def _rules(source: Source) -> Iterable[Rule]:
    collection = source.collection
    on: Literal["node", "relationship"] = "node"
    key = tuple(map(source.path, collection.key))
    if source.edge is None:
        yield Rule(True, on, source.label, key)
    else:
        yield Rule(True, on, source.start_labels[0], (source.edge.start_property,))
        yield Rule(True, on, source.end_labels[0], (source.edge.end_property,))
        on = "relationship"
        if source.own_key and all(map(source.is_property, collection.key)):
            yield Rule(True, on, source.label, key)
    for index in collection.indexes:
        # A relationship is found through its nodes, by either column: no index holds them, and none is missed.
        if all(source.is_property(name) for name in index.columns):
            yield Rule(index.unique, on, source.label, tuple(map(source.path, index.columns)))


def existing(shown: Sequence[Sequence[object]]) -> set[Rule]:
    """The rules that SHOW tells of."""
    return {
        Rule(bool(unique), "relationship" if relationship else "node", str(label), tuple(properties))  # type: ignore[arg-type]
        for unique, relationship, label, properties in shown
    }
