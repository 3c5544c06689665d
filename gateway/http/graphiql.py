"""GraphiQL at ``/``: a page and two files from ``static/``, which need no network. Development only."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import orjson
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

STATIC = Path(__file__).parent / "static"

# Styles are inline where the page's libraries write <style> elements and style attributes.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "connect-src 'self' {sockets}",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>GraphiQL</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/graphiql/graphiql.css?{css}">
<script type="application/json" id="settings">{settings}</script>
<script type="module" src="/graphiql/graphiql.js?{js}"></script>
</head>
<body><div id="graphiql">Loading …</div></body>
</html>
"""


def routes(first_query: str) -> list[Route]:
    """Return the routes of the page, filled with ``first_query``, and of its files."""
    settings = orjson.dumps({"endpoint": "/graphql", "query": first_query}).decode().replace("<", "\\u003c")

    async def page(request: Request) -> Response:
        html = _PAGE.format(css=_digest("graphiql.css"), js=_digest("graphiql.js"), settings=settings)
        return HTMLResponse(html, headers={"content-security-policy": _policy(request), "cache-control": "no-cache"})

    return [Route("/", page), _file("graphiql.js", "text/javascript"), _file("graphiql.css", "text/css")]


def _policy(request: Request) -> str:
    """Return the policy of the page. Not every browser takes ``'self'`` for sockets, too; the host is one of ours."""
    host = request.headers.get("host", "")
    return _POLICY.format(sockets=f"ws://{host} wss://{host}" if host else "")


def _file(name: str, media_type: str) -> Route:
    async def file(_: Request) -> Response:
        # The page names it with a digest of what is in it.
        headers = {"cache-control": "public, max-age=31536000, immutable"}
        return FileResponse(STATIC / name, media_type=media_type, headers=headers)

    return Route(f"/graphiql/{name}", file)


@cache
def _digest(name: str) -> str:
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:16]
