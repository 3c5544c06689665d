"""What a plan and a run show of themselves, and what is counted."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.engine.explain import text_of
from gateway.observability import metrics
from gateway.service import Request, Service
from schema import schema as graph
from tests.kinds import kinds, store_of
from tests.oracle.rows import odd_rows
from tests.services import memory_stores

QUERY = """query($n: Int) { users(first: $n) { totalCount nodes { name
  posts(first: 2) { nodes { title } } following { nodes { name } } recommendations { score } } } }"""


async def test_a_plan_prints_its_levels_and_the_columns_asked() -> None:
    service = Service(graph, (await memory_stores())[0])
    assert text_of(service.plan(QUERY)).splitlines() == [
        "query",
        "level 0",
        "  users: many users.users(name, id)  [count; arguments by request]",
        "level 1",
        "  users.posts: many posts.posts(title)  [by author_id]",
        "  users.following: many recommendations.follows(followee_id)  [by follower_id; a page of edges]",
        "  users.recommendations: batch function recommendations.by_user(post_id, score, because)"
        "  [rows left out without users.recommendations.post]",
        "level 2",
        "  users.following: many users.users(name)  [by id]",
        "  users.recommendations.post: one posts.posts(id)  [by id]",
    ]


async def _explained(service: Service, what: str) -> Any:
    response = await service.answer(Request(QUERY, {"n": 3}, explain=what))
    return orjson.loads(response.body)["extensions"]["explain"]


async def test_explain_plan_adds_the_plan_to_the_answer() -> None:
    explained = await _explained(Service(graph, (await memory_stores(odd_rows()))[0]), "plan")
    assert explained.keys() == {"plan"}
    assert [len(level) for level in explained["plan"]["levels"]] == [1, 3, 2]


async def test_explain_trace_adds_every_store_call_with_times_keys_and_rows() -> None:
    explained = await _explained(Service(graph, (await memory_stores(odd_rows()))[0]), "trace")
    calls = explained["calls"]
    assert (calls[0]["store"], calls[0]["operation"]) == ("users", "fetch")
    assert len(calls) == sum(len(level) for level in explained["plan"]["levels"])
    assert all(c["startMs"] >= 0 and c["durationMs"] >= 0 for c in calls)
    posts = next(c for c in calls if c["collection"] == "posts" and c["operation"] == "fetch")
    assert posts["keys"] == 3
    assert explained["durationMs"] >= max(c["startMs"] + c["durationMs"] for c in calls)


@pytest.mark.parametrize("kind", kinds(("sqlite", "postgresql", "mongodb", "neo4j")))
async def test_a_trace_holds_the_statement_in_the_stores_own_language(kind: str) -> None:
    users = next(c for c in graph.collections if c.name == "users")
    stores, _ = await memory_stores(odd_rows())
    async with store_of(kind, [users], "users") as store:
        stores._stores["users"] = store
        response = await Service(graph, stores).answer(Request("{ users { nodes { name } } }", explain="trace"))
    (call,) = orjson.loads(response.body)["extensions"]["explain"]["calls"]
    assert call["kind"] == kind
    (statement,) = call["statements"]
    if kind == "mongodb":
        assert statement["aggregate"] == "users"
        assert isinstance(statement["pipeline"], list)
    else:
        assert ("MATCH" if kind == "neo4j" else "SELECT") in statement


async def test_explain_is_refused_where_it_is_not_allowed() -> None:
    service = Service(graph, (await memory_stores())[0], may_explain=False)
    response = await service.answer(Request(QUERY, explain="plan"))
    assert response.status == 403
    assert orjson.loads(response.body)["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_metrics_count_what_was_refused_and_how_the_caches_did() -> None:
    many = "{" + " ".join(f"a{i}: __typename" for i in range(21)) + "}"
    service = Service(graph, (await memory_stores())[0])
    for query in ("{ __schema { queryType { name } } }", "{ users { nodes { name } } }", "{ users { nodes { name } } }", "{ nope }", many):
        await service.answer(Request(query))
    text = metrics.text_of(service.readings()).decode()
    assert 'gateway_limits_broken_total{code="ROOT_FIELD_LIMIT",result="refused"} 1.0' in text
    assert 'gateway_plans_total{result="hit"} 1.0' in text
    assert 'gateway_plans_total{result="miss"} 2.0' in text
    assert 'gateway_store_calls_total{collection="users",store="users"} 2.0' in text
    assert "gateway_document_cache_hits_total 1.0" in text
    assert "gateway_document_cache_size_broken 2.0" in text
