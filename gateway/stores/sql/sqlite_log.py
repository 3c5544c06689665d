"""The steps of the log of writes in SQLite, each in one statement. What is bound is as ``sqlite_changes`` binds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from gateway.stores.sql.sqlite_forms import DIALECT

_PREPARER: Any = DIALECT.identifier_preparer


def place_in(source: sa.Table) -> str:
    """Return a table's name as it stands in a statement."""
    return str(_PREPARER.format_table(source))


def bump_text(source: sa.Table) -> str:
    return (
        f"INSERT INTO {place_in(source)} AS kept (noun, key, version, is_deleted) "  # noqa: S608 - our own text
        "SELECT ?, value, 1, ? FROM json_each(?) WHERE true "
        "ON CONFLICT (noun, key) DO UPDATE SET version = kept.version + 1, is_deleted = excluded.is_deleted RETURNING key, version"
    )


def advance_text(source: sa.Table) -> str:
    return (
        f"INSERT INTO {place_in(source)} AS kept (target, noun, key, epoch, version) "  # noqa: S608 - our own text
        "SELECT ?, ?, json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(?) WHERE true "
        "ON CONFLICT (target, noun, key) DO UPDATE SET epoch = excluded.epoch, version = excluded.version "
        "WHERE (kept.epoch, kept.version) < (excluded.epoch, excluded.version) RETURNING key"
    )


def claim_text(source: sa.Table, shown: Sequence[str], due_digits: int, lease_digits: int) -> str:
    """The oldest of each aggregate that is due, up to the limit; then all that is due of as many of these as fit.

    The first aggregate is given whole even where it has more than the limit: it could not be claimed otherwise. Each ``+`` keeps the index
    of the states from what the one of the aggregates is for.
    """
    place = place_in(source)
    free = "{0}.next_at <= " + _clock(due_digits) + " AND ({0}.lease_until IS NULL OR {0}.lease_until <= " + _clock(lease_digits) + ")"
    aggregate = "{0}.target = ?3 AND {0}.noun = {1}.noun AND {0}.key = {1}.key"
    other = f"FROM {place} AS other WHERE {aggregate.format('other', 'mine')}"
    of_head = f"{aggregate.format('mine', 'heads')} AND +mine.state = 'pending' AND {free.format('mine')}"
    return (
        f"UPDATE {place} SET lease_owner = ?1, lease_until = {_clock(lease_digits, '?2')} "  # noqa: S608 - our own text
        "WHERE (outbox, target) IN ("
        f"WITH oldest AS MATERIALIZED (SELECT mine.outbox, mine.noun, mine.key FROM {place} AS mine "
        f"WHERE mine.target = ?3 AND mine.state = 'pending' AND {free.format('mine')} "
        f"AND NOT EXISTS (SELECT 1 {other} AND +other.outbox < mine.outbox AND +other.state = 'pending' AND {free.format('other')}) "
        f"AND NOT EXISTS (SELECT 1 {other} AND other.lease_until > {_clock(lease_digits)}) "
        "ORDER BY mine.outbox LIMIT ?4), "
        f"counted AS MATERIALIZED (SELECT heads.*, (SELECT count(*) FROM {place} AS mine WHERE {of_head}) AS number FROM oldest AS heads), "
        "heads AS MATERIALIZED (SELECT noun, key, sum(number) OVER (ORDER BY outbox) AS up_to, "
        "row_number() OVER (ORDER BY outbox) AS place FROM counted) "
        f"SELECT mine.outbox, mine.target FROM heads CROSS JOIN {place} AS mine "
        f"WHERE (heads.place = 1 OR heads.up_to <= ?4) AND {of_head}) "
        f"RETURNING {', '.join(shown)}"
    )


def _clock(precision: int, later: str = "") -> str:
    """Return the file's clock, which has milliseconds, as a TIME of a precision is written."""
    seconds = "%S" if precision == 0 else "%f"
    more = f", {later}" if later else ""
    return f"strftime('%Y-%m-%dT%H:%M:{seconds}', 'now'{more}) || '{'0' * max(precision - 3, 0)}Z'"
