"""What is read from a head, and why a request is refused for it. ``size`` None: it is not known, as the head has not come to its end."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.config import Settings
from gateway.errors import BadHttp, GatewayError, HeadersTooLarge, UriTooLong
from gateway.service import IDEMPOTENCY_KEY_MAX, is_idempotency_key

DEADLINE_MIN_MS = 50
_VERSIONS = ("1.1", "1.0")


def refusal_of(settings: Settings, version: str, url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> GatewayError | None:
    """Return what is wrong with a head that is complete; None where nothing is."""
    if version not in _VERSIONS:
        return BadHttp("The request's version of HTTP is none of 1.0 and 1.1.")
    if len(url) > settings.url_limit_bytes:
        return url_too_long(settings, len(url))
    if len(headers) > settings.headers_max:
        return HeadersTooLarge(
            f"The request has more than {settings.headers_max} headers (setting headers_max).",
            limit=settings.headers_max,
            actual=len(headers),
            setting="headers_max",
        )
    if (size := size_of(headers)) > settings.header_limit_bytes:
        return headers_too_large(settings, size)
    return None


def size_of(headers: Sequence[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) for name, value in headers)


def url_too_long(settings: Settings, size: int | None) -> UriTooLong:
    limit = settings.url_limit_bytes
    known = {} if size is None else {"actual": size}
    return UriTooLong(f"The URL has more than {limit} bytes (setting url_limit_bytes).", limit=limit, **known, setting="url_limit_bytes")


def headers_too_large(settings: Settings, size: int | None) -> HeadersTooLarge:
    limit = settings.header_limit_bytes
    known = {} if size is None else {"actual": size}
    message = f"The request's headers have more than {limit} bytes (setting header_limit_bytes)."
    return HeadersTooLarge(message, limit=limit, **known, setting="header_limit_bytes")


def deadline_s(asked: bytes) -> float:
    """Return the seconds of an X-Gateway-Deadline-Ms."""
    digits = asked.lstrip(b"0")[:20]  # more are not converted, and are above any setting
    if not asked.isdigit() or int(digits or b"0") < DEADLINE_MIN_MS:
        raise BadHttp(f"X-Gateway-Deadline-Ms must be an integer, at least {DEADLINE_MIN_MS}.")
    return int(digits) / 1_000


def idempotency_key(given: bytes) -> str:
    """Return an Idempotency-Key: any visible characters."""
    if not is_idempotency_key(given.decode("latin-1")):
        raise BadHttp(f"Idempotency-Key must be 1 to {IDEMPOTENCY_KEY_MAX} visible characters of ASCII.")
    return given.decode()
