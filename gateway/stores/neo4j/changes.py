"""Write Cypher for rows that are changed one by one: inserted, updated, removed, locked. Pure.

A transaction reads what is committed at the moment of each read. So what is compared, or shown as it was before, is read behind a lock:
of the node, or of the relationship, which whoever writes a property of it, or deletes it, waits for until the transaction ends. Of two
that make or delete a relationship between the same nodes the one waits for the other at these, in the order of their identities.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.caches import remembered
from gateway.errors import BadUserInput
from gateway.stores.base import And, Collection, Compare, Insert, Key, Lock, Remove, Row, Update, Where
from gateway.stores.neo4j.conditions import Parameters, conditions, split
from gateway.stores.neo4j.forms import form_of
from gateway.stores.neo4j.sources import ELEMENT_ID, Source, node, plain, quoted
from gateway.stores.neo4j.ways import TEXTS_KEPT, TEXTS_LIMIT_BYTES, Way, by_order, is_key, matching, sent_key, way_to
from gateway.stores.types import NO_VALUE, key_value, split_key

EXPECTED = "x"  # before the names of the parameters that are expected


def locked(variable: str) -> str:
    """The clauses that take the lock of a node or relationship. They leave nothing on it."""
    return f"SET {variable}._crossgraph_lock = true REMOVE {variable}._crossgraph_lock"


def _both_locked(s: str, e: str) -> str:
    """The clause that takes the locks of two nodes."""
    in_order = f"CASE WHEN elementId({s}) < elementId({e}) THEN [{s}, {e}] ELSE [{e}, {s}] END"
    return f"FOREACH (_n IN {in_order} | {locked('_n')})"


# ---------------------------------------------------------------------------------------------------------------- insert


def require_insertable(insert: Insert) -> None:
    """BadUserInput where a row has no value for a column that must have one, or one for a column that the database gives."""
    collection = insert.collection
    missing = [name for name in _required(collection) if name not in insert.columns]
    if missing and insert.rows:
        raise _no_value(collection, missing[0])
    for place, name in enumerate(insert.columns):
        if collection[name].path == ELEMENT_ID:
            raise _given(collection, name)
        if name in _required(collection) and any(row[place] is None for row in insert.rows):
            raise _no_value(collection, name)


def _required(collection: Collection) -> list[str]:
    return [c.name for c in collection.columns if (not c.nullable or c.name in collection.key) and c.path != ELEMENT_ID]


def _no_value(collection: Collection, column: str) -> BadUserInput:
    return BadUserInput(f"Column {column} of {collection.name} must have a value.")


def _given(collection: Collection, column: str) -> BadUserInput:
    return BadUserInput(f"Column {column} of {collection.name} is given by the database.")


def is_one_statement(source: Source) -> bool:
    """Whether rows are inserted by one statement, which the database itself refuses where there is a row of that key: by a constraint."""
    return source.edge is None and (source.collection.managed or _has_given_key(source.collection))


def _has_given_key(collection: Collection) -> bool:
    return any(collection[name].path == ELEMENT_ID for name in collection.key)


def inserted_rows(insert: Insert) -> tuple[list[list[Any]], list[int]]:
    """Rows as they are bound, in the order of their keys, in which two writers lock; and where each of them stood."""
    collection = insert.collection
    stored = [form_of(collection[name], False).stored for name in insert.columns]
    places = [insert.columns.index(name) for name in collection.key if name in insert.columns]
    order = sorted(range(len(insert.rows)), key=lambda i: [str(insert.rows[i][place]) for place in places])
    return [[store(value) for store, value in zip(stored, insert.rows[i], strict=True)] for i in order], order


@remembered(TEXTS_KEPT, TEXTS_LIMIT_BYTES)
def insert_text(source: Source, steady: Source, columns: tuple[str, ...]) -> str:
    """Answers [[is_taken, row], …] for rows bound as ``$rows``. Where a relationship is taken another is made: nothing may stay."""
    collection = source.collection
    values = _values(source, columns)
    shown = steady.shown_list(collection.names)
    edge = source.edge
    ends = () if edge is None else (edge.start_column, edge.end_column)
    properties = _map(collection, {name: value for name, value in values.items() if name not in ends})
    if edge is None:
        return f"UNWIND $rows AS row CREATE (n:{quoted(source.label)} {properties}) RETURN collect([false, {shown}])"
    type_ = quoted(source.label)
    taken = "false" if source.own_key else f"EXISTS {{ (s)-[:{type_}]->(e) }}"
    return (
        f"UNWIND $rows AS row {_ends(source, ('s', 'e'), values[edge.start_column], values[edge.end_column], 'row')}"
        " WITH collect([row, s, e]) AS found"
        f" CALL (found) {{ UNWIND found AS one UNWIND [one[1], one[2]] AS n WITH DISTINCT n ORDER BY elementId(n) {locked('n')} }}"
        " UNWIND found AS one WITH one[0] AS row, one[1] AS s, one[2] AS e"
        f" WITH row, s, e, {taken} AS is_taken CREATE (s)-[r:{type_} {properties}]->(e) RETURN collect([is_taken, {shown}])"
    )


@remembered(TEXTS_KEPT, TEXTS_LIMIT_BYTES)
def together_text(parts: tuple[tuple[Source, tuple[str, ...]], ...]) -> str:
    """For rows of nodes bound as ``$rows0``, ``$rows1``, …; answers nothing."""
    nodes = [f"(n:{quoted(source.label)} {_map(source.collection, _values(source, columns))})" for source, columns in parts]
    return " ".join([f"CALL () {{ UNWIND $rows{number} AS row CREATE {one} }}" for number, one in enumerate(nodes)])


def _values(source: Source, columns: tuple[str, ...]) -> dict[str, str]:
    return {name: form_of(source.collection[name], False).bound(f"row[{place}]") for place, name in enumerate(columns)}


def _map(collection: Collection, values: dict[str, str]) -> str:
    return "{" + ", ".join([f"{quoted(collection[name].path)}: {value}" for name, value in values.items()]) + "}"


def _ends(source: Source, variables: tuple[str, str], start: str, end: str, kept: str) -> str:
    """The clauses that find the nodes of a relationship. Those of a managed collection are made where they are missing; without one of
    its nodes no other can be made, and the statement fails as a whole.
    """
    edge = source.relationship
    s, e = variables
    if source.collection.managed:
        [start_label], [end_label] = source.start_labels, source.end_labels
        nodes = ((s, start_label, edge.start_property, start), (e, end_label, edge.end_property, end))
        return " ".join([f"MERGE ({v}:{quoted(label)} {{{plain(name)}: {value}}})" for v, label, name, value in nodes])
    return (
        f"OPTIONAL MATCH {node(s, source.start_labels)} WHERE {s}.{plain(edge.start_property)} = {start} WITH {kept}, {s}"
        f" OPTIONAL MATCH {node(e, source.end_labels)} WHERE {e}.{plain(edge.end_property)} = {end}"
    )


def is_compared(source: Source) -> bool:
    """Whether no constraint of ours says that a key is taken, nor the pair of nodes, so that it has to be looked for."""
    if source.collection.managed or _has_given_key(source.collection):
        return False
    return source.edge is None or source.own_key


@remembered(TEXTS_KEPT, TEXTS_LIMIT_BYTES)
def taken_text(source: Source) -> str:
    """Answers the number of rows that have one of the keys of ``$rows``."""
    collection = source.collection
    return f"UNWIND $keys AS k {_by_key(source, [f'k[{place}]' for place in range(len(collection.key))])} RETURN count(*)"


def taken_keys(source: Source, insert: Insert) -> list[list[Any]]:
    collection = source.collection
    places = [insert.columns.index(name) for name in collection.key]
    return [[sent_key(source, name, row[place]) for name, place in zip(collection.key, places, strict=True)] for row in insert.rows]


def is_twice(insert: Insert) -> bool:
    """Whether two rows of it have the same key."""
    if any(name not in insert.columns for name in insert.collection.key):
        return False
    places = [insert.columns.index(name) for name in insert.collection.key]
    return len({tuple([str(row[place]) for place in places]) for row in insert.rows}) < len(insert.rows)


# ---------------------------------------------------------------------------------------------------- update and remove


def require_changeable(update: Update) -> None:
    """BadUserInput where a column must have a value and is to have none, or where it is the database's own."""
    collection = update.collection
    if sets_ends(update) and _has_given_key(collection):
        raise BadUserInput(f"The ends of a row of {collection.name} cannot be changed: it would be another one, with another key.")
    for name, value in update.values:
        if collection[name].path == ELEMENT_ID:
            raise _given(collection, name)
        if value is None and name in _required(collection):
            raise _no_value(collection, name)


