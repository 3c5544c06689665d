"""Make the tables of a SQL store: by its Alembic history, or what is missing from the declarations. Returns what was done.

Run on SQLAlchemy's own connection, in one transaction: a migration that fails leaves nothing behind, and processes that start
at the same time wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

from gateway.stores.base import Collection
from gateway.stores.sql.tables import place_of, placed, tables

_LOCK = 7_411_802_367  # any number, the same for all gateways


def version_table(name: str) -> str:
    """Return the table with the revision of the store ``name``: several stores may share a database."""
    return f"alembic_version_{name}"


def upgrade(connection: sa.Connection, name: str, scripts: Path) -> list[str]:
    """Run the scripts of the folder that were not run yet."""
    done: list[str] = []
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.set_main_option("version_locations", str(scripts).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    script = ScriptDirectory.from_config(config)

    def steps(revision: Any, _context: Any) -> Any:
        return script._upgrade_revs("head", revision)

    def note(ctx: Any, step: Any, heads: Any, run_args: Any) -> None:  # noqa: ARG001 - called by these names
        done.append(f"{name}: {step.up_revision.revision} {step.up_revision.doc}")

    _wait_for_others(connection)
    # No env.py: this is what one would do, and there is nothing to configure.
    with EnvironmentContext(config, script, fn=steps) as environment:
        environment.configure(connection=connection, version_table=version_table(name), on_version_apply=note, transactional_ddl=True)
        environment.run_migrations()
    return done


def create_missing(connection: sa.Connection, name: str, collections: Sequence[Collection]) -> list[str]:
    """Create the tables and indexes that are declared and not there, with the schemas and types that they need."""
    _wait_for_others(connection)
    done = _create_surroundings(connection, name, collections) if connection.dialect.name == "postgresql" else []
    inspector = sa.inspect(connection)
    there: dict[str | None, set[str]] = {}
    for table in tables(collections, connection.dialect.name).sorted_tables:
        if table.schema not in there:
            there[table.schema] = set(inspector.get_table_names(table.schema))
        if table.name not in there[table.schema]:
            table.create(connection)
            done.append(f"{name}: created table {table.fullname}")
            continue
        indexes = {index["name"] for index in inspector.get_indexes(table.name, table.schema)}
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            if index.name not in indexes:
                index.create(connection)
                done.append(f"{name}: created index {index.name}")
    return done


def _create_surroundings(connection: sa.Connection, name: str, collections: Sequence[Collection]) -> list[str]:
    """Create what tables of PostgreSQL need before they are made; enum types are made with the first table that has them."""
    done: list[str] = []
    schemas = {place_of(collection, "postgresql")[0] for collection in collections}
    schemas |= {placed(column.enum)[0] for collection in collections for column in collection.columns if column.enum}
    missing = schemas - {None} - set(sa.inspect(connection).get_schema_names())
    for schema in sorted(map(str, missing)):
        connection.execute(sa.schema.CreateSchema(schema))
        done.append(f"{name}: created schema {schema}")
    needs_citext = any(column.collation == "nocase" for collection in collections for column in collection.columns)
    if needs_citext and not connection.scalar(sa.text("SELECT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'citext')")):
        connection.execute(sa.text("CREATE EXTENSION citext"))
        done.append(f"{name}: created extension citext")
    return done


def _wait_for_others(connection: sa.Connection) -> None:
    """Lock out other migrations until the end of the transaction. SQLite's transaction has done so already."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
