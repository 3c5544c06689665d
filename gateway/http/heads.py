"""How a request is refused whose head is too large. ``size`` None: it is not known, as the head has not come to its end."""

from __future__ import annotations

from gateway.config import Settings
from gateway.errors import HeadersTooLarge, UriTooLong


def url_too_long(settings: Settings, size: int | None) -> UriTooLong:
    limit = settings.url_limit_bytes
    known = {} if size is None else {"actual": size}
    return UriTooLong(f"The URL has more than {limit} bytes (setting url_limit_bytes).", limit=limit, **known, setting="url_limit_bytes")


def headers_too_large(settings: Settings, size: int | None) -> HeadersTooLarge:
    limit = settings.header_limit_bytes
    known = {} if size is None else {"actual": size}
    message = f"The request's headers have more than {limit} bytes (setting header_limit_bytes)."
    return HeadersTooLarge(message, limit=limit, **known, setting="header_limit_bytes")
