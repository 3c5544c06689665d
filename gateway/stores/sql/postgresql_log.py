"""The steps of the log of writes in PostgreSQL, each in one statement. ``$1``… are as ``postgresql_changes`` binds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from gateway.stores.sql.postgresql_forms import DIALECT

_PREPARER: Any = DIALECT.identifier_preparer


def _place(source: sa.Table) -> str:
    return str(_PREPARER.format_table(source))


def bump_text(source: sa.Table) -> str:
    """Keys are sent in their order, so that two that bump the same wait for each other in one direction."""
    return (
        f"INSERT INTO {_place(source)} AS kept (noun, key, version, is_deleted) "  # noqa: S608 - our own text
        "SELECT CAST($1 AS text), sent.key, 1, CAST($3 AS boolean) "
        "FROM unnest(CAST($2 AS text[])) WITH ORDINALITY AS sent (key, place) ORDER BY sent.place "
        "ON CONFLICT (noun, key) DO UPDATE SET version = kept.version + 1, is_deleted = excluded.is_deleted "
        "RETURNING kept.key, kept.version"
    )


def advance_text(source: sa.Table) -> str:
    """ON CONFLICT locks the row that is there, and compares with what that has then."""
    return (
        f"INSERT INTO {_place(source)} AS kept (target, noun, key, epoch, version) "  # noqa: S608 - our own text
        "SELECT CAST($1 AS text), CAST($2 AS text), sent.key, sent.epoch, sent.version "
        "FROM unnest(CAST($3 AS text[]), CAST($4 AS bigint[]), CAST($5 AS bigint[])) "
        "WITH ORDINALITY AS sent (key, epoch, version, place) ORDER BY sent.place "
        "ON CONFLICT (target, noun, key) DO UPDATE SET epoch = excluded.epoch, version = excluded.version "
        "WHERE (kept.epoch, kept.version) < (excluded.epoch, excluded.version) "
        "RETURNING kept.key"
    )


_DUE = (
    "{0}.target = $1 AND {0}.state = 'pending' AND {0}.next_at <= statement_timestamp() "
    "AND ({0}.lease_until IS NULL OR {0}.lease_until <= statement_timestamp())"
)


def claim_text(source: sa.Table, shown: Sequence[str]) -> str:
    """Who gets the oldest delivery of an aggregate that is due gets all of them, where nobody else has, or is getting, another.

    ``heads`` locks these, and leaves out those that somebody else is about to take. ``locked`` are the others of their aggregates; where
    they are fewer than this statement has seen, a claim whose oldest is another has them, and the aggregate is left to that. The first
    aggregate is given whole even where it has more than the limit: it could not be claimed otherwise.
    """
    place = _place(source)
    mine, other = _DUE.format("mine"), _DUE.format("other")
    its = "other.target = $1 AND other.noun = mine.noun AND other.key = mine.key"
    return (
        "WITH heads AS ("  # noqa: S608 - our own text
        f"SELECT mine.outbox, mine.noun, mine.key FROM {place} AS mine WHERE {mine} "
        f"AND NOT EXISTS (SELECT 1 FROM {place} AS other WHERE {its} AND other.outbox < mine.outbox AND {other}) "
        f"AND NOT EXISTS (SELECT 1 FROM {place} AS other WHERE {its} AND other.lease_until > statement_timestamp()) "
        "ORDER BY mine.outbox LIMIT CAST($3 AS bigint) FOR UPDATE OF mine SKIP LOCKED), "
        "locked AS ("
        "SELECT mine.outbox, mine.noun, mine.key FROM heads "
        f"JOIN {place} AS mine ON mine.noun = heads.noun AND mine.key = heads.key WHERE {mine} FOR UPDATE OF mine SKIP LOCKED), "
        "seen AS ("
        "SELECT mine.noun, mine.key, count(*) AS number FROM heads "
        f"JOIN {place} AS mine ON mine.noun = heads.noun AND mine.key = heads.key WHERE {mine} GROUP BY mine.noun, mine.key), "
        "whole AS ("
        "SELECT heads.outbox, seen.noun, seen.key, seen.number FROM heads JOIN seen ON seen.noun = heads.noun AND seen.key = heads.key "
        "WHERE seen.number = (SELECT count(*) FROM locked WHERE locked.noun = seen.noun AND locked.key = seen.key)), "
        "numbered AS ("
        "SELECT noun, key, sum(number) OVER (ORDER BY outbox) AS up_to, row_number() OVER (ORDER BY outbox) AS place FROM whole), "
        "claimed AS ("
        f"UPDATE {place} AS taken SET lease_owner = CAST($2 AS text), "
        "lease_until = statement_timestamp() + make_interval(secs => CAST($4 AS double precision)) "
        "FROM locked JOIN numbered ON numbered.noun = locked.noun AND numbered.key = locked.key "
        "WHERE taken.outbox = locked.outbox AND taken.target = $1 AND (numbered.place = 1 OR numbered.up_to <= CAST($3 AS bigint)) "
        "RETURNING taken.*) "
        f"SELECT {', '.join(shown)} FROM claimed ORDER BY claimed.outbox"
    )
