"""graphql-transport-ws without a socket: messages in, what is to be done out."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.http.conversation import Close, Conversation, Greet, Send, Start, Stop
from gateway.service import Request

BAD = (Close(4400, "Invalid message received"),)
INIT = {"type": "connection_init"}


def conversation(*, most: int = 3) -> Conversation:
    return Conversation(subscriptions_max=most, json_depth_max=10, json_values_max=100)


def begun(**options: Any) -> Conversation:
    found = conversation(**options)
    say(found, INIT)
    found.acknowledged()
    return found


def say(found: Conversation, message: Any) -> tuple[Any, ...]:
    return tuple(found.received(message if isinstance(message, str) else orjson.dumps(message).decode()))


def subscribe(its: str, query: str = "{a}", **payload: Any) -> dict[str, Any]:
    return {"id": its, "type": "subscribe", "payload": {"query": query, **payload}}


def test_who_begins_is_acknowledged_once_it_is_known_who_it_is() -> None:
    found = conversation()
    assert say(found, {**INIT, "payload": {"a": 1}}) == (Greet({"a": 1}),)
    assert found.acknowledged() == (Send(b'{"type":"connection_ack"}'),)
    assert found.acknowledged() == ()


@pytest.mark.parametrize("payload", [None, {}])
def test_a_payload_may_be_left_out(payload: Any) -> None:
    assert say(conversation(), {**INIT, "payload": payload}) == (Greet({}),)
    assert say(conversation(), INIT) == (Greet({}),)


def test_an_operation_from_its_start_to_its_end() -> None:
    found = begun()
    variables = {"a": 1}
    [start] = say(found, subscribe("x", variables=variables, operationName="A", extensions={"cursor": "c"}))
    assert start == Start("x", Request("{a}", variables, "A", {"cursor": "c"}))
    assert found.next("x", b'{"data":1}') == b'{"id":"x","type":"next","payload":{"data":1}}'
    assert found.completed("x") == b'{"id":"x","type":"complete"}'
    assert found.completed("x") is None
    assert found.next("x", b"{}") is None
    assert say(found, subscribe("x"))[0].id == "x"
    assert found.error("x", b"[1]") == b'{"id":"x","type":"error","payload":[1]}'
    assert found.active == set()


def test_what_the_client_has_enough_of_is_told_no_more() -> None:
    found = begun()
    say(found, subscribe("x"))
    assert say(found, {"id": "x", "type": "complete"}) == (Stop("x"),)
    assert (found.next("x", b"{}"), found.error("x", b"[]"), found.completed("x")) == (None, None, None)
    assert say(found, {"id": "x", "type": "complete"}) == ()  # the two have crossed


def test_pings_are_answered_also_before_the_init() -> None:
    for found in (conversation(), begun()):
        assert say(found, {"type": "ping"}) == (Send(b'{"type":"pong"}'),)
        assert say(found, {"type": "ping", "payload": {"n": 1}}) == (Send(b'{"type":"pong","payload":{"n":1}}'),)
        assert say(found, {"type": "pong"}) == ()


def test_ids_are_any_text() -> None:
    found = begun()
    its = 'é"\\\n😀'
    say(found, subscribe(its))
    message = found.next(its, b"{}")
    assert message is not None
    assert orjson.loads(message)["id"] == its


def test_one_operation_too_many_is_an_error_of_its_id() -> None:
    found = begun(most=2)
    for its in "ab":
        say(found, subscribe(its))
    [sent] = say(found, subscribe("c"))
    message = orjson.loads(sent.message)
    assert (message["id"], message["type"], message["payload"][0]["extensions"]["code"]) == ("c", "error", "SUBSCRIPTION_LIMIT")
    assert found.active == {"a", "b"}
    found.completed("a")
    assert isinstance(say(found, subscribe("c"))[0], Start)


@pytest.mark.parametrize(
    "message",
    [
        "",
        "{",
        "[]",
        "null",
        '"x"',
        "{}",
        '{"type":5}',
        '{"type":"start"}',
        '{"type":"next","id":"a"}',
        '{"type":"connection_ack"}',
        '{"type":"ping","payload":1}',
        '{"type":"complete"}',
        '{"type":"complete","id":5}',
        '{"type":"ping","type":"pong"}',  # a key twice
        '{"type":"ping","payload":{"a":NaN}}',
        '{"type":"ping","payload":{"a":"\\ud800"}}',
        '{"type":"ping","payload":' + '{"a":' * 20 + "1" + "}" * 21,
        '{"type":"ping","payload":{"a":[' + "1," * 2_000 + "1]}}",
        {"type": "subscribe", "payload": {"query": "{a}"}},
        {"type": "subscribe", "id": "", "payload": {"query": "{a}"}},
        {"type": "subscribe", "id": "x" * 256, "payload": {"query": "{a}"}},
        {"type": "subscribe", "id": 5, "payload": {"query": "{a}"}},
        {"type": "subscribe", "id": "x"},
        {"type": "subscribe", "id": "x", "payload": [{"query": "{a}"}]},
        {"type": "subscribe", "id": "x", "payload": {"query": 5}},
        {"type": "subscribe", "id": "x", "payload": {"query": "{a}", "variables": []}},
    ],
)
def test_what_is_no_message_ends_the_socket(message: Any) -> None:
    found = begun()
    assert say(found, message) == BAD
    assert say(found, subscribe("x")) == ()  # nothing is heard after it


def test_what_is_no_text_ends_the_socket() -> None:
    assert tuple(begun().received(None)) == BAD


def test_an_init_that_is_no_object_ends_the_socket() -> None:
    assert say(conversation(), {**INIT, "payload": "x"}) == BAD


def test_the_order_of_things() -> None:
    again = (Close(4429, "Too many initialisation requests"),)
    assert say(conversation(), subscribe("x")) == (Close(4401, "Unauthorized"),)
    greeted = conversation()
    say(greeted, INIT)
    assert say(greeted, INIT) == again  # also while it is not known yet who it is
    greeted = conversation()
    say(greeted, INIT)
    assert say(greeted, subscribe("x")) == (Close(4401, "Unauthorized"),)
    assert greeted.acknowledged() == ()
    assert say(begun(), INIT) == again
    twice = begun()
    say(twice, subscribe("x"))
    assert say(twice, subscribe("x")) == (Close(4409, "Subscriber for x already exists"),)


def test_the_time_for_the_init() -> None:
    late = conversation()
    assert late.init_is_late() == (Close(4408, "Connection initialisation timeout"),)
    assert say(late, INIT) == ()
    in_time = conversation()
    say(in_time, INIT)
    assert in_time.init_is_late() == ()
