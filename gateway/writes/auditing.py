"""Read the audit: who wrote what, when, what it was before and is after, and what was refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from gateway.stores import Stores
from gateway.stores.base import And, Compare, Fetch, Key, Order, Page, Value, Where
from gateway.writes.own import ROWS_PER_PAGE, Own
from gateway.writes.tables import tables_of
from gateway.writes.times import text_of

ORDER = (Order("at", descending=True), Order("id", descending=True))  # ids are in the order of time, too (``ids.py``)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which rows of the audit: of all that is given. ``since`` is included, ``until`` is not."""

    subject: str | None = None
    noun: str | None = None  # a collection's name
    key: Key | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def where(self) -> Where | None:
        pairs = (("subject", self.subject), ("noun", self.noun), ("key", self.key))
        asked: list[Where] = [Compare(name, "eq", value) for name, value in pairs if value is not None]
        asked += [Compare("at", "gte", text_of(self.since))] if self.since is not None else []
        asked += [Compare("at", "lt", text_of(self.until))] if self.until is not None else []
        return And(tuple(asked)) if asked else None


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the audit, and the store that has it."""

    store: str
    id: str
    at: str
    subject: str
    request_id: str
    field: str  # of the mutation; "" where it was none
    noun: str | None
    key: Key | None
    action: str  # insert, update, delete, refused
    version: int | None
    before: Mapping[str, Value] | None
    after: Mapping[str, Value] | None
    error: Mapping[str, Value] | None  # of what was refused: message, code


async def entries(stores: Stores, names: Sequence[str], asked: Asked, limit: int) -> list[Entry]:
    """Return the newest rows of the audits of these stores, newest first; of one database each, one call for 500 of them."""
    found = [entry for name in names for entry in await _of(stores, name, asked, limit)]
    return sorted(found, key=lambda entry: (entry.at, entry.id), reverse=True)[:limit]


async def _of(stores: Stores, name: str, asked: Asked, limit: int) -> list[Entry]:
    own, audit = Own(stores), tables_of(name).audit
    found: list[Entry] = []
    after: tuple[Value, ...] | None = None
    while len(found) < limit:
        page = Page(min(ROWS_PER_PAGE, limit - len(found)), after=after)
        part = (await own.ask(Fetch(audit, audit.names, where=asked.where, order=ORDER, page=page))).get(None)
        if part is None or not part.rows:
            break
        found += [Entry(name, **dict(zip(audit.names, row, strict=True))) for row in part.rows]
        after = (found[-1].at, found[-1].id)
        if not part.more:
            break
    return found
