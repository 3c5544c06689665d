"""The example's mutations, wherever the nouns live: what they answer, what is refused, and that reads afterwards have what was written."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gateway.context import RequestContext
from gateway.service import Request
from gateway.stores.base import Fetch, Get
from gateway.writes.tables import tables_of
from resolvers.graph import follows
from resolvers.posts import posts
from resolvers.users import users
from resolvers.writes import WELCOME, welcome
from tests.e2e.model import AT, FIELDS, READ, Model, Refused, operation
from tests.e2e.worlds import World, layouts, world
from tests.forms import of_form
from tests.oracle.rows import Rows

EXAMPLES = of_form(2, 4, "E2E_MUTATIONS")  # of random sequences, per layout

_runs = count()
CREATE = """mutation ($input: CreateUserInput!) { createUser(input: $input) {
    user { id version } welcomePost { id title published author { id } } } }"""


@pytest.fixture(scope="module", params=layouts())
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A gateway over empty stores."""
    folder = tmp_path_factory.mktemp("empty")
    Rows([], [], [], []).write(folder)
    with world(str(request.param), folder) as its:
        yield its


@pytest.fixture
def name() -> str:
    """A part of keys that no other test has."""
    return f"t{next(_runs)}"


def refused(answer: dict[str, Any]) -> tuple[str, str | None]:
    """Return the code and the field of the only error."""
    [error] = answer["errors"]
    return error["extensions"]["code"], error["extensions"].get("field")


def create(made: World, key: str, **more: Any) -> dict[str, Any]:
    answer = made.ask(CREATE, {"input": {"id": key, "name": "Ada", "email": f"{key}@b.c", "welcomePost": False, **more}})
    assert "errors" not in answer, answer
    return dict(answer["data"]["createUser"])


# ----------------------------------------------------------------------------------------------------------- differential

_NUMBERS = st.integers(0, 3).map(str)
_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).filter(str.strip)
_WORDS = st.lists(_TEXT, max_size=3)


def _inputs(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional)


_OPTIONAL_OF_USER = {
    "active": st.booleans(),
    "gender": st.none() | _TEXT,
    "birthday": st.none() | st.just("1985-09-20"),
    "languages": _WORDS,
}
_OPTIONAL_OF_POST = {
    "content": _TEXT,
    "image": st.none() | _TEXT,
    "language": st.none() | _TEXT,
    "forum": st.none() | _TEXT,
    "tags": _WORDS,
    "published": st.booleans(),
}
_VERSION = {"expectedVersion": st.integers(0, 4)}
_EMAILS = st.sampled_from(("a", "b", "c", "d", "e"))
_EVENTS = _inputs(
    {"id": _NUMBERS, "type": st.sampled_from(("LIKE", "JOIN")), "userId": _NUMBERS, "occurredAt": st.just(AT)},
    {"postId": st.none() | _NUMBERS, "payload": st.sampled_from(({}, {"a": [1, None, "x"]}))},
)
_FOLLOWS = _inputs({"followerId": _NUMBERS, "followeeId": _NUMBERS}, {"since": st.just(AT)})
_POSTS = _inputs({"id": _NUMBERS, "authorId": _NUMBERS, "title": _TEXT, "createdAt": st.just(AT)}, _OPTIONAL_OF_POST)
_USERS = _inputs({"id": _NUMBERS, "name": _TEXT, "email": _EMAILS, "createdAt": st.just(AT)}, _OPTIONAL_OF_USER)
STEPS = st.one_of(
    st.tuples(st.just("createUser"), st.none(), _USERS),
    st.tuples(st.just("createUser"), st.none(), _USERS),
    st.tuples(st.just("updateUser"), _NUMBERS, _inputs({}, {"name": _TEXT, "email": _EMAILS, **_OPTIONAL_OF_USER, **_VERSION})),
    st.tuples(st.just("deleteUser"), _NUMBERS, st.none()),
    st.tuples(st.just("createPost"), st.none(), _POSTS),
    st.tuples(st.just("updatePost"), _NUMBERS, _inputs({}, {"title": _TEXT, **_OPTIONAL_OF_POST, **_VERSION})),
    st.tuples(st.just("deletePost"), _NUMBERS, st.none()),
    st.tuples(st.just("recordEvent"), st.none(), _EVENTS),
    st.tuples(st.just("recordEvents"), st.none(), st.lists(_EVENTS, max_size=4)),
    st.tuples(st.just("follow"), st.none(), _FOLLOWS),
    st.tuples(st.just("unfollow"), st.none(), _FOLLOWS),
)


