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


# Of one delivery among those of its aggregate: but for that ``|| ''``, the index of the states would do for what the other one is for.
_DUE = (
    "{0}.target = $1 AND {0}.state{1} = 'pending' AND {0}.next_at <= statement_timestamp() "
    "AND ({0}.lease_until IS NULL OR {0}.lease_until <= statement_timestamp())"
)
_NOT_BY_INDEX = " || ''"


def claim_text(source: sa.Table, shown: Sequence[str]) -> str:
    """Who gets the oldest delivery of an aggregate that is due gets all of them, where nobody else has, or is getting, another.

    ``heads`` locks these, and leaves out those that somebody else is about to take. ``its`` are all of an aggregate that could be locked;
    where they are fewer than the ``number`` that this statement has seen, a claim whose oldest is another has them, and the aggregate is
    left to that. The first aggregate is given whole even where it has more than the limit: it could not be claimed otherwise.

    There are no joins, and each OFFSET is there, so that indexes serve it row by row, however many deliveries wait and whatever the
    server knows of the table.
    """
    place = _place(source)
    aggregate = "{0}.noun = {1}.noun AND {0}.key = {1}.key"
    other = f"FROM {place} AS other WHERE other.target = $1 AND {aggregate.format('other', 'mine')}"
    of_head = f"FROM {place} AS mine WHERE {aggregate.format('mine', 'heads')} AND {_DUE.format('mine', _NOT_BY_INDEX)}"
    return (
        "WITH heads AS ("  # noqa: S608 - our own text
        f"SELECT mine.outbox, mine.noun, mine.key FROM {place} AS mine WHERE {_DUE.format('mine', '')} "
        f"AND NOT EXISTS (SELECT 1 {other} AND other.outbox < mine.outbox AND {_DUE.format('other', _NOT_BY_INDEX)} OFFSET 0) "
        f"AND NOT EXISTS (SELECT 1 {other} AND other.lease_until > statement_timestamp() OFFSET 0) "
        "ORDER BY mine.outbox LIMIT CAST($3 AS bigint) FOR UPDATE OF mine SKIP LOCKED), "
        "aggregates AS MATERIALIZED ("
        f"SELECT heads.outbox AS head, (SELECT count(*) {of_head}) AS number, "
        f"ARRAY(SELECT mine.outbox {of_head} FOR UPDATE OF mine SKIP LOCKED) AS its FROM heads), "
        "numbered AS (SELECT its, sum(number) OVER (ORDER BY head) AS up_to, row_number() OVER (ORDER BY head) AS place "
        "FROM aggregates WHERE number = cardinality(its)), "
        f"claimed AS (UPDATE {place} AS taken SET lease_owner = CAST($2 AS text), "
        "lease_until = statement_timestamp() + make_interval(secs => CAST($4 AS double precision)) "
        f"WHERE taken.target{_NOT_BY_INDEX} = $1 AND taken.outbox = ANY(ARRAY("
        "SELECT unnest(its) FROM numbered WHERE numbered.place = 1 OR numbered.up_to <= CAST($3 AS bigint))) "
        "RETURNING taken.*) "
        f"SELECT {', '.join(shown)} FROM claimed ORDER BY claimed.outbox"
    )