def sets_ends(update: Update) -> bool:
    """Whether it sets a column that is an end of a relationship, which then may have to be made anew."""
    edge = update.collection.relationship
    return edge is not None and any(name in (edge.start_column, edge.end_column) for name, _ in update.values)


def update_statement(source: Source, steady: Source, update: Update) -> tuple[str, Parameters] | None:
    """Answers [before, after, is_done], or no record. The ends of a relationship stay as they are: ``move_statement``."""
    edge = source.edge
    ends = () if edge is None else (edge.start_column, edge.end_column)
    values = [(name, value) for name, value in update.values if name not in ends]
    names = tuple([name for name, _ in values])
    found = _asked(source, steady, update)
    if found is None:
        return None
    where, expected, parameters = found
    parameters["values"] = [form_of(update.collection[name], False).stored(value) for name, value in values]
    return _update_text(source, steady, names, where, expected), parameters


def remove_statement(source: Source, steady: Source, remove: Remove) -> tuple[str, Parameters] | None:
    """Answers [before, null, is_done], or no record."""
    found = _asked(source, steady, remove)
    if found is None:
        return None
    where, expected, parameters = found
    return _remove_text(source, steady, where, expected), parameters


def _asked(source: Source, steady: Source, change: Update | Remove) -> tuple[Where | None, Where | None, Parameters] | None:
    key = bound_key(source, change.key)
    if key is None:
        return None
    where, parameters = split(steady, change.where)
    wanted = And(tuple([Compare(name, "eq", value) for name, value in change.expected])) if change.expected else None
    expected, its = split(steady, wanted, EXPECTED)
    return where, expected, {**parameters, **its, "key": key}


