"""Keep a log of writes in plain Python: versions, gates, deliveries. No two do so at once, for a transaction holds the store's lock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.stores.base import Advance, Bump, Claim, Column, Key, Row, Value
from gateway.stores.memory.table import Table
from gateway.stores.types import order_key

Record = dict[str, Value]


def bumped(table: Table, bump: Bump, store: str) -> Mapping[Key, int]:
    versions: dict[Key, int] = {}
    for key in bump.keys:
        row = table.by_key((bump.noun, key))
        versions[key] = 1 if row is None else _record(table, row)["version"] + 1
    rows = [_row(table, noun=bump.noun, key=key, version=version, is_deleted=bump.is_deleted) for key, version in versions.items()]
    table.upsert(rows, store)
    return versions


def advanced(table: Table, advance: Advance, store: str) -> frozenset[Key]:
    passed: list[tuple[Key, int, int]] = []
    for key, epoch, version in advance.items:
        row = table.by_key((advance.target, advance.noun, key))
        kept = None if row is None else _record(table, row)
        if kept is None or (kept["epoch"], kept["version"]) < (epoch, version):
            passed.append((key, epoch, version))
    rows = [_row(table, target=advance.target, noun=advance.noun, key=k, epoch=epoch, version=version) for k, epoch, version in passed]
    table.upsert(rows, store)
    return frozenset([key for key, _, _ in passed])


def claimed(table: Table, claim: Claim, store: str) -> Sequence[Row]:
    """Whole aggregates, as long as they are not too many; the first in any case."""
    column = table.collection["lease_until"]
    moment = order_key(column) or _same
    at = datetime.now(UTC)
    now, until = moment(_told(at, column)), _told(at + timedelta(seconds=claim.seconds), column)

    pending = [record for record in table.dicts(None) if record["target"] == claim.target and record["state"] == "pending"]
    pending.sort(key=lambda record: record["outbox"])
    due: dict[tuple[Value, Value], list[Record]] = {}
    held: set[tuple[Value, Value]] = set()
    for record in pending:
        aggregate = (record["noun"], record["key"])
        if record["lease_until"] is not None and moment(record["lease_until"]) > now:
            held.add(aggregate)
        elif moment(record["next_at"]) <= now:
            due.setdefault(aggregate, []).append(record)

    chosen: list[Record] = []
    for aggregate, records in due.items():
        if aggregate not in held and (not chosen or len(chosen) + len(records) <= claim.limit):
            chosen += records
        if len(chosen) >= claim.limit:
            break
    leased = [record | {"lease_owner": claim.owner, "lease_until": until} for record in chosen]
    leased.sort(key=lambda record: record["outbox"])
    rows = [_row(table, **record) for record in leased]
    table.upsert(rows, store)
    return rows


def _same(value: Any) -> Any:
    return value


def _told(at: datetime, column: Column) -> str:
    """A time as the wire has it, in as many digits as its column."""
    text = at.strftime("%Y-%m-%dT%H:%M:%S.%f")
    return f"{text[: 20 + column.precision] if column.precision else text[:19]}Z"


def _record(table: Table, row: Row) -> Record:
    return dict(zip(table.collection.names, row, strict=True))


def _row(table: Table, **values: Value) -> tuple[Value, ...]:
    return tuple([values[name] for name in table.collection.names])
