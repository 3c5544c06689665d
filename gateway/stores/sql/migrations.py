"""Make the tables of a SQL store: by its Alembic histories, or what is missing from the declarations.

Run on SQLAlchemy's own connection, in one transaction: a migration that fails leaves nothing behind, and processes that start
at the same time wait for each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError
from sqlalchemy.schema import CreateIndex, CreateTable

from gateway.errors import MigrationLocked, MigrationRefused
from gateway.stores.base import Collection
from gateway.stores.migrating import GATEWAY, GRAPH, Owner, State
from gateway.stores.sql.needs import Need, needs_of
from gateway.stores.sql.tables import tables

BASE = "base"

_LOCK = 7_411_802_367  # any number, the same for all gateways
_LOCK_NOT_AVAILABLE = "55P03"
_LINES = re.compile(r"\s*\n\s*")  # between the lines of a statement; what is quoted keeps its blanks

Missing = Need | sa.Table | sa.Index


def version_table(name: str, owner: Owner = GRAPH) -> str:
    """Return the table with an owner's revision of the store ``name``: several stores may share a database."""
    return f"crossgraph_version_{name}" if owner == GATEWAY else f"alembic_version_{name}"


def has_scripts(scripts: Path | None) -> bool:
    return scripts is not None and any(scripts.glob("*.py"))


# -------------------------------------------------------------------------------------------------------------- changes


def upgrade(connection: sa.Connection, name: str, scripts: Path, owner: Owner, lock_timeout_s: float) -> list[str]:
    """Run the scripts of the folder that were not run yet."""
    _wait_for_others(connection, name, lock_timeout_s)
    script = _script(scripts)
    return _run(connection, name, owner, script, lambda revision, _: script._upgrade_revs("head", revision))


def downgrade(connection: sa.Connection, name: str, scripts: Path, to: str | None, lock_timeout_s: float) -> list[str]:
    """Undo the graph's scripts down to the revision ``to``; None is one step."""
    _wait_for_others(connection, name, lock_timeout_s)
    script = _script(scripts)
    applied = _applied(connection, name, GRAPH, script)
    if not applied:
        return []
    target = to or (applied[-2].revision if len(applied) > 1 else BASE)
    if target != BASE and target not in [its.revision for its in applied]:
        known = ", ".join([BASE, *(its.revision for its in applied)])
        raise MigrationRefused(f"store {name}: expected one of the revisions that were run ({known}), got {target!r}")
    return _run(connection, name, GRAPH, script, lambda revision, _: script._downgrade_revs(target, revision), undone="undid ")


def create_missing(connection: sa.Connection, name: str, collections: Sequence[Collection], lock_timeout_s: float) -> list[str]:
    """Create the tables and indexes that are declared and not there, with the schemas and types that they need."""
    kind = connection.dialect.name
    if not missing(connection, kind, collections):
        return []
    _wait_for_others(connection, name, lock_timeout_s)
    done: list[str] = []
    for item in missing(connection, kind, collections):
        if isinstance(item, Need):
            connection.execute(item.statement)
            done.append(f"{name}: created {item}")
        elif isinstance(item, sa.Table):
            item.create(connection)
            done.append(f"{name}: created table {item.fullname}")
        else:
            item.create(connection)
            done.append(f"{name}: created index {item.name}")
    return done


# ---------------------------------------------------------------------------------------------------------------- looks


def missing(connection: sa.Connection | None, kind: str, collections: Sequence[Collection]) -> list[Missing]:
    """Return the tables that are not there, after what they need, and the indexes that those that are do not have.

    ``kind`` is that of the database; without a connection there is none yet.
    """
    declared = tables(collections, kind).sorted_tables
    if connection is None:
        return list(declared)
    new: list[sa.Table] = []
    found: list[Missing] = []
    inspector = sa.inspect(connection)
    there = {schema: set(inspector.get_table_names(schema=schema)) for schema in {table.schema for table in declared}}
    for table in declared:
        if table.name not in there[table.schema]:
            new.append(table)
            found.append(table)
            continue
        indexes = {index["name"] for index in inspector.get_indexes(table.name, schema=table.schema)}
        found += sorted((index for index in table.indexes if index.name not in indexes), key=lambda index: str(index.name))
    if kind != "postgresql":
        return found
    needs = needs_of((column for table in new for column in table.columns), (table.schema for table in new))
    return [*(need for need in needs if not need.is_there(connection)), *found]