def bound_key(source: Source, key: Sequence[Key]) -> list[Any] | None:
    """The values of a key as they are bound; None where there can be no row of it."""
    names = source.collection.key
    values = [key_value(source.collection[name], text) for name, text in zip(names, key, strict=True)]
    return None if NO_VALUE in values else [sent_key(source, name, value) for name, value in zip(names, values, strict=True)]


@remembered(TEXTS_KEPT, TEXTS_LIMIT_BYTES)
def _update_text(source: Source, steady: Source, names: tuple[str, ...], where: Where | None, expected: Where | None) -> str:
    collection, entity = source.collection, _entity(source)
    values = {name: form_of(collection[name], False).bound(f"$values[{place}]") for place, name in enumerate(names)}
    put = f"FOREACH (_ IN CASE WHEN is_done THEN [1] ELSE [] END | SET {entity} += {_map(collection, values)})"
    shown = steady.shown_list(collection.names)
    return f"{_change(source, steady, where, expected, locked(entity))} {put} RETURN [before, CASE WHEN is_done THEN {shown} END, is_done]"


@remembered(TEXTS_KEPT, TEXTS_LIMIT_BYTES)
def _remove_text(source: Source, steady: Source, where: Where | None, expected: Where | None) -> str:
    entity = _entity(source)
    lock = locked(entity) if source.edge is None else f"{_both_locked('s', 'e')} {locked(entity)}"
    put = f"FOREACH (_ IN CASE WHEN is_done THEN [1] ELSE [] END | {'DETACH ' if source.edge is None else ''}DELETE {entity})"
    return f"{_change(source, steady, where, expected, lock)} {put} RETURN [before, null, is_done]"


def _change(source: Source, steady: Source, where: Where | None, expected: Where | None, lock: str) -> str:
    """The clauses that find and lock a row, and say what it is, as ``before``, and whether it is as expected, as ``is_done``."""
    variables = ", ".join(source.variables)
    is_there = " AND ".join([_is_there(source), *conditions(steady, where)])
    is_done = " AND ".join(conditions(steady, expected, EXPECTED)) or "true"
    return (
        f"{_by_key(source, [f'$key[{place}]' for place in range(len(source.collection.key))])} {lock} WITH {variables} WHERE {is_there}"
        f" WITH {variables}, {steady.shown_list(source.collection.names)} AS before, coalesce({is_done}, false) AS is_done"
    )


