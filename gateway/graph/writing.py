"""How a schema field says what it writes: mutation(), insert(), update(), delete(), upsert(), with written() and version() below them.

    @strawberry.type
    class Mutation:
        create_track: Track | None = insert(tracks, fields=("name", "price"))
        rename: Track | None = mutation(rename, tracks, description="…")

Each runs in a transaction of the store of what it writes: it happens as a whole, or not at all. docs/writes.md says what is promised.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import strawberry

from gateway.engine.inputs import Reference
from gateway.engine.sources.mutation import FOUND, TRANSACTION, Mutation, MutationFunction
from gateway.engine.sources.version import Version
from gateway.engine.sources.written import Written
from gateway.errors import Conflict, Contended, NotFound
from gateway.graph.fields import _argument, _argument_type, _field, _require_collection
from gateway.graph.inputs import COLUMN, DECLARED, EXPECTED_VERSION, input_of
from gateway.stores.base import Collection, Key, Type, Value
from gateway.stores.types import KeyForm, canonical_key
from gateway.writes.declarations import State
from gateway.writes.transaction import Transaction

Prepare = Callable[[Any, dict[str, Value]], Awaitable[Mapping[str, Value]]]
Hold = Callable[[Any, Transaction, Mapping[str, Value]], Awaitable[None]]

_TOLD = {"id": "Its id.", "input": "What is written."}

# --------------------------------------------------------------------------------------------------------------- fields


def mutation(
    function: MutationFunction,
    collection: Collection | None = None,
    *,
    writes: Sequence[Collection] = (),
    refers: Mapping[str, str] | None = None,
    before: MutationFunction | None = None,
    again: MutationFunction | None = None,
    arguments: Mapping[str, str] | None = None,
    semantic_non_null: bool = True,
    description: str | None = None,
) -> Any:
    """Return a root field that writes: what ``function(ctx, tx, **arguments)`` returns, as rows of ``collection``.

    The parameters behind ``ctx`` and ``tx`` are the field's arguments, by their annotations; ``tx`` is a transaction of the store of the
    first of ``writes``, which are by default ``collection`` alone. A function without ``tx`` opens its own (``ctx.transaction``).
    ``refers`` says which type an argument of type ID is of; that of ``id`` is the collection's. ``arguments`` describes them.
    ``before`` and ``again``: see ``engine/sources/mutation.py``, or docs/writes.md.
    """
    if collection is not None:
        _require_collection("mutation", collection)
    if not inspect.isfunction(function):
        told = "a field, as in the body of a class the name means the field of that name above" if callable(function) else repr(function)
        raise TypeError(f"mutation(): expected a function, got {told}")
    parameters = [p for p in list(inspect.signature(function).parameters.values())[1:] if p.name not in (TRANSACTION, FOUND)]
    parameters = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    bare = [p.name for p in parameters if p.annotation is p.empty]
    if bare:
        raise TypeError(f"mutation({function.__name__}): expected a type for each argument, got none for {', '.join(bare)}")
    described = {**_TOLD, **(arguments or {})}
    made = [_argument(p.name, _annotation(function, p), described.get(p.name), p.default) for p in parameters]
    references = {name: Reference(type_name) for name, type_name in (refers or {}).items()}
    if collection is not None and collection.type_name is not None and any(p.name == "id" for p in parameters):
        references.setdefault("id", _reference(collection))
    its = tuple(writes) or (() if collection is None else (collection,))
    source = Mutation(function, collection, its, references, semantic_non_null, before, again)
    return _field(source, description, made)


def written(collection: Collection, name: str, *, description: str | None = None) -> Any:
    """Return a field of a payload: the row of ``collection``, or the rows, that the mutation gave under ``name``."""
    _require_collection("written", collection)
    return _field(Written(collection, name), description)


def version(*, description: str | None = None) -> Any:
    """Return a field for how often the row was written: what an update may expect, so that it overwrites nobody's change unseen."""
    return _field(Version(), description)


def insert(
    collection: Collection,
    *,
    input: Any = None,
    fields: Iterable[str] | None = None,
    optional: Iterable[str] = (),
    prepare: Prepare | None = None,
    hold: Hold | None = None,
    description: str | None = None,
) -> Any:
    """Return a root field that inserts a row: of an ``input``, or of one that is made of the ``fields`` (``input_of``).

    The database gives the columns that are left out. ``prepare(ctx, values)`` returns the values that are written, by column; a
    CallerError that it raises refuses the mutation. ``hold(ctx, tx, values)`` is asked in the transaction, before the row is inserted: to
    have rows that it refers to stay as they are until then (``tx.get``), where they are in the same database.
    """
    _require_collection("insert", collection)
    kind = input or input_of(collection, name=f"Insert{_noun(collection)}Input", fields=fields, optional=optional)

    async def inserted(ctx: Any, tx: Transaction, found: Any, input: Any) -> State:  # noqa: ARG001
        if hold is not None:
            await hold(ctx, tx, found)
        return await tx.insert(collection, _whole(collection, found))

    async def before(ctx: Any, input: Any) -> Mapping[str, Value]:
        values = values_of(input)
        return values if prepare is None else await prepare(ctx, values)

    return _declared("insert", inserted, collection, {"input": kind}, before, description)


