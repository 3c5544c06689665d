"""The fuzzer itself: messages that can be sent again, mutations that reach every level, and checks that find what they are for."""

from __future__ import annotations

from collections import Counter

import orjson
import pytest

from tests.fuzzing.checks import codes, problems
from tests.fuzzing.messages import Message
from tests.fuzzing.mutators import Mutator
from tests.samples import Sample, bad, good, hostile_ones, introspection
from tests.serving import Answer

SAMPLES = [*good(), *introspection(), *bad(), *hostile_ones()]
ASKED = Message.post(b'{"query": "{ users { nodes { id } } }"}').framed()


def answer(body: object, status: int = 200) -> Answer:
    written = body if isinstance(body, bytes) else orjson.dumps(body)
    return Answer(status, {b"content-length": b"%d" % len(written)}, written)


def error(message: str, **extensions: object) -> dict[str, object]:
    return {"errors": [{"message": message, "extensions": {"code": "BAD_REQUEST", **extensions}}]}


# -------------------------------------------------------------------------------------------------------------- messages


def test_a_reproducer_is_the_message_again() -> None:
    mutator = Mutator(SAMPLES, seed=7)
    for number in range(300):
        message = mutator.message(number)
        assert Message.again(message.reproducer()) == message


def test_a_message_has_the_length_of_its_body_unless_it_says_another() -> None:
    assert Message.post(b"12345").framed().header(b"content-length") == b"5"
    lying = Message.post(b"12345").with_header(b"content-length", b"9").framed()
    assert lying.header(b"content-length") == b"9"
    assert (ASKED.is_whole, lying.is_whole) == (True, False)


def test_what_a_message_says_holds_what_its_json_escapes() -> None:
    assert "naïve/tmp" in Message.post(rb'{"query": "na\u00efve\/tmp"}').said()


# ------------------------------------------------------------------------------------------------------------- mutations


def test_the_same_seed_gives_the_same_messages() -> None:
    first, again, other = Mutator(SAMPLES, seed=3), Mutator(SAMPLES, seed=3), Mutator(SAMPLES, seed=4)
    messages = [first.message(number) for number in range(50)]
    assert [again.message(number) for number in reversed(range(50))] == messages[::-1]
    assert [other.message(number) for number in range(50)] != messages


def test_mutations_reach_every_level() -> None:
    mutator = Mutator(SAMPLES, seed=1)
    messages = [mutator.message(number) for number in range(2_000)]
    originals = {sample.body for sample in SAMPLES}
    reached = Counter[str]()
    for message in messages:
        reached["methods"] += message.method not in ("GET", "POST")
        reached["urls"] += bool(message.query_string)
        reached["paths"] += message.path != "/graphql"
        reached["heads"] += message.head is not None
        reached["types"] += message.method == "POST" and message.header(b"content-type") != b"application/json"
        reached["bodies"] += message.method == "POST" and message.body not in originals
        reached["surrogates"] += b"\\ud800" in message.body
        reached["deep"] += b"[" * 1_000 in message.body or b'{"a":' * 1_000 in message.body
        reached["no text"] += not message.body.isascii()
        try:
            reached["documents"] += message.method == "POST" and isinstance(orjson.loads(message.body).get("query"), str)
        except (orjson.JSONDecodeError, AttributeError):
            reached["no JSON"] += 1
    assert len(reached) == 11
    assert min(reached.values()) >= 5, reached


# ---------------------------------------------------------------------------------------------------------------- checks


@pytest.mark.parametrize(
    "good_answer",
    [
        answer({"data": {"user": {"name": "SELECT a FROM b; /tmp/x.db"}}}),
        answer({"data": None, "errors": [{"message": "Too late.", "extensions": {"code": "STORE_TIMEOUT"}}]}),
        answer(error("'query' is missing."), 422),
        answer({"data": {}, "extensions": {"explain": {"plan": {"store": "sqlite"}}}}),
        answer(b"Invalid HTTP request received.", 400),
    ],
    ids=["data", "partial", "refused", "explained", "no HTTP"],
)
def test_nothing_is_found_in_a_good_answer(good_answer: Answer) -> None:
    assert problems(ASKED, good_answer) == []


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (answer(error("Internal server error."), 500), "status: expected anything but 500"),
        (answer(b"<html>", 502), "body: expected JSON"),
        (answer([]), "body: expected an object with data or errors"),
        (answer({"detail": "no"}, 404), "body: expected an object with data or errors"),
        (answer({"errors": []}, 400), "errors: expected a list that is not empty"),
        (answer({"errors": [{"message": ""}]}, 400), "error: expected a message"),
        (answer({"errors": [{"message": "no", "extensions": {}}]}, 400), "error: expected extensions.code, got None"),
        (answer({"data": {"a": 1}, **error("no")}, 422), "data: expected none with status 422"),
        (answer(error("Internal server error.", code="INTERNAL_SERVER_ERROR")), "error: expected what the client can act on"),
        (Answer(200, {b"content-length": b"3"}, b'{"data":{}}'), "content-length: expected 11, got 3"),
        (answer(error('Traceback: File "x.py", line 3, in f'), 400), "errors: a traceback in it"),
        (answer(error("no such column: SELECT id FROM users"), 400), "errors: SQL in it"),
        (answer(error("no answer", store="postgresql://gateway:pw@db/x"), 400), "errors: an address in it"),
        (answer(error("no file /tmp/crossgraph/users"), 400), "errors: a path in it"),
        (answer(error("(sqlite3.OperationalError) too big"), 400), "errors: a driver in it"),
        (answer(error("expected str, got <class 'int'>"), 400), "errors: an object of Python in it"),
        (Answer(200, {b"content-length": b"11", b"server": b"uvicorn"}, b'{"data":{}}'), "headers: a driver in it"),
    ],
)
def test_what_is_wrong_is_found(wrong: Answer, found: str) -> None:
    assert any(problem.startswith(found) for problem in problems(ASKED, wrong)), problems(ASKED, wrong)


def test_what_the_client_said_itself_may_be_quoted() -> None:
    quoted = answer(error("There is no operation named 'sqlite:///tmp/x'."), 422)
    asked = Message.post(b'{"query": "{ a }", "operationName": "sqlite:///tmp/x"}')
    assert problems(asked, quoted) == []
    assert problems(ASKED, quoted) != []


def test_the_codes_of_an_answer_are_those_of_its_errors() -> None:
    assert codes(answer(error("no", code="BAD_JSON"), 400)) == ["BAD_JSON"]
    assert codes(answer(b"no JSON")) == []
    assert codes(answer({"data": {}})) == []


def test_samples_are_requests_that_a_client_could_send() -> None:
    assert {"README 1", "GraphiQL's introspection", "empty selection", "B19 2,001 tokens"} <= {sample.name for sample in SAMPLES}
    assert orjson.loads(Sample("x", "{ a }", {"n": 1}, "A").body) == {"query": "{ a }", "variables": {"n": 1}, "operationName": "A"}
