"""What a client is told when it has written in stores with replicas, and says again when it reads: a header and a cookie.

A program keeps the header ``X-Gateway-Written`` of the last answer that had one, and sends it with what it asks; a browser does the same
with the cookie, which no script can read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.stores.routing import Freshness
from gateway.stores.tokens import Tokens

HEADER, COOKIE = b"x-gateway-written", b"gateway_written"
PATH = b"/graphql"

_IN_COOKIES = re.compile(rb"(?:^|[;,])[ \t]*gateway_written=([^;,\s]*)").search


def freshness_of(tokens: Tokens, headers: Mapping[bytes, bytes]) -> Freshness:
    """Return what a request with these headers has to see."""
    given = headers.get(HEADER)
    kept = _IN_COOKIES(headers[b"cookie"]) if b"cookie" in headers else None
    return tokens.freshness(
        None if given is None else given.decode("latin-1"),
        None if kept is None else kept[1].decode("latin-1"),
    )


def headers_of(tokens: Tokens, freshness: Freshness, *, is_secure: bool) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer; none where nothing was written."""
    token = tokens.token(freshness)
    if token is None:
        return []
    text = token.encode()
    secure = b"; Secure" if is_secure else b""
    cookie = b"%b=%b; Path=%b; Max-Age=%d; HttpOnly; SameSite=Lax%b" % (COOKIE, text, PATH, tokens.life_s, secure)
    return [(HEADER, text), (b"set-cookie", cookie)]