def update(
    collection: Collection,
    *,
    input: Any = None,
    fields: Iterable[str] | None = None,
    prepare: Prepare | None = None,
    description: str | None = None,
) -> Any:
    """Return a root field that sets what is given of one row, and keeps the rest. NOT_FOUND where there is no such row.

    ``prepare`` as that of ``insert``; it has what was given, which may be nothing. Nothing to set changes nothing. Inputs of managed
    collections have ``expectedVersion``: CONFLICT where the row has another.
    """
    _require_collection("update", collection)
    kind = input or input_of(
        collection,
        name=f"Update{_noun(collection)}Input",
        fields=[name for name in collection.names if name not in collection.key] if fields is None else fields,
        optional=True,
        versioned=collection.managed,
    )

    async def updated(ctx: Any, tx: Transaction, found: Any, id: Any, input: Any) -> State:  # noqa: ARG001
        key = _key(collection, id)
        expected = getattr(input, EXPECTED_VERSION, None)
        row = await tx.update(collection, key, found, expected_version=None if expected is strawberry.UNSET else expected)
        return _there(collection, row, key)

    async def before(ctx: Any, id: Any, input: Any) -> Mapping[str, Value]:  # noqa: ARG001
        values = values_of(input)
        return values if prepare is None else await prepare(ctx, values)

    return _declared("update", updated, collection, {"id": _id_of(collection), "input": kind}, before, description)


def delete(collection: Collection, *, description: str | None = None) -> Any:
    """Return a root field that deletes one row. Its type is ID, or that of the row, as it was. NOT_FOUND where there is no such row."""
    _require_collection("delete", collection)

    async def deleted(ctx: Any, tx: Transaction, id: Any) -> State:  # noqa: ARG001
        key = _key(collection, id)
        return _there(collection, await tx.delete(collection, key), key)

    return _declared("delete", deleted, collection, {"id": _id_of(collection)}, None, description)


def upsert(
    collection: Collection,
    *,
    input: Any = None,
    fields: Iterable[str] | None = None,
    optional: Iterable[str] = (),
    prepare: Prepare | None = None,
    description: str | None = None,
) -> Any:
    """Return a root field that inserts a row, or sets what is given of the one that has its key, which the input has."""
    _require_collection("upsert", collection)
    kind = input or input_of(collection, name=f"Upsert{_noun(collection)}Input", fields=fields, optional=optional)

    async def upserted(ctx: Any, tx: Transaction, found: Any, input: Any) -> State:  # noqa: ARG001
        key = KeyForm(collection.columns_of(collection.key_name)).text([found[name] for name in collection.key])
        assert key is not None, "the input has the key"
        if await tx.get(collection, key) is not None:
            row = await tx.update(collection, key, {name: value for name, value in found.items() if name not in collection.key})
            return _there(collection, row, key)
        try:
            return await tx.insert(collection, _whole(collection, found))
        except Conflict as exc:
            if set(exc.columns) == set(collection.key):  # somebody was quicker: it is there now
                raise Contended(collection.store) from exc
            raise

    async def before(ctx: Any, input: Any) -> Mapping[str, Value]:
        values = values_of(input)
        return values if prepare is None else await prepare(ctx, values)

    return _declared("upsert", upserted, collection, {"input": kind}, before, description)


# ----------------------------------------------------------------------------------------------------------- for authors


def values_of(input: Any) -> dict[str, Value]:
    """Return what was given of an input, by column, as wire values: that of ``input_of``, or a class made of one."""
    found: dict[str, Value] = {}
    for its in input.__strawberry_definition__.fields:
        column = its.metadata.get(DECLARED)
        value = getattr(input, its.python_name)
        if column is not None and value is not strawberry.UNSET:
            found[its.metadata[COLUMN]] = value
    return found


# -------------------------------------------------------------------------------------------------------------- helpers


def _declared(
    does: str,
    function: MutationFunction,
    collection: Collection,
    arguments: Mapping[str, Any],
    before: MutationFunction | None,
    description: str | None,
) -> Any:
    function.__name__ = f"{does}({collection.name})"
    made = [_argument(name, annotation, _TOLD[name]) for name, annotation in arguments.items()]
    references = {"id": _reference(collection)} if "id" in arguments and arguments["id"] is strawberry.ID else {}
    return _field(Mutation(function, collection, (collection,), references, before=before, does=does), description, made)


def _annotation(function: Any, parameter: inspect.Parameter) -> Any:
    """Return the type of an argument; those of ``ctx`` and ``tx`` may have names that are there for type checkers alone."""
    annotation = parameter.annotation
    return eval(annotation, function.__globals__) if isinstance(annotation, str) else annotation  # noqa: S307 - the author's own text


def _id_of(collection: Collection) -> Any:
    return strawberry.ID if collection.type_name is not None else _argument_type(collection, collection.key_name)


def _reference(collection: Collection) -> Reference:
    columns = collection.columns_of(collection.key_name)
    assert collection.type_name is not None
    return Reference(collection.type_name, () if len(columns) == 1 and columns[0].type is Type.TEXT else columns)


def _key(collection: Collection, id: Any) -> Key:
    """Return a row's key; NotFound for what is the key of no row that there can be."""
    key = canonical_key(collection.columns_of(collection.key_name), str(id))
    if key is None:
        raise missing(collection, str(id))
    return key


def _whole(collection: Collection, values: Mapping[str, Value]) -> Mapping[str, Value]:
    """Return a row to insert: of a managed collection with the defaults that it declares, which its database does not know."""
    if not collection.managed:
        return values
    defaults = {c.name: list(c.default) if c.many else c.default for c in collection.columns if c.default is not None}
    return {**defaults, **values}


def _there(collection: Collection, row: State | None, key: Key) -> State:
    if row is None:
        raise missing(collection, key)
    return row


def missing(collection: Collection, key: Key, argument: str = "id") -> NotFound:
    """Return the error of a row that is not there; ``argument`` named it."""
    return NotFound(f"There is no {_noun(collection)} {key[:60]!r}.", argument=argument, field=argument.rpartition(".")[2])


def _noun(collection: Collection) -> str:
    return collection.type_name or "".join(part.capitalize() for part in collection.name.split("_"))