def named(run: str, value: Any, field: str = "") -> Any:
    """Return an input whose keys and emails no other run has."""
    if isinstance(value, list) and field == "":
        return [named(run, item) for item in value]
    if isinstance(value, dict):
        return {name: item if name == "payload" else named(run, item, name) for name, item in value.items()}
    if field == "email":
        return f"{run}{value}@example.org"
    return f"{run}-{value}" if value is not None and (field == "id" or field.endswith("Id")) else value


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.generate))
@given(steps=st.lists(STEPS, min_size=5, max_size=25))
def test_after_any_mutations_reads_are_those_of_the_model(made: World, steps: list[tuple[str, str | None, Any]]) -> None:
    run = f"r{next(_runs)}"
    model = Model()
    for field, number, raw in steps:
        key = None if number is None else f"{run}-{number}"
        values = named(run, raw)
        given = {**values, "welcomePost": False} if field == "createUser" else values
        variables = {name: value for name, value in (("id", key), ("input", given)) if value is not None}
        answer = made.ask(operation(field), variables)
        expected = model.answer(field, key, given)
        if isinstance(expected, Refused):
            code, its = refused(answer)
            assert code == expected.code, (field, variables, answer)
            assert its in expected.fields if expected.fields else its is None, (field, variables, answer)
            assert answer["data"] == {field: None}
        else:
            assert answer == {"data": {field: expected}}, (field, variables)
    keys = {noun: [f"{run}-{number}" for number in range(4)] for noun in ("users", "posts", "events")}
    assert made.ask(READ, keys) == {"data": model.read()}


# --------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("field", "given", "at"),
    [
        ("createUser", {"name": " ", "email": "x@y"}, "name"),
        ("createUser", {"name": "n" * 257, "email": "x@y"}, "name"),
        ("createUser", {"name": "N", "email": "xy"}, "email"),
        ("createUser", {"name": "N", "email": f"{'x' * 250}@y.zz"}, "email"),
        ("createUser", {"name": "N", "email": "x@y", "birthday": "2999-01-01"}, "birthday"),
        ("createUser", {"name": "N", "email": "x@y", "languages": ["en", ""]}, "languages"),
        ("createUser", {"name": "N", "email": "x@y", "languages": ["en"] * 101}, "languages"),
        ("createUser", {"id": "", "name": "N", "email": "x@y"}, "id"),
        ("createUser", {"name": "N", "email": "x@y", "createdAt": "infinity"}, "createdAt"),
        ("createPost", {"authorId": "1", "title": ""}, "title"),
        ("createPost", {"authorId": "1", "title": "T", "content": "c" * 100_001}, "content"),
        ("recordEvent", {"type": "like", "userId": "1"}, "type"),
        ("recordEvent", {"type": "LIKE", "userId": " "}, "userId"),
        ("follow", {"followerId": "", "followeeId": "1"}, "followerId"),
    ],
)
def test_what_may_not_stand_in_a_noun_is_refused_with_its_field(made: World, field: str, given: Any, at: str) -> None:
    answer = made.ask(operation(field), {"input": given})
    assert answer["data"] == {field: None}
    assert refused(answer) == ("BAD_USER_INPUT", at)


@pytest.mark.parametrize(
    ("field", "given", "at"),
    [
        ("createUser", {"name": "a\0b", "email": "x@y"}, "name"),
        ("createUser", {"id": "Post:1", "name": "N", "email": "x@y"}, "id"),
        ("createUser", {"name": "N", "email": "x@y", "createdAt": "2020-01-01T00:00:00.000001Z"}, "createdAt"),
        ("createPost", {"authorId": "Post:1", "title": "T"}, "authorId"),
        ("recordEvent", {"type": "LIKE", "userId": "1", "payload": {"a": ["\0"]}}, "payload"),
        ("follow", {"followerId": "Event:1", "followeeId": "1"}, "followerId"),
    ],
)
def test_what_is_none_of_its_type_is_refused_before_any_store_is_asked(made: World, field: str, given: Any, at: str) -> None:
    calls = made.stores.calls.total()
    answer = made.ask(operation(field), {"input": given})
    assert "data" not in answer
    assert refused(answer) == ("BAD_USER_INPUT", at)
    assert made.stores.calls.total() == calls


