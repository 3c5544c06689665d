"""Which HTTP status an answer has. An error's own ``http_status`` is the draft's; this is the one place that translates.

``audit`` passes all audits of npm's graphql-http: what the draft answers with 422 is a 400, and a client that takes application/json alone
gets 200 for a well-formed request, whatever became of it. ``draft`` is the newest draft of GraphQL over HTTP, with 294 for data and errors.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.http.media import JSON
from gateway.service import Response

PARTIAL = 294

Statuses = Callable[[Response, bytes | None, bool], int]


def audit(response: Response, accepted: bytes | None, is_well_formed: bool) -> int:
    """Return the status for a client that accepts this media type. ``is_well_formed``: it was JSON with a query."""
    if response.partial:
        return 200
    if response.status in (400, 422):
        return 200 if is_well_formed and accepted is JSON else 400
    return response.status


def draft(response: Response, accepted: bytes | None, is_well_formed: bool) -> int:  # noqa: ARG001 - the draft asks neither
    return PARTIAL if response.partial and response.status == 200 else response.status


BY_NAME: dict[str, Statuses] = {"audit": audit, "draft": draft}
