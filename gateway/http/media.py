"""Media types: which one an answer has, and whether a body is JSON in UTF-8. (GraphQL over HTTP, "Media Types"; RFC 9110, 12.5.1)"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

JSON = b"application/json"
GRAPHQL = b"application/graphql-response+json"
EVENTS = b"text/event-stream"

_TYPES = {JSON: (b"content-type", JSON + b"; charset=utf-8"), GRAPHQL: (b"content-type", GRAPHQL + b"; charset=utf-8")}
_LONGEST_HEADER = 1_000  # longer ones are cut: nobody accepts that much
_LONGEST_KNOWN = 250  # longer ones are not remembered; 250 bytes are more than any browser's
_RANGES = {  # what each range stands for, and how specific it is
    "application/graphql-response+json": ((GRAPHQL, 2),),
    "application/json": ((JSON, 2),),
    "application/*": ((JSON, 1), (GRAPHQL, 1)),
    "*/*": ((JSON, 0), (GRAPHQL, 0)),
}


def accepted(accept: bytes | None) -> bytes | None:
    """Return the media type of a good answer: JSON or GRAPHQL; None when neither is acceptable.

    No header, ``*/*`` and a tie between ranges mean JSON, which every client reads; a tie of named types the one named first.
    """
    if not accept:
        return JSON
    return _accepted(accept) if len(accept) <= _LONGEST_KNOWN else _accepted.__wrapped__(accept)


def content_type_of(status: int, accepted_type: bytes | None) -> tuple[bytes, bytes]:
    """Return the header of an answer to who takes this type."""
    # GraphQL over HTTP, "Body": a legacy client has application/json for 2xx alone; what else has that type may be a proxy's.
    is_good = 200 <= status < 300
    return _TYPES[accepted_type if is_good and accepted_type is not None else GRAPHQL]


@lru_cache(maxsize=64)
def accepts_events(accept: bytes) -> bool:
    """Return whether a client names streams of events among what it takes; ranges such as ``*/*`` do not."""
    items = _items(accept.decode("latin-1")[:_LONGEST_HEADER])
    return any(name == EVENTS.decode() and quality > 0 for name, quality in items)


def is_json(content_type: bytes | None) -> bool:
    """Return whether a request's Content-Type is application/json in UTF-8."""
    if not content_type:
        return False
    return _is_json(content_type) if len(content_type) <= _LONGEST_KNOWN else _is_json.__wrapped__(content_type)


@lru_cache(maxsize=256)
def _accepted(accept: bytes) -> bytes | None:
    specific: dict[bytes, tuple[int, float]] = {}  # by media type: the most specific range that covers it, and its quality
    for name, quality in _items(accept.decode("latin-1")[:_LONGEST_HEADER]):
        for media_type, specificity in _RANGES.get(name, ()):
            if media_type not in specific or specificity > specific[media_type][0]:
                # Said again, so that it stands where its most specific range does.
                specific.pop(media_type, None)
                specific[media_type] = (specificity, quality)
    best = max(specific, key=lambda media_type: specific[media_type][1], default=None)
    return best if best is not None and specific[best][1] > 0 else None


@lru_cache(maxsize=64)
def _is_json(content_type: bytes) -> bool:
    name, _, parameters = content_type.decode("latin-1")[:_LONGEST_HEADER].partition(";")
    return name.strip().lower() == "application/json" and _charset(parameters) in (None, "utf-8", "utf8")


def _items(header: str) -> Iterator[tuple[str, float]]:
    """Yield (range, quality); ranges in another charset than UTF-8 and malformed qualities count as not acceptable."""
    for item in header.split(","):
        name, _, parameters = item.partition(";")
        quality = _quality(parameters) if _charset(parameters) in (None, "utf-8", "utf8") else 0.0
        yield name.strip().lower(), quality


def _charset(parameters: str) -> str | None:
    return _parameter(parameters, "charset")


def _quality(parameters: str) -> float:
    text = _parameter(parameters, "q")
    try:
        quality = float(text) if text is not None else 1.0
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0


def _parameter(parameters: str, name: str) -> str | None:
    for parameter in parameters.split(";"):
        key, _, value = parameter.partition("=")
        if key.strip().lower() == name:
            return value.strip().strip('"').lower()
    return None
