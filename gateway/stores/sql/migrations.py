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
from gateway.stores.sql.tables import tables

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
    """Create the tables and indexes that are declared and not there."""
    _wait_for_others(connection)
    done: list[str] = []
    inspector = sa.inspect(connection)
    there = set(inspector.get_table_names())
    for table in tables(collections).sorted_tables:
        if table.name not in there:
            table.create(connection)
            done.append(f"{name}: created table {table.name}")
            continue
        indexes = {index["name"] for index in inspector.get_indexes(table.name)}
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            if index.name not in indexes:
                index.create(connection)
                done.append(f"{name}: created index {index.name}")
    return done


def _wait_for_others(connection: sa.Connection) -> None:
    """Lock out other migrations until the end of the transaction. SQLite's transaction has done so already."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