def statements(dialect: sa.Dialect, items: Sequence[Missing]) -> list[str]:
    """Return the statements that make these, each in a line."""
    made: list[Any] = []
    for item in items:
        if isinstance(item, Need):
            made.append(item.statement)
        elif isinstance(item, sa.Table):
            made += [CreateTable(item), *map(CreateIndex, sorted(item.indexes, key=lambda index: str(index.name)))]
        else:
            made.append(CreateIndex(item))
    return [_LINES.sub(" ", str(statement.compile(dialect=dialect)).strip()) for statement in made]


def state(connection: sa.Connection | None, name: str, scripts: Path, owner: Owner) -> State:
    """Return where a history stands; without a connection, where there is no database yet."""
    script = _script(scripts)
    applied = _applied(connection, name, owner, script) if connection is not None else []
    run = {its.revision for its in applied}
    waiting = [its for its in _in_order(script) if its.revision not in run]
    return State(owner, tuple(map(_told, applied)), tuple(map(_told, waiting)))


# -------------------------------------------------------------------------------------------------------------- Alembic


def _script(scripts: Path) -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.set_main_option("version_locations", str(scripts).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    return ScriptDirectory.from_config(config)


def _run(connection: sa.Connection, name: str, owner: Owner, script: ScriptDirectory, steps: Any, undone: str = "") -> list[str]:
    done: list[str] = []

    def note(ctx: Any, step: Any, heads: Any, run_args: Any) -> None:  # noqa: ARG001 - called by these names
        done.append(f"{name}: {undone}{step.up_revision.revision} {step.up_revision.doc}")

    # No env.py: this is what one would do, and there is nothing to configure.
    with _refused(name), EnvironmentContext(Config(), script, fn=steps) as environment:
        environment.configure(
            connection=connection, version_table=version_table(name, owner), on_version_apply=note, transactional_ddl=True
        )
        environment.run_migrations()
    return done


def _applied(connection: sa.Connection, name: str, owner: Owner, script: ScriptDirectory) -> list[Any]:
    """Return the revisions that were run, the first of them first."""
    context = MigrationContext.configure(connection, opts={"version_table": version_table(name, owner)})
    with _refused(name):
        heads = context.get_current_heads()
        return list(script.iterate_revisions(heads, BASE))[::-1] if heads else []


def _in_order(script: ScriptDirectory) -> list[Any]:
    return list(script.walk_revisions())[::-1]


def _told(revision: Any) -> str:
    return f"{revision.revision} {revision.doc}"


@contextmanager
def _refused(name: str) -> Iterator[None]:
    """Say in our words what Alembic finds wrong: a revision without its file, two heads."""
    try:
        yield
    except (CommandError, RevisionError) as error:
        raise MigrationRefused(f"store {name}: {str(error).rstrip('.')}") from error


# ----------------------------------------------------------------------------------------------------------------- lock


def _wait_for_others(connection: sa.Connection, name: str, timeout_s: float) -> None:
    """Lock out other migrations until the end of the transaction. SQLite's transaction has done so already."""
    if connection.dialect.name != "postgresql":
        return
    connection.execute(sa.text("SELECT set_config('lock_timeout', :time, true)"), {"time": f"{max(timeout_s * 1000, 1):.0f}"})
    try:
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    except sa.exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise locked(name, timeout_s) from error
    connection.execute(sa.text("SELECT set_config('lock_timeout', '0', true)"))


def is_locked(connection: sa.Connection) -> bool:
    """Return whether somebody holds the lock of PostgreSQL's migrations, which is one of this database."""
    held = sa.text(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND classid::bigint = :high AND objid::bigint = :low)"
    )
    return bool(connection.execute(held, {"high": _LOCK >> 32, "low": _LOCK & 0xFFFF_FFFF}).scalar_one())


def locked(name: str, timeout_s: float) -> MigrationLocked:
    return MigrationLocked(f"store {name}: another process migrates it; waited {timeout_s:g} s (migrate_lock_timeout_s)")
