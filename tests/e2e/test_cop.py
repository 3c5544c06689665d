"""The 13 checks of graphql-cop, with the requests that it sends: none finds anything in production.

Development exists for some of what they look for: GraphiQL, introspection, suggestions, and queries by GET.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import orjson
import pytest

from gateway.app import create_app
from gateway.config import Settings, StoreSettings
from schema import schema as graph

IDE = ("graphiql.min.css", "GraphQL Playground", "GraphiQL", "graphql-playground")
DEEP = "{ __schema { types { fields { type { fields { type { fields { type { fields { type { name } } } } } } } } } } }"

Check = Callable[[httpx.AsyncClient], Awaitable[bool]]


async def clients(**settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    stores = {name: StoreSettings(url="memory://") for name in graph.store_names}
    app = create_app(Settings(stores=stores, **settings), graph)
    async with (
        app.lifespan(),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client,
    ):
        yield client


@pytest.fixture
async def production() -> AsyncIterator[httpx.AsyncClient]:
    async for client in clients(environment="production", allowed_hosts=("localhost",)):
        yield client


@pytest.fixture
async def development() -> AsyncIterator[httpx.AsyncClient]:
    async for client in clients():
        yield client


async def ask(client: httpx.AsyncClient, query: str, **headers: str) -> dict[str, Any]:
    body = {"query": query, "operationName": "cop"}
    answer: dict[str, Any] = (await client.post("/graphql", json=body, headers=headers)).json()
    return answer


def data(answer: Any) -> dict[str, Any]:
    return (answer.get("data") if isinstance(answer, dict) else None) or {}


def codes(answer: dict[str, Any]) -> list[str]:
    return [error["extensions"]["code"] for error in answer.get("errors", [])]


# --------------------------------------------------------------------------------------------------- what finds something


async def alias_overloading(client: httpx.AsyncClient) -> bool:
    aliases = "".join(f"alias{number}:__typename \n" for number in range(101))
    return "alias100" in data(await ask(client, f"query cop {{ {aliases} }}"))


async def batch_queries(client: httpx.AsyncClient) -> bool:
    answer = (await client.post("/graphql", json=[{"query": "query cop { __typename }"}] * 10)).json()
    return isinstance(answer, list) and len(answer) >= 10


async def directive_overloading(client: httpx.AsyncClient) -> bool:
    return len((await ask(client, "query cop { __typename @aa@aa@aa@aa@aa@aa@aa@aa@aa@aa }")).get("errors", [])) == 10


async def circular_introspection(client: httpx.AsyncClient) -> bool:
    return "__schema" in data(await ask(client, f"query cop {DEEP}"))


async def field_duplication(client: httpx.AsyncClient) -> bool:
    # It sends 500 and calls any answer a finding (and leaves the check out, for that). They are one field of the answer, and cost little.
    return "__typename" in data(await ask(client, f"query cop {{ {'__typename ' * 1_001} }}"))


async def field_suggestions(client: httpx.AsyncClient) -> bool:
    answers = [await ask(client, f"query cop {query}") for query in ("{ __schema { directive } }", "{ user { id } userz { id } }")]
    return "Did you mean" in str(answers)


async def introspection(client: httpx.AsyncClient) -> bool:
    return "__schema" in data(await ask(client, "query cop { __schema { types { name fields { name } } } }"))


async def graphiql(client: httpx.AsyncClient) -> bool:
    paths = ("/", "/graphql", "/graphiql", "/playground", "/graphiql/graphiql.js", "/graphiql/graphiql.css")
    pages = [await client.get(path, headers={"accept": "text/html"}) for path in paths]
    return any(word in page.text for page in pages for word in IDE)


async def mutation_by_get(client: httpx.AsyncClient) -> bool:
    response = await client.get("/graphql", params={"query": "mutation cop {__typename}"}, headers={"graphql-require-preflight": "1"})
    return "__typename" in data(response.json())


async def query_by_get(client: httpx.AsyncClient) -> bool:
    return "__typename" in data((await client.get("/graphql", params={"query": "query cop {__typename}"})).json())


async def query_by_a_form(client: httpx.AsyncClient) -> bool:
    return "__typename" in data((await client.post("/graphql", data={"query": "query cop { __typename }"})).json())


async def trace_mode(client: httpx.AsyncClient) -> bool:
    answers = [await ask(client, "query cop { __typename }"), await ask(client, "query cop { nothing }")]
    return "tracing" in str(answers) or "extensions" in answers[0]


async def unhandled_errors(client: httpx.AsyncClient) -> bool:
    answers = [await ask(client, query) for query in ("qwerty cop { abc }", "query cop { abc }", "query cop { user(id: 1) { id } }")]
    return any("exception" in str(answer) or "Traceback" in str(answer) for answer in answers)


CHECKS: list[Check] = [
    alias_overloading,
    batch_queries,
    directive_overloading,
    circular_introspection,
    field_duplication,
    field_suggestions,
    introspection,
    graphiql,
    mutation_by_get,
    query_by_get,
    query_by_a_form,
    trace_mode,
    unhandled_errors,
]
PURPOSES = (field_suggestions, introspection, graphiql, query_by_get)


@pytest.mark.parametrize("check", CHECKS)
async def test_nothing_is_found_in_production(production: httpx.AsyncClient, check: Check) -> None:
    assert not await check(production)
    assert data(await ask(production, "query cop { __typename }")) == {"__typename": "Query"}


# How deep introspection may ask of itself is for the limits of introspection to say, where it is allowed.
@pytest.mark.parametrize("check", [check for check in CHECKS if check is not circular_introspection])
async def test_development_has_what_it_is_for_and_no_more(development: httpx.AsyncClient, check: Check) -> None:
    assert await check(development) is (check in PURPOSES)


@pytest.mark.parametrize("kind", ["plan", "trace"])
async def test_an_explanation_is_for_development(production: httpx.AsyncClient, development: httpx.AsyncClient, kind: str) -> None:
    assert "explain" in (await ask(development, "query cop { __typename }", **{"x-gateway-explain": kind}))["extensions"]
    refused = await ask(production, "query cop { __typename }", **{"x-gateway-explain": kind})
    assert codes(refused) == ["FORBIDDEN"]
    assert "extensions" not in refused


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("".join(f"alias{number}:__typename \n" for number in range(101)), "ALIAS_LIMIT"),
        ("__typename " * 1_001, "SELECTION_LIMIT"),
        (" ".join(f"a{number}: __typename @skip(if: false)" for number in range(51)), "DIRECTIVE_LIMIT"),
        ("__typename @aa@aa@aa@aa@aa@aa@aa@aa@aa@aa", "DIRECTIVE_LIMIT"),
    ],
)
async def test_what_is_overloaded_is_refused_by_its_limit(
    production: httpx.AsyncClient, development: httpx.AsyncClient, query: str, code: str
) -> None:
    for client in (production, development):
        assert code in codes(await ask(client, f"query cop {{ {query} }}"))


async def test_a_batch_is_refused_by_its_name(production: httpx.AsyncClient) -> None:
    response = await production.post("/graphql", json=[{"query": "query cop { __typename }"}] * 10)
    assert (response.status_code, codes(response.json())) == (400, ["BATCHING_OFF"])


# -------------------------------------------------------------------------------------------------- what other pages can do


@pytest.mark.parametrize(
    "content_type", ["text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None]
)
@pytest.mark.parametrize("query", ["{ __typename }", "mutation { __typename }"])
async def test_a_form_of_another_page_is_refused(
    production: httpx.AsyncClient, development: httpx.AsyncClient, content_type: str | None, query: str
) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    for client in (production, development):
        posted = await client.post("/graphql", content=orjson.dumps({"query": query}), headers=headers)
        assert (posted.status_code, codes(posted.json())) == (415, ["UNSUPPORTED_MEDIA_TYPE"])
        assert "access-control-allow-origin" not in posted.headers


async def test_a_get_of_another_page_is_refused() -> None:
    async for client in clients(environment="production", allowed_hosts=("localhost",), get=True):
        plain = await client.get("/graphql?query={__typename}")
        form = await client.get("/graphql?query={__typename}", headers={"content-type": "text/plain", "graphql-require-preflight": "1"})
        ours = await client.get("/graphql?query={__typename}", headers={"graphql-require-preflight": "1"})
        mutation = await client.get("/graphql?query=mutation{__typename}", headers={"graphql-require-preflight": "1"})
    assert [r.status_code for r in (plain, form, ours)] == [403, 415, 200]
    assert "errors" in mutation.json()
    assert "data" not in mutation.json()


async def test_a_preflight_of_another_page_is_not_answered_with_permission(production: httpx.AsyncClient) -> None:
    headers = {"origin": "https://evil.example", "access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    response = await production.options("/graphql", headers=headers)
    assert response.status_code == 405
    assert not [name for name in response.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("path", ["/graphql", "/", "/health/live", "/metrics"])
async def test_every_answer_in_production_has_the_safe_headers(production: httpx.AsyncClient, path: str) -> None:
    headers = (await production.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