@pytest.mark.parametrize(
    ("field", "key"), [("updateUser", "nobody"), ("updatePost", "nobody"), ("deleteUser", "User:nobody"), ("deletePost", "nobody")]
)
def test_what_is_not_there_is_not_found(made: World, field: str, key: str) -> None:
    variables: dict[str, Any] = {"id": key} if field.startswith("delete") else {"id": key, "input": {}}
    assert refused(made.ask(operation(field), variables)) == ("NOT_FOUND", "id")


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9223372036854775808", "123456789012345678901234567890"])
def test_numbers_that_no_store_holds_are_refused(made: World, number: str) -> None:
    answer = made.ask(f'mutation {{ recordEvent(input: {{type: "LIKE", userId: "1", payload: {{a: [{number}]}}}}) {{ id }} }}')
    assert "data" not in answer
    assert refused(answer) == ("BAD_USER_INPUT", "payload")


def test_a_payload_is_what_it_was(made: World, name: str) -> None:
    payload = {"": 1, "$set": {"a.b": [1.5, -0.25, 9223372036854775807, None, True]}, "_id": "x", "é😀": {"__proto__": []}}
    given = {"id": name, "type": "LIKE", "userId": "1", "payload": payload, "occurredAt": AT}
    for _ in range(2):
        answer = made.ask(operation("recordEvent"), {"input": given})
        assert answer["data"]["recordEvent"]["payload"] == payload
    assert made.ask(f'{{ event(id: "{name}") {{ payload }} }}') == {"data": {"event": {"payload": payload}}}


def test_true_is_another_payload_than_1(made: World, name: str) -> None:
    given = {"id": name, "type": "LIKE", "userId": "1", "occurredAt": AT}
    assert "errors" not in made.ask(operation("recordEvent"), {"input": {**given, "payload": {"a": [1, {"b": 0}]}}})
    for payload in ({"a": [True, {"b": 0}]}, {"a": [1, {"b": False}]}, {"a": [1, {"b": 0}], "c": None}):
        assert refused(made.ask(operation("recordEvent"), {"input": {**given, "payload": payload}})) == ("CONFLICT", "id")
    assert "errors" not in made.ask(operation("recordEvent"), {"input": {**given, "payload": {"a": [1.0, {"b": 0}]}}})


@pytest.mark.parametrize("is_decomposed", [False, True])
def test_an_address_is_one_in_all_its_normal_forms(made: World, name: str, is_decomposed: bool) -> None:
    """B36: it is stored as it was given, and unique by its normal form."""
    forms = [f"ren\u00e9.{name}@b.c", f"rene\u0301.{name}@b.c"]
    first, second = reversed(forms) if is_decomposed else forms
    given = {"name": "n" * 254 + "é😀", "welcomePost": False}
    create(made, name, email=first, name=given["name"])
    assert made.ask("query ($id: ID) { user(id: $id) { name email } }", {"id": name}) == {
        "data": {"user": {"name": given["name"], "email": first}}
    }
    assert refused(made.ask(CREATE, {"input": {**given, "email": second}})) == ("CONFLICT", "email")
    create(made, f"{name}-b")
    assert refused(made.ask(operation("updateUser"), {"id": f"{name}-b", "input": {"email": second}})) == ("CONFLICT", "email")
    mixed = f"e\u0301\u00e9{name}@b.c"
    assert refused(made.ask(CREATE, {"input": {**given, "email": mixed}})) == ("BAD_USER_INPUT", "email")


def test_one_id_of_another_type_refuses_the_operation(made: World) -> None:
    assert refused(made.ask('mutation { deleteUser(id: "Post:1") }')) == ("BAD_USER_INPUT", "id")


