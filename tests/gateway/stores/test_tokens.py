"""What a client is told of what it wrote: it is seen again, and nothing that a client makes of it does any harm."""

from __future__ import annotations

import base64
import random
from typing import cast

import pytest

from gateway.errors import StoreUnavailable
from gateway.stores.memory import MemoryStore
from gateway.stores.routing import UNKNOWN, Freshness
from gateway.stores.tokens import LIFE_S, TOKEN_MAX, Tokens
from tests.gateway.stores.routes import FakeRoute, FakeServer

KEY = "a key that all processes have"


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def route(name: str, at: int = 0) -> FakeRoute:
    return FakeRoute(name, FakeServer(MemoryStore(name)), at=at)


async def told(tokens: Tokens, *wrote: str, seen: dict[str, str] | None = None) -> str:
    freshness = Freshness(seen=seen or {}, wrote=set(wrote))
    await tokens.tell(freshness)
    return cast("str", tokens.token(freshness))


async def test_what_was_written_is_seen_in_every_process_of_one_key() -> None:
    routes = [route("users", 41), route("posts", 7)]
    token = await told(Tokens(routes, KEY), "users", "posts")
    assert Tokens(routes, KEY).freshness(token).seen == {"users": "41", "posts": "7"}
    assert token.isascii()
    assert "=" not in token


async def test_of_two_tokens_what_is_later_has_to_be_seen() -> None:
    users, posts = route("users", 41), route("posts", 7)
    tokens = Tokens([users, posts], KEY)
    first = await told(tokens, "users", "posts")
    users.at = 40
    second = await told(tokens, "users")
    assert tokens.freshness(first, None, second).seen == {"users": "41", "posts": "7"}


async def test_a_token_has_what_was_seen_before_it() -> None:
    tokens = Tokens([route("users", 41), route("posts", 7)], KEY)
    token = await told(tokens, "users", seen={"posts": "6", "users": "50"})
    assert tokens.freshness(token).seen == {"users": "50", "posts": "6"}


def test_who_has_written_nothing_has_no_token() -> None:
    assert Tokens([route("users")], KEY).token(Freshness()) is None


async def test_a_store_that_does_not_tell_is_read_at_its_primary() -> None:
    users = route("users", 41)
    users.error = StoreUnavailable("users")
    tokens = Tokens([users, route("posts", 7)], KEY)
    assert tokens.freshness(await told(tokens, "users", "posts")).seen == {"users": UNKNOWN, "posts": "7"}


async def test_where_it_was_known_before_too() -> None:
    users = route("users", 41)
    tokens = Tokens([users], KEY)
    known = await told(tokens, "users")
    users.error = StoreUnavailable("users")
    unknown = await told(tokens, "users")
    for both in ((known, unknown), (unknown, known)):
        assert tokens.freshness(*both).seen == {"users": UNKNOWN}
    assert tokens.freshness(await told(tokens, "users", seen={"users": "41"})).seen == {"users": UNKNOWN}


def test_so_is_one_whose_request_was_cut() -> None:
    tokens = Tokens([route("users", 41)], KEY)
    assert tokens.freshness(tokens.token(Freshness(wrote={"users"}))).seen == {"users": UNKNOWN}


async def test_a_token_of_a_process_with_another_key_has_all_read_at_the_primary() -> None:
    routes = [route("users", 41), route("posts", 7)]
    token = await told(Tokens(routes), "users")
    assert Tokens(routes).freshness(token).seen == {"users": UNKNOWN, "posts": UNKNOWN}


async def test_a_token_that_was_changed_is_one_of_nobody() -> None:
    tokens = Tokens([route("users", 41)], KEY)
    token = await told(tokens, "users")
    letters = random.Random(1)
    unknown = {"users": UNKNOWN}
    for place in range(len(token)):
        for changed in (token[:place] + letters.choice("_-aB0=.é\x00") + token[place + 1 :], token[:place]):
            if _bytes(changed) != _bytes(token):
                assert tokens.freshness(changed).seen == unknown, changed


def _bytes(token: str) -> bytes | None:
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return None


@pytest.mark.parametrize("token", ["", "x", "a" * (TOKEN_MAX + 1), "%%%", "\ud800", 7, True, {"a": 1}, ["x"]])
def test_what_is_no_token_is_no_error(token: object) -> None:
    assert Tokens([route("users")], KEY).freshness(token).seen == {"users": UNKNOWN}


async def test_a_token_has_a_life() -> None:
    clock = Clock()
    tokens = Tokens([route("users", 41), FakeRoute("posts", FakeServer(MemoryStore("p")), max_lag_s=None)], KEY, clock)
    assert tokens.life_s == LIFE_S + 5
    token = await told(tokens, "users")
    clock.now += tokens.life_s
    assert tokens.freshness(token).seen == {"users": "41"}
    clock.now += 0.1
    assert tokens.freshness(token).seen == {}


async def test_a_position_that_a_store_does_not_know_any_more_is_none() -> None:
    then, now = [route("users", 41), route("gone", 3)], route("users")
    now.knows = lambda position: False  # type: ignore[method-assign]
    token = await told(Tokens(then, KEY), "users", "gone")
    assert Tokens([now], KEY).freshness(token).seen == {}


async def test_a_token_is_never_longer_than_one_may_be() -> None:
    routes = [route("x" * 60 + str(number), 10**200) for number in range(9)]
    tokens = Tokens(routes, KEY)
    names = [each.name for each in routes]
    token = await told(tokens, *names)
    assert len(token) <= TOKEN_MAX
    assert tokens.freshness(token).seen == dict.fromkeys(names, UNKNOWN)
