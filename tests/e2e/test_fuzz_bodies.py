"""Some hundred mutated bodies and documents, in process and over a socket; ``make fuzz-bodies`` sends 100,000."""

from __future__ import annotations

import pytest

from tests.fuzzing.gateways import ALIVE, InProcess
from tests.fuzzing.runs import Outcome, fuzz, send_one
from tests.samples import Sample, bad, generated, good, hostile_ones, introspection
from tests.serving import filled


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return [*good(), *introspection(), *generated(10), *bad(), *hostile_ones()]


async def test_mutated_bodies_and_documents_are_answered_or_refused(samples: list[Sample]) -> None:
    async with filled("sqlite") as urls:
        outcome = await fuzz(urls, samples, seed=20, count=400, over_socket=40)
    assert [f"{finding.where}: {finding.problem}\n{finding.reproducer}" for finding in outcome.findings] == []
    assert outcome.messages == sum(outcome.statuses.values()) == 440
    assert {"200", "400", "415"} <= outcome.statuses.keys()
    assert {"BAD_JSON", "GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED", "BAD_REQUEST", "METHOD_NOT_ALLOWED"} <= outcome.codes.keys()


@pytest.mark.live
async def test_mutated_bodies_on_servers_are_answered_or_refused(samples: list[Sample]) -> None:
    async with filled("live") as urls:
        outcome = await fuzz(urls, samples, seed=21, count=300, over_socket=0)
    assert [f"{finding.where}: {finding.problem}\n{finding.reproducer}" for finding in outcome.findings] == []
    assert outcome.messages == 300


async def test_an_application_that_raises_is_found_with_its_reproducer() -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError("on purpose")

    outcome = Outcome()
    await send_one(InProcess(broken), "in process", ALIVE, outcome)
    (finding,) = outcome.findings
    assert finding.problem == "expected an answer, got ZeroDivisionError('on purpose')"
    assert finding.reproducer == ALIVE.reproducer()