def test_a_user_who_is_refused_leaves_nothing_behind(made: World, name: str) -> None:
    create(made, f"{name}a")
    answer = made.ask(CREATE, {"input": {"id": f"{name}b", "name": "B", "email": f"{name}a@b.c"}})
    assert refused(answer) == ("CONFLICT", "email")
    assert made.ask(f'{{ user(id: "{name}b") {{ id }} posts(where: {{authorId: {{eq: "{name}b"}}}}) {{ totalCount }} }}')["data"] == {
        "user": None,
        "posts": {"totalCount": 0},
    }


# ------------------------------------------------------------------------------------------------------ null and absent


def test_null_clears_and_absent_keeps(made: World, name: str) -> None:
    create(made, name, gender="x", birthday="1985-09-20")
    answer = made.ask(operation("updateUser"), {"id": name, "input": {"gender": None}})["data"]["updateUser"]
    assert (answer["gender"], answer["birthday"], answer["name"], answer["version"]) == (None, "1985-09-20", "Ada", 2)


def test_null_where_there_has_to_be_a_value_is_refused(made: World, name: str) -> None:
    create(made, name)
    assert refused(made.ask(operation("updateUser"), {"id": name, "input": {"name": None}})) == ("BAD_USER_INPUT", "name")


def test_an_update_of_nothing_is_no_write(made: World, name: str) -> None:
    create(made, name)
    answer = made.ask("mutation ($id: ID!) { updateUser(id: $id, input: {}) { version createdAt updatedAt } }", {"id": name})
    found = answer["data"]["updateUser"]
    assert found["version"] == 1
    assert found["createdAt"] == found["updatedAt"]


def test_a_new_user_has_a_new_key_and_the_time_of_now(made: World, name: str) -> None:
    query = """mutation ($e: String!) { createUser(input: {id: null, name: "N", email: $e, welcomePost: false}) {
        user { id createdAt updatedAt } } }"""
    first, second = (made.ask(query, {"e": f"{name}{n}@b.c"})["data"]["createUser"]["user"] for n in (1, 2))
    assert first["id"] != second["id"]
    assert first["createdAt"] == first["updatedAt"] > "2026"


# ------------------------------------------------------------------------------------------------------------- versions


def test_a_loaded_user_has_version_0_and_each_write_counts_it_up(made: World, name: str) -> None:
    create(made, name)
    query = 'mutation ($id: ID!, $v: Int) { updateUser(id: $id, input: {name: "B", expectedVersion: $v}) { version } }'
    assert made.ask(query, {"id": name, "v": 1})["data"] == {"updateUser": {"version": 2}}
    stale = made.ask(query, {"id": name, "v": 1})
    assert refused(stale)[0] == "CONFLICT"
    assert stale["errors"][0]["extensions"]["version"] == 2
    assert made.ask(query, {"id": name, "v": None})["data"] == {"updateUser": {"version": 3}}


# ----------------------------------------------------------------------------------------------------- what is below


def test_what_is_selected_below_a_write_sees_it(made: World, name: str) -> None:
    create(made, name)
    answer = made.ask(
        """mutation ($a: ID!, $p: ID!) { createPost(input: {id: $p, authorId: $a, title: "T"}) {
            title author { name posts { totalCount nodes { id } } } } }""",
        {"a": name, "p": f"{name}p"},
    )
    posts_ = {"totalCount": 1, "nodes": [{"id": f"Post:{name}p"}]}
    assert answer == {"data": {"createPost": {"title": "T", "author": {"name": "Ada", "posts": posts_}}}}


def test_one_of_several_that_is_refused_takes_its_own_answer_alone(made: World, name: str) -> None:
    answer = made.ask(
        """mutation ($i: CreateUserInput!) { a: createUser(input: $i) { user { name } } b: createUser(input: $i) { user { name } }
            c: updateUser(id: "nobody", input: {}) { id } }""",
        {"i": {"id": name, "name": "Ada", "email": f"{name}@b.c", "welcomePost": False}},
    )
    assert answer["data"] == {"a": {"user": {"name": "Ada"}}, "b": None, "c": None}
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["CONFLICT", "NOT_FOUND"]
    assert answer["extensions"] == {"committed": ["a"]}


# -------------------------------------------------------------------------------------------------------------- welcome


