"""Every hostile document and value gets its answer or its refusal, with the limit's own code and nothing of the inside."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import orjson
import pytest

from gateway.service import Request, Service
from schema import schema as graph
from tests.hostile.documents import Hostile, hostile
from tests.oracle.rows import odd_rows
from tests.services import memory_stores

Shop = tuple[asyncio.Runner, Service]
CASES = list(hostile())


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with asyncio.Runner() as runner:
        stores, _ = runner.run(memory_stores(odd_rows()))
        yield runner, Service(graph, stores)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_answered_or_refused_by_its_limit(shop: Shop, case: Hostile) -> None:
    runner, service = shop
    service.stores.calls.clear()
    request = Request(case.query, dict(case.variables), case.operation_name)
    for _ in range(2):  # read, and from the cache
        response = runner.run(service.answer(request, request_id="test", deadline_s=10))
        answer = orjson.loads(response.body)
        errors = answer.get("errors", [])
        codes = {error["extensions"]["code"] for error in errors}
        assert response.status == case.status
        assert len(errors) <= 20
        assert len(response.body) < 20_000 or case.code is None, "nothing is echoed whole"
        if case.code is None:
            assert not errors
        else:
            assert case.code in codes
            assert answer.get("data") is None
            assert not service.stores.calls, "refused before a store is asked"


def test_names_are_the_cases_own() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
