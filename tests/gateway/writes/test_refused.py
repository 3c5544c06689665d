"""A mutation that is refused leaves nothing but an audit row and, under its key, the refusal."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import BadUserInput, CallerError, Conflict, Forbidden, NotFound, StoreUnavailable
from gateway.stores import Stores
from gateway.writes import running as module
from gateway.writes.running import run
from gateway.writes.transaction import Transaction
from tests.gateway.writes.world import BOB, CREATED, PEOPLE, contents, context, create, keyed

REFUSALS = [
    NotFound("There is no person 'bob'.", field="personId"),
    BadUserInput("The name is too long.", field="name"),
    Conflict("Another row of people has the same email.", field="email"),
    Forbidden("Not yours."),
    CallerError("Whatever."),
]


def refusing(error: CallerError) -> Any:
    async def work(tx: Transaction) -> None:
        await tx.insert(PEOPLE, BOB)
        raise type(error)(error.message, **{name: value for name, value in error.extensions.items() if name != "code"})

    return work


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: type(error).__name__)
async def test_a_refusal_is_audited_and_its_key_gives_it_again(home: Stores, error: CallerError) -> None:
    for _ in range(2):
        with pytest.raises(type(error)) as caught:
            await run(keyed(home), "home", "createPerson", refusing(error), arguments={"a": 1})
        assert (caught.value.message, caught.value.extensions) == (error.message, error.extensions)
    found = await contents(home)
    assert (found["people"], found["crossgraph_versions"], found["crossgraph_outbox"]) == ([], [], [])
    [audit] = found["crossgraph_audit"]
    assert {name: audit[name] for name in ("subject", "request_id", "field", "noun", "key", "action", "version", "before", "after")} == {
        "subject": "tester",
        "request_id": "request-1",
        "field": "createPerson",
        "noun": "people",
        "key": "bob",
        "action": "refused",
        "version": None,
        "before": None,
        "after": None,
    }
    assert audit["error"] == {"message": error.message, "code": error.extensions["code"]}


async def test_a_refusal_without_a_key_is_audited_each_time(home: Stores) -> None:
    for _ in range(2):
        with pytest.raises(NotFound):
            await run(context(home), "home", "createPerson", refusing(REFUSALS[0]))
    assert len((await contents(home))["crossgraph_audit"]) == 2


async def test_a_refusal_is_delivered_to_an_audit_of_its_own(home: Stores) -> None:
    with pytest.raises(NotFound):
        await run(context(home, audit="away"), "home", "createPerson", refusing(REFUSALS[0]))
    found = await contents(home)
    assert found["crossgraph_audit"] == []
    [delivery] = found["crossgraph_deliveries"]
    assert (delivery["target"], delivery["payload"]["action"], delivery["payload"]["id"]) == ("audit", "refused", delivery["outbox"])


async def test_a_refusal_where_nothing_is_logged_is_in_the_log_of_the_process(home: Stores, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "gateway.audit")
    with pytest.raises(NotFound):
        await run(context(home, logged=()), "home", "f", refusing(REFUSALS[0]))
    assert (await contents(home))["crossgraph_audit"] == []
    assert caplog.messages == ["request-1: f by tester: refused: There is no person 'bob'."]


async def test_an_error_that_is_no_refusal_keeps_nothing(home: Stores) -> None:
    async def work(tx: Transaction) -> None:
        await create(tx)
        raise ZeroDivisionError

    before = await contents(home)
    with pytest.raises(ZeroDivisionError):
        await run(keyed(home), "home", "createPerson", work)
    assert await contents(home) == before
    assert not (await run(keyed(home), "home", "createPerson", create)).is_repeated


@pytest.mark.usefixtures("apart")
async def test_of_a_refusal_and_a_write_of_one_key_at_once_one_holds(home: Stores) -> None:
    """The refused one has rolled back when the other takes the key: what that does is the outcome of both."""
    original = module._refused

    async def late(*args: Any) -> Any:
        await run(keyed(home), "home", "createPerson", create)
        return await original(*args)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "_refused", late)
        ran = await run(keyed(home), "home", "createPerson", refusing(REFUSALS[0]))
    assert (ran.outcomes, ran.is_repeated) == (CREATED, True)


async def test_a_refusal_stands_though_the_audit_cannot_be_written(
    home: Stores, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(*_: Any) -> None:
        raise StoreUnavailable("home")

    monkeypatch.setattr(Transaction, "ask_untold", away)
    with pytest.raises(NotFound):
        await run(context(home), "home", "f", refusing(REFUSALS[0]))
    assert "request-1: the refusal of f is not in the audit: The store 'home' is unavailable." in caplog.messages