def _entity(source: Source) -> str:
    """The variable of what a row is."""
    return source.variables[0 if source.edge is None else 1]


def _is_there(source: Source) -> str:
    """That it was not deleted while its lock was waited for."""
    if source.edge is None:
        return f"n:{quoted(source.label)}"
    return f"EXISTS {{ (s)-[_r:{quoted(source.label)}]->(e) WHERE _r = r }}"


def _by_key(source: Source, values: Sequence[str]) -> str:
    """The clause that finds the rows of a key, by the index of it."""
    key = source.collection.key
    wanted = is_key(source, source.collection.key_name, values)
    if source.edge is None:
        return matching(source, wanted, way_to(source, source.collection.key_name, by_order(())))
    ends = (source.edge.start_column, source.edge.end_column)
    ways = [way_to(source, name, by_order(())) for name in key if name in ends]
    return matching(source, wanted, Way("".join(way.hint for way in ways)))


# ------------------------------------------------------------------------------------------------- moved relationships


def move_statement(moved: Source, update: Update, before: Row, after: Row) -> tuple[str, Parameters] | None:
    """Answers [is_taken, row], for a relationship that is to have other ends; None where they are the same.

    It is found between those of ``before``, with the key that it has now, of ``after``. ``moved`` is its collection's with the variables
    a, r and b: it is made anew.
    """
    collection, edge = moved.collection, moved.relationship
    names = collection.names
    changed = dict(update.values)
    ends = [changed.get(name, before[names.index(name)]) for name in (edge.start_column, edge.end_column)]
    if ends == [before[names.index(name)] for name in (edge.start_column, edge.end_column)]:
        return None
    key = [sent_key(moved, name, after[names.index(name)]) for name in collection.key]
    stored = [
        form_of(collection[name], False).stored(value) for name, value in zip((edge.start_column, edge.end_column), ends, strict=True)
    ]
    return _move_text(moved), {"key": key, "ends": stored}


@remembered(TEXTS_KEPT, TEXTS_LIMIT_BYTES)
def _move_text(moved: Source) -> str:
    collection, edge = moved.collection, moved.relationship
    found = type(moved)(moved.prefix, collection)
    start, end = (form_of(collection[n], False).bound(f"$ends[{i}]") for i, n in enumerate((edge.start_column, edge.end_column)))
    type_ = quoted(moved.label)
    taken = "false" if moved.own_key else f"EXISTS {{ (a)-[:{type_}]->(b) }}"
    return (
        f"{_by_key(found, [f'$key[{place}]' for place in range(len(collection.key))])} WITH r AS old"
        f" {_ends(moved, ('a', 'b'), start, end, 'old')} {_both_locked('a', 'b')}"
        f" WITH a, b, old, properties(old) AS kept, {taken} AS is_taken DELETE old"
        f" CREATE (a)-[r:{type_}]->(b) SET r = kept RETURN [is_taken, {moved.shown_list(collection.names)}]"
    )


# ------------------------------------------------------------------------------------------------------------------ lock


def lock_statement(source: Source, steady: Source, lock: Lock) -> tuple[str, Parameters]:
    """Answers [[key, row], …]."""
    where, parameters = split(steady, lock.where)
    keys = []
    for key in sorted(lock.keys):
        parts = (key,) if len(lock.collection.key) == 1 else split_key(key, len(lock.collection.key))
        bound = None if parts is None else bound_key(source, parts)
        if bound is not None:
            keys.append([key, *bound])
    return _lock_text(source, steady, where), {**parameters, "keys": keys}


@remembered(TEXTS_KEPT, TEXTS_LIMIT_BYTES)
def _lock_text(source: Source, steady: Source, where: Where | None) -> str:
    collection = source.collection
    is_there = " AND ".join([_is_there(source), *conditions(steady, where)])
    return (
        f"UNWIND $keys AS k {_by_key(source, [f'k[{place + 1}]' for place in range(len(collection.key))])} {locked(_entity(source))}"
        f" WITH k, {', '.join(source.variables)} WHERE {is_there} RETURN collect([k[0], {steady.shown_list(collection.names)}])"
    )
