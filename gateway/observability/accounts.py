"""What one request did, counted while it does: for its line in the log and for its span."""

from __future__ import annotations

import re
from typing import Any, Protocol

NAME_MAX = 100  # characters of an operation's name

_is_name = re.compile(r"[A-Za-z_][A-Za-z0-9_]*").fullmatch  # GraphQL spec 2.1.9: nothing else may be in the log


class Asked(Protocol):
    """The operation of a document."""

    @property
    def name(self) -> str: ...

    @property
    def word(self) -> str:
        """Its type: query, mutation, subscription."""
        ...


class Text(Protocol):
    """The document itself."""

    @property
    def hash(self) -> str: ...


class Account:
    """Of one request. PERF: making it and counting one call takes 0.25 µs."""

    __slots__ = (
        "calls",
        "codes",
        "document",
        "document_hit",
        "events",
        "keys",
        "operation",
        "plan_hit",
        "rows",
        "stale",
        "tenant",
        "wanted",
    )

    def __init__(self, wanted: str | None = None) -> None:
        self.wanted = wanted  # the name of an operation, as the request has it
        self.operation: Asked | None = None
        self.document: Text | None = None
        self.document_hit = True  # it was read before
        self.plan_hit: bool | None = None  # and planned; None: it came to no plan
        self.calls = self.keys = self.rows = 0  # of what reached a store
        self.stale = 0  # reads that were answered with what was kept, as their store failed
        self.codes: tuple[str, ...] = ()  # of the errors in its answer
        self.events: int | None = None  # that a subscription sent
        self.tenant: str | None = None  # whose databases it was about, where there is such a tenant

    def fields(self) -> dict[str, Any]:
        """Return it as the keys of a line of the log; nothing in it is of a client's choosing, but for the operation's name."""
        told: dict[str, Any] = {}
        if self.tenant is not None:
            told["tenant"] = self.tenant
        operation, document = self.operation, self.document
        name = self.wanted if operation is None else operation.name
        if name and _is_name(name):
            told["operation"] = name[:NAME_MAX]
        if operation is not None:
            told["type"] = operation.word
        if document is not None:
            told["hash"] = document.hash
            told["document_hit"] = self.document_hit
        if self.plan_hit is not None:
            told["plan_hit"] = self.plan_hit
            told["calls"], told["keys"], told["rows"] = self.calls, self.keys, self.rows
        if self.stale:
            told["stale"] = self.stale
        if self.events is not None:
            told["events"] = self.events
        if self.codes:
            told["errors"] = {code: self.codes.count(code) for code in self.codes}
        return told
