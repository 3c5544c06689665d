"""Times, dates and ids as the contract writes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

NODE_TYPES = ("User", "Post", "Event")

# RFC 3339, with a time zone. Digits beyond the millisecond are cut off.
_TIME = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt](?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(?:\.(?P<fraction>[0-9]{1,9}))?(?P<zone>[Zz]|[+-][0-9]{2}:[0-9]{2})"
)


class BadInputError(Exception):
    """A value that cannot be: BAD_USER_INPUT."""


def parse_time(value: object) -> str:
    """Return a time as the API writes it, ``2010-03-08T23:51:42.175Z``: 24 characters, so times compare as text."""
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"Expected a time like 2010-03-08T23:51:42.175Z, got {value!r}.")
    zone = "+00:00" if found["zone"] in "Zz" else found["zone"]
    milliseconds = int((found["fraction"] or "0").ljust(3, "0")[:3])
    try:
        whole = datetime.fromisoformat(f"{found['date']}T{found['time']}{zone}")
        return format_time(whole.astimezone(UTC) + timedelta(milliseconds=milliseconds))
    except (ValueError, OverflowError) as exc:
        raise ValueError(f"Expected a time like 2010-03-08T23:51:42.175Z, got {value!r}.") from exc


def format_time(moment: datetime) -> str:
    """Return the wire form of a UTC time: always three decimals and a Z."""
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def parse_date(value: object) -> str:
    """Return a date as the API writes it, ``1985-09-20``."""
    if not isinstance(value, str) or len(value) != 10:
        raise ValueError(f"Expected a date like 1985-09-20, got {value!r}.")
    return date.fromisoformat(value).isoformat()


def bucket_start(time: str, interval: str) -> str:
    """Return the start of the UTC hour, day, week (Monday) or month that ``time`` falls in."""
    moment = datetime.fromisoformat(time).replace(minute=0, second=0, microsecond=0)
    if interval == "HOUR":
        return format_time(moment)
    moment = moment.replace(hour=0)
    if interval == "DAY":
        return format_time(moment)
    if interval == "WEEK":
        return format_time(moment - timedelta(days=moment.weekday()))
    return format_time(moment.replace(day=1))


def key_of(type_name: str, given: str, types: Sequence[str] = NODE_TYPES) -> str:
    """Return the key in an id whose type is known: ``User:6`` and ``6`` are both "6". The id of another of ``types`` is bad input."""
    prefix, colon, key = given.partition(":")
    if not colon or prefix not in types:
        return given
    if prefix != type_name:
        raise BadInputError(f"Expected an id of {type_name}, got {given!r}.")
    return key


def type_and_key(given: str) -> tuple[str, str]:
    """Return both parts of an id whose type is not known otherwise. A bare key, or another type, is bad input."""
    prefix, colon, key = given.partition(":")
    if not colon or prefix not in NODE_TYPES:
        raise BadInputError(f"Expected an id like User:6, got {given!r}.")
    return prefix, key
