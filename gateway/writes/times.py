"""The gateway's clock, as the log's rows have it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def now(ago_s: float = 0.0) -> str:
    """Return this moment, or one so many seconds ago, as a wire value of six digits of a second."""
    moment = datetime.now(UTC) - timedelta(seconds=ago_s)
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"
