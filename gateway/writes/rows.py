"""Rows of the log for what a transaction wrote: of the outbox, for each target, for the audit. Pure: no I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from gateway.stores.base import Collection, Insert, Key, Row, Value
from gateway.stores.types import KeyForm
from gateway.writes.declarations import AUDIT, State
from gateway.writes.tables import DUE, PENDING, Tables

INSERTED, UPDATED, DELETED, REFUSED = "insert", "update", "delete", "refused"  # actions

_OUTBOX = ("id", "noun", "key", "epoch", "version", "action", "state", "at")
_DELIVERY = ("outbox", "target", "noun", "key", "version", "state", "attempts", "next_at", "payload")


class Outcome(NamedTuple):
    """A write of one aggregate, without its rows. ``version`` is None where the collection is not managed. Kept under idempotency keys."""

    noun: str
    key: Key
    version: int | None
    action: str  # insert, update, delete


@dataclass(frozen=True, slots=True)
class Written:
    """A write of one aggregate in a transaction: its row before and after, in all columns. ``id`` is its outbox row's."""

    id: str
    collection: Collection
    key: Key
    version: int | None
    action: str
    before: State | None
    after: State | None
    audited: bool = True

    @property
    def outcome(self) -> Outcome:
        return Outcome(self.collection.name, self.key, self.version, self.action)


@dataclass(frozen=True, slots=True)
class By:
    """Who wrote: what the audit says besides the rows."""

    subject: str
    request_id: str
    field: str


def state_of(collection: Collection, row: Row) -> State:
    return dict(zip(collection.names, row, strict=True))


@lru_cache(maxsize=4096)
def keys_of(collection: Collection) -> KeyForm:
    return KeyForm(collection.columns_of(collection.key_name))


def key_in(collection: Collection, values: Mapping[str, Value]) -> Key | None:
    """Return the key that a mapping of columns has; None where it has not all of it."""
    return keys_of(collection).text([values.get(name) for name in collection.key])


def audit_row(tables: Tables, id_: str, at: str, by: By, written: Written) -> Row:
    outcome = written.outcome
    return _audited(
        tables,
        id=id_,
        at=at,
        subject=by.subject,
        request_id=by.request_id,
        field=by.field,
        noun=outcome.noun,
        key=outcome.key,
        action=outcome.action,
        version=outcome.version,
        before=written.before,
        after=written.after,
    )


def refusal_row(tables: Tables, id_: str, at: str, by: By, about: tuple[str, Key] | None, error: Mapping[str, Any]) -> Row:
    """Return the audit row of a mutation that was refused; ``about`` is the noun and key it was at, where there is one."""
    noun, key = about or (None, None)
    return _audited(
        tables, id=id_, at=at, subject=by.subject, request_id=by.request_id, field=by.field, noun=noun, key=key, action=REFUSED, error=error
    )


def _audited(tables: Tables, **values: Value) -> Row:
    return tuple([values.get(name) for name in tables.audit.names])


def outbox(tables: Tables, epoch: int, at: str, written: Iterable[Written]) -> Insert:
    rows = [(its.id, its.collection.name, its.key, epoch, its.version, its.action, its.after, at) for its in written]
    return Insert(tables.outbox, _OUTBOX, rows)


def delivery_row(target: str, written: Written, payload: Any = None) -> Row:
    return (written.id, target, written.collection.name, written.key, written.version, PENDING, 0, DUE, payload)


def deliveries(tables: Tables, rows: Sequence[Row]) -> Insert:
    return Insert(tables.deliveries, _DELIVERY, rows)


def audits(tables: Tables, rows: Sequence[Row]) -> Insert:
    """Return the insert of audit rows into the store that was written itself."""
    return Insert(tables.audit, tables.audit.names, rows)


def audit_deliveries(tables: Tables, rows: Sequence[Row]) -> Sequence[Row]:
    """Return the deliveries of audit rows to a store of their own: each carries its row, and is of no row of the outbox."""
    names = tables.audit.names
    told = [dict(zip(names, row, strict=True)) for row in rows]
    return [(row["id"], AUDIT, row["noun"] or "", row["key"] or "", row["version"] or 0, PENDING, 0, DUE, row) for row in told]
