"""GraphiQL's page and files; tests/browser drives it."""

from __future__ import annotations

import re
from typing import Any

import httpx
import orjson

from tests.gateway.http.fakes import make_app


def client(**settings: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(make_app(**settings)), base_url="http://gateway")


async def test_the_page_has_the_first_query_and_needs_nothing_from_elsewhere() -> None:
    query = '{ a(b: "</script><b>") { c } }  # {x}'
    async with client(query=query) as browser:
        page = await browser.get("/")
        assert page.status_code == 200
        files = re.findall(r'(?:src|href)="(/[^"]+)"', page.text)
        assert [f.partition("?")[0] for f in files] == ["/graphiql/graphiql.css", "/graphiql/graphiql.js"]
        for file in files:
            answer = await browser.get(file)
            assert answer.status_code == 200
            assert "immutable" in answer.headers["cache-control"]
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert not re.search(r"@import|sourceMappingURL|src=[\"']https?:|url\(https?:", answer.text)
    settings = re.search(r'id="settings">(.*?)</script>', page.text)
    assert settings is not None
    assert orjson.loads(settings[1]) == {"endpoint": "/graphql", "query": query}
    assert "http" not in page.headers["content-security-policy"]


async def test_production_has_no_page() -> None:
    async with client(environment="production") as browser:
        statuses = [(await browser.get(path)).status_code for path in ("/", "/graphiql/graphiql.js", "/graphiql/graphiql.css")]
    assert statuses == [404, 404, 404]


async def test_only_the_two_files_are_served() -> None:
    async with client() as browser:
        statuses = [(await browser.get(path)).status_code for path in ("/graphiql/README.md", "/graphiql/..%2fhealth.py", "/graphiql/")]
    assert statuses == [404, 404, 404]