def test_the_first_post_is_there_or_on_its_way(made: World, name: str) -> None:
    answer = made.ask(CREATE, {"input": {"id": name, "name": "Ada", "email": f"{name}@b.c"}})
    post = {"id": f"Post:welcome-{name}", "title": "Welcome!", "published": True, "author": {"id": f"User:{name}"}}
    user = {"id": f"User:{name}", "version": 1}
    if made.stores[users.store] is made.stores[posts.store]:
        assert answer == {"data": {"createUser": {"user": user, "welcomePost": post}}}
        return
    assert answer == {"data": {"createUser": {"user": user, "welcomePost": None}}, "extensions": {"replication": "pending"}}
    [delivery] = [row for row in made.runner.run(deliveries(made)) if row[0] == WELCOME and row[1] == name]
    assert delivery[2] == f"welcome-{name}"
    made.runner.run(welcomed(made, name))
    made.runner.run(welcomed(made, name))  # at least once
    assert made.ask(f'{{ user(id: "{name}") {{ posts {{ nodes {{ id title published author {{ id }} }} }} }} }}') == {
        "data": {"user": {"posts": {"nodes": [post]}}}
    }


async def deliveries(made: World) -> list[Any]:
    table = tables_of(users.store).deliveries
    answer = await made.stores.ask(Fetch(table, ("target", "key", "payload")))
    return [row for part in answer.values() for row in part.rows]


async def welcomed(made: World, key: str) -> None:
    """Do what the relay does for the follow-up of a user."""
    rows = await made.stores.ask(Get(users, users.names, [key]))
    ctx = RequestContext(made.stores, "test", replication=made.service.replication)
    await welcome(ctx, dict(zip(users.names, rows[key], strict=True)), None)


