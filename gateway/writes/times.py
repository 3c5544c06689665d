"""Times of the log's rows: of three digits of a second, which every kind of store holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def now(ago_s: float = 0.0) -> str:
    """Return this moment by the gateway's clock, or one so many seconds ago, as a wire value."""
    return text_of(datetime.now(UTC) - timedelta(seconds=ago_s))


def text_of(moment: datetime) -> str:
    """Return a moment as a wire value; what is finer than its digits is cut."""
    return f"{moment.astimezone(UTC).isoformat(timespec='milliseconds').removesuffix('+00:00')}Z"


def moment_of(text: str) -> datetime:
    return datetime.fromisoformat(text)
