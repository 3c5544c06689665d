"""Write the Alembic script that takes a SQL store to what its managed collections declare. It adds, and never drops or changes.

Where there is no script yet, but tables that were made from the declarations, there are two: the first makes what is there, in a new
store, and does nothing in this one (``if_not_exists``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import _repr_type
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from gateway.errors import MigrationRefused
from gateway.stores.base import Collection
from gateway.stores.migrating import GRAPH, Script, next_number, slug
from gateway.stores.sql import tables as types
from gateway.stores.sql.migrations import has_scripts, state, version_table
from gateway.stores.sql.needs import Need, needs_of
from gateway.stores.sql.tables import Named, place_of, tables

_NAMES: dict[int, str] = {}  # the first of each type's
for _name, _value in vars(types).items():
    if isinstance(_value, TypeEngine) and not _name.startswith("_"):
        _NAMES.setdefault(id(_value), _name)

_Change = ops.CreateTableOp | ops.CreateIndexOp | ops.AddColumnOp


def drafted(
    connection: sa.Connection | None, dialect: sa.Dialect, name: str, collections: Sequence[Collection], scripts: Path, text: str
) -> list[Script]:
    """Return the scripts; ``connection`` is None where there is no database yet."""
    before = None
    if has_scripts(scripts):
        known = state(connection, name, scripts, GRAPH)
        if known.waiting:
            raise MigrationRefused(f"store {name}: expected all steps to be run before another is made, {', '.join(known.waiting)} waits")
        before = known.applied[-1].partition(" ")[0] if known.applied else None
    number = next_number(scripts)
    metadata = tables([_by_default(connection, each) for each in collections], dialect.name)
    changes = list(_changes(connection, name, metadata))
    drafts: list[tuple[str, list[_Change]]] = []
    if before is None and connection is not None:
        there = list(_already_there(changes, metadata))
        if there:
            drafts.append(("what was there", there))
    if changes:
        drafts.append((text, changes))
    written = []
    for place, (title, its) in enumerate(drafts):
        own = f"{int(number) + place:04}"
        written.append(Script(f"{own}_{slug(title)}.py", _script(title, own, before, its, dialect), tuple(_remarks(its))))
        before = own
    return written


def _by_default(connection: sa.Connection | None, collection: Collection) -> Collection:
    """Return a collection whose schema is the default one as one without a schema, as what is there is told."""
    default = connection.dialect.default_schema_name if connection is not None else None
    schema, name = place_of(collection, "" if connection is None else connection.dialect.name)
    return replace(collection, table=name) if schema is not None and schema == default else collection


def _changes(connection: sa.Connection | None, name: str, metadata: sa.MetaData) -> Iterator[_Change]:
    """Return what is missing, tables first."""
    if connection is None:
        yield from (change for table in metadata.sorted_tables for change in _making(table))
        return
    own = {(table.schema, table.name) for table in metadata.tables.values()}

    def is_own(found: Any, its_name: str | None, what: str, is_reflected: bool, compared: Any) -> bool:  # noqa: ARG001 - Alembic's
        table = found if what == "table" else getattr(found, "table", None)
        return table is None or (table.schema, table.name) in own

    context = MigrationContext.configure(
        connection,
        opts={
            "version_table": version_table(name),
            "include_object": is_own,
            "include_schemas": any(table.schema is not None for table in metadata.tables.values()),
            "compare_type": False,
        },
    )
    upgrade = produce_migrations(context, metadata).upgrade_ops
    assert upgrade is not None
    yield from _added(upgrade.ops)


def _added(found: Iterable[Any]) -> Iterator[_Change]:
    for change in found:
        if isinstance(change, ops.ModifyTableOps):
            yield from _added(change.ops)
        elif isinstance(change, _Change):
            yield change


def _making(table: sa.Table, *, without: frozenset[str] = frozenset(), if_not_exists: bool = False) -> Iterator[_Change]:
    """Return the operations that make a table, without some of its columns and the indexes that hold these."""
    made = ops.CreateTableOp.from_table(table)
    made.columns = [item for item in made.columns if not (isinstance(item, sa.Column) and item.name in without)]
    made.if_not_exists = if_not_exists or None
    made._constraints_included = True
    yield made
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        if not {column.name for column in index.columns} & without:
            created = ops.CreateIndexOp.from_index(index)
            created.if_not_exists = if_not_exists or None
            yield created


def _already_there(changes: Sequence[_Change], metadata: sa.MetaData) -> Iterator[_Change]:
    """Return what makes the declared tables as they are there: without the columns and indexes that ``changes`` add."""
    new = {(its.schema, its.table_name) for its in changes if isinstance(its, ops.CreateTableOp)}
    indexes = {its.index_name for its in changes if isinstance(its, ops.CreateIndexOp)}
    for table in metadata.sorted_tables:
        if (table.schema, table.name) in new:
            continue
        adding = [its for its in changes if isinstance(its, ops.AddColumnOp) and (its.schema, its.table_name) == (table.schema, table.name)]
        added = frozenset(its.column.name for its in adding)
        for change in _making(table, without=added, if_not_exists=True):
            if not (isinstance(change, ops.CreateIndexOp) and change.index_name in indexes):
                yield change


def _remarks(changes: Iterable[_Change]) -> Iterator[str]:
    for change in changes:
        if isinstance(change, ops.AddColumnOp) and not change.column.nullable and change.column.server_default is None:
            yield (
                f"{change.table_name}.{change.column.name} is never null: rows that are there need a value,"
                " so give the column a server_default, or add it nullable and fill it"
            )


def _needs(changes: Iterable[_Change]) -> list[Need]:
    """Return what must be there before the changes. It stays when they are undone, as others may have come to use it."""
    columns: list[sa.Column[Any]] = []
    schemas: list[str | None] = []
    for change in changes:
        if isinstance(change, ops.CreateTableOp):
            columns += [item for item in change.columns if isinstance(item, sa.Column)]
            schemas.append(change.schema)
        elif isinstance(change, ops.AddColumnOp):
            columns.append(change.column)
    return needs_of(columns, schemas)


# ------------------------------------------------------------------------------------------------------------------- text

_SCRIPT = '''"""{text}"""

import sqlalchemy as sa
from alembic import op
{imports}
revision = "{revision}"
down_revision = {before}
branch_labels = None
depends_on = None


def upgrade() -> None:
    {upgrade}


def downgrade() -> None:
    {downgrade}
'''


def _script(text: str, revision: str, before: str | None, changes: Sequence[_Change], dialect: sa.Dialect) -> str:
    names: set[str] = set()
    needs = _needs(changes)
    imports: set[str] = set()

    def rendered(what: str, item: Any, autogenerating: AutogenContext) -> str | Literal[False]:
        imports.update(autogenerating.imports)
        autogenerating.imports = imports  # what any part of the script needs
        if what != "type":
            return False
        if isinstance(item, postgresql.ENUM):  # made before the table, once for all that have it
            imports.add("from sqlalchemy.dialects import postgresql")
            schema = "" if item.schema is None else f", schema={item.schema!r}"
            return f"postgresql.ENUM({', '.join(map(repr, item.enums))}, name={item.name!r}{schema}, create_type=False)"
        if isinstance(item, postgresql.ARRAY):
            imports.add("from sqlalchemy.dialects import postgresql")
            return f"postgresql.ARRAY({_repr_type(item.item_type, autogenerating)})"
        if isinstance(item, Named):
            names.add("Named")
            return f"Named({item.name!r})"
        if id(item) not in _NAMES:
            return False
        names.add(_NAMES[id(item)])
        return _NAMES[id(item)]

    context = MigrationContext.configure(dialect_name=dialect.name)

    def code(its: Sequence[Any]) -> str:
        found: str = render_python_code(ops.UpgradeOps(ops=list(its)), render_item=rendered, migration_context=context)
        lines = [line for line in found.splitlines() if not line.strip().startswith("#")]
        return "\n".join(lines).strip() or "pass"

    def making(its: Sequence[Need]) -> list[str]:
        return [f"ensure_{need.what}(op.get_bind(), {', '.join(map(repr, (need.name, *need.values)))})" for need in its]

    upgrade, downgrade = code(changes), code([change.reverse() for change in reversed(changes)])
    lines = sorted(imports)
    if needs or names:
        lines.append("")
    if needs:
        lines.append(f"from gateway.stores.sql.needs import {', '.join(sorted({f'ensure_{need.what}' for need in needs}))}")
    if names:
        lines.append(f"from gateway.stores.sql.tables import {', '.join(sorted(names))}")
    return _SCRIPT.format(
        text=text.replace('"', "'").replace("\\", "/"),
        imports="".join(f"{line}\n" for line in lines),
        revision=revision,
        before=f'"{before}"' if before else None,
        upgrade="\n    ".join([*making(needs), upgrade]),
        downgrade=downgrade,
    )
