"""Ages and times as options have them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gateway.errors import ConfigError

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}  # seconds


def age_of(option: str, text: str) -> timedelta:
    """Return an age such as 90m, 24h or 7d. ConfigError for what is none."""
    if text[-1:] not in _UNITS or not text[:-1].isdigit():
        raise ConfigError(f"{option} {text}: expected an age such as 90m, 24h or 7d")
    try:
        return timedelta(seconds=int(text[:-1]) * _UNITS[text[-1]])
    except OverflowError:
        raise ConfigError(f"{option} {text}: expected an age of less than a million years") from None


def moment_of(option: str, text: str) -> datetime:
    """Return a time, UTC where it has no offset, or that of an age ago. ConfigError for what is neither."""
    if text[-1:] in _UNITS and text[:-1].isdigit():
        try:
            return datetime.now(UTC) - age_of(option, text)
        except OverflowError:
            raise ConfigError(f"{option} {text}: expected an age that does not lead before the year 1") from None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{option} {text}: expected a time such as 2026-01-31T12:00:00Z, or an age such as 6h") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
