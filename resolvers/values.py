"""What may stand in the nouns' columns beyond their types: the rules of this domain, each with its sentence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from unicodedata import normalize

from gateway.errors import BadUserInput
from gateway.stores.base import Value

NAME_MAX = 256  # characters
EMAIL_MAX = 254  # RFC 5321, 4.5.3.1.3
KEY_MAX = 200
TITLE_MAX = 500
CONTENT_MAX = 100_000
WORD_MAX = 200  # a gender, a forum, a language tag, a tag, a file name, a type of event
WORDS_MAX = 100  # in one list

_email = re.compile(r"[^@\s]+@[^@\s]+").fullmatch
_type = re.compile(r"[A-Z][A-Z0-9_]*").fullmatch

_LONGEST = {"name": NAME_MAX, "email": EMAIL_MAX, "title": TITLE_MAX, "content": CONTENT_MAX, "id": KEY_MAX}
_FILLED = ("id", "name", "title", "author_id", "user_id", "post_id", "follower_id", "followee_id")


def now() -> str:
    """Return this moment as a wire value."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:23] + "Z"


def normal_forms(text: str) -> tuple[str, ...]:
    """Return a text in Unicode's normal forms C and D: one where they are the same, as of all ASCII."""
    return tuple(dict.fromkeys((normalize("NFC", text), normalize("NFD", text))))


def check(values: Mapping[str, Value], path: str = "input") -> None:
    """Refuse what may not stand in a column: BadUserInput with the field as clients call it."""
    for column, value in values.items():
        if value is not None and (expected := _expected(column, value)) is not None:
            field = "".join(part.title() if number else part for number, part in enumerate(column.split("_")))
            raise BadUserInput(f"{path}.{field}: expected {expected}", argument=f"{path}.{field}", field=field)


def _expected(column: str, value: Value) -> str | None:
    """Return what a column wants in place of a value; None where it may stand there."""
    match column:
        case "birthday":
            return None if "0001" <= value <= now()[:10] else f"a day in the past, got {value}"
        case "created_at" | "occurred_at" | "since":
            return None if value[:1].isdigit() else f"a moment of the years 0001 to 9999, got {value[:40]}"
        case "languages" | "tags":
            if len(value) > WORDS_MAX:
                return f"at most {WORDS_MAX}, got {len(value)}"
            return next((expected for word in value if (expected := _text(word, WORD_MAX, filled=True)) is not None), None)
        case "type" if not _type(value):
            return f"a type in upper case such as LIKE, got {value[:40]!r}"
        case "email" if len(value) <= EMAIL_MAX and not _email(value):
            return f"an e-mail address, got {value[:40]!r}"
        case "email" if value not in normal_forms(value):
            return f"an e-mail address in a normal form of Unicode, C or D, got {value[:40]!r}"
    return _text(value, _LONGEST.get(column, WORD_MAX), filled=column in _FILLED) if isinstance(value, str) else None


def _text(value: str, longest: int, *, filled: bool) -> str | None:
    if filled and not value.strip():
        return "some text, got none"
    return f"at most {longest:,} characters, got {len(value):,}" if len(value) > longest else None