def test_who_is_there_again_has_a_first_post_of_their_own(made: World, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However late the deletion of the one before is carried on; a request that is sent again has the same."""
    monkeypatch.setattr("resolvers.writes.WELCOME_WAIT_S", 0.1)
    given = {"id": name, "name": "Ada", "email": f"{name}@b.c"}
    made.ask(CREATE, {"input": given})
    assert made.ask("mutation ($id: ID!) { deleteUser(id: $id) }", {"id": name}) == {"data": {"deleteUser": f"User:{name}"}}
    for _ in range(2):
        answer = made.ask(CREATE, {"input": given}, idempotency_key=name)
        user, post = answer["data"]["createUser"].values()
        assert user["version"] == 3
        assert post is None or post["id"] == f"Post:welcome3-{name}"
        assert post is None or made.stores[users.store] is made.stores[posts.store]


def test_nobody_waits_for_a_post_that_is_not_selected(made: World, name: str) -> None:
    query = "mutation ($input: CreateUserInput!) { createUser(input: $input) { user { id } } }"
    answer = made.ask(query, {"input": {"id": name, "name": "Ada", "email": f"{name}@b.c"}})
    assert answer == {"data": {"createUser": {"user": {"id": f"User:{name}"}}}}


# ----------------------------------------------------------------------------------------------------- idempotency keys


def test_a_request_that_is_sent_again_has_the_first_outcome(made: World, name: str) -> None:
    variables: dict[str, dict[str, Any]] = {"input": {"name": "Ada", "email": f"{name}@b.c", "welcomePost": False}}
    first = made.ask(CREATE, variables, idempotency_key=name)
    key = first["data"]["createUser"]["user"]["id"]
    made.ask(operation("updateUser"), {"id": key, "input": {"name": "Bo"}})
    again = made.ask(CREATE.replace("id version", "id name version"), variables, idempotency_key=name)
    assert again == {"data": {"createUser": {"user": {"id": key, "name": "Bo", "version": 2}, "welcomePost": None}}}
    other = made.ask(CREATE, {"input": {**variables["input"], "name": "Eve"}}, idempotency_key=name)
    assert "data" not in other
    assert refused(other)[0] == "BAD_USER_INPUT"


@pytest.mark.parametrize("field", [field for field in FIELDS if field != "createUser"])
def test_every_mutation_can_be_sent_again(made: World, name: str, field: str) -> None:
    create(made, f"{name}a")
    create(made, f"{name}b")
    made.ask(operation("createPost"), {"input": {"id": f"{name}p", "authorId": f"{name}a", "title": "T"}})
    event = {"type": "LIKE", "userId": f"{name}a"}
    each: dict[str, dict[str, Any]] = {
        "updateUser": {"id": f"{name}a", "input": {"name": "New"}},
        "deleteUser": {"id": f"{name}a"},
        "createPost": {"input": {"authorId": f"{name}a", "title": "New"}},
        "updatePost": {"id": f"{name}p", "input": {"published": True}},
        "deletePost": {"id": f"{name}p"},
        "recordEvent": {"input": event},
        "recordEvents": {"input": [event, {**event, "id": f"{name}e"}, event]},
        "follow": {"input": {"followerId": f"{name}a", "followeeId": f"{name}b"}},
        "unfollow": {"input": {"followerId": f"{name}a", "followeeId": f"{name}b"}},
    }
    first, again = (made.ask(operation(field), each[field], idempotency_key=name) for _ in range(2))
    assert "errors" not in first
    assert again == first


def test_a_refusal_is_repeated_as_well(made: World, name: str) -> None:
    variables = {"id": name, "input": {"name": "B"}}
    assert refused(made.ask(operation("updateUser"), variables, idempotency_key=name)) == ("NOT_FOUND", "id")
    create(made, name)
    assert refused(made.ask(operation("updateUser"), variables, idempotency_key=name)) == ("NOT_FOUND", "id")


def test_a_key_in_the_extensions_is_the_same_as_in_the_header(made: World, name: str) -> None:
    variables = {"input": {"name": "Ada", "email": f"{name}@b.c", "welcomePost": False}}

    def sent(**given: Any) -> dict[str, Any]:
        request = Request(CREATE, variables, **given)
        response = made.runner.run(made.service.answer(request, request_id="test", deadline_s=60))
        return dict(orjson.loads(response.body))

    first = sent(idempotency_key=name)
    assert sent(extensions={"idempotencyKey": name}) == first
    assert sent(extensions={"idempotencyKey": name}, idempotency_key=name) == first
    other = sent(extensions={"idempotencyKey": f"{name}2"}, idempotency_key=name)
    assert other["errors"][0]["message"] == "extensions.idempotencyKey: expected the key of the header Idempotency-Key, got another"


def test_a_key_is_for_one_root_field(made: World) -> None:
    answer = made.ask('mutation { a: deletePost(id: "1") b: deletePost(id: "2") }', idempotency_key="k")
    assert "data" not in answer
    assert refused(answer) == ("BAD_USER_INPUT", None)


def test_a_query_has_no_use_for_a_key(made: World) -> None:
    assert made.ask("{ a: __typename b: __typename }", idempotency_key="k") == {"data": {"a": "Query", "b": "Query"}}


# --------------------------------------------------------------------------------------------------------------- events


def test_a_thousand_events_are_recorded_and_one_more_is_refused(made: World, name: str) -> None:
    inputs = [{"id": f"{name}-{n:04}", "type": "LIKE", "userId": name, "postId": "p", "payload": {}} for n in range(1_000)]
    query = "mutation ($i: [RecordEventInput!]!) { recordEvents(input: $i) { id } }"
    answer = made.ask(query, {"i": inputs})
    assert [event["id"] for event in answer["data"]["recordEvents"]] == [f"Event:{its['id']}" for its in inputs]
    conflict = made.ask(query, {"i": [{"id": f"{name}-new", "type": "JOIN", "userId": name}, {**inputs[7], "type": "JOIN"}]})
    assert refused(conflict) == ("CONFLICT", "id")
    total = f'{{ events(where: {{userId: {{eq: "{name}"}}}}) {{ totalCount }} }}'
    assert made.ask(total)["data"] == {"events": {"totalCount": 1_000}}


def test_following_twice_keeps_the_first_since(made: World, name: str) -> None:
    create(made, f"{name}a")
    create(made, f"{name}b")
    both = {"followerId": f"{name}a", "followeeId": f"User:{name}b"}
    for since in (AT, "2021-01-01T00:00:00.000Z"):
        assert "errors" not in made.ask(operation("follow"), {"input": {**both, "since": since}})
    assert made.runner.run(since_when(made, f"{name}a,{name}b")) == [(AT,)]


async def since_when(made: World, edge: str) -> list[tuple[Any, ...]]:
    rows = await made.stores.ask(Get(follows, ("since",), [edge], follows.key_name))
    return [tuple(row) for row in rows.values()]
