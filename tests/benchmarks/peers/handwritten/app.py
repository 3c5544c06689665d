"""The five operations as an endpoint written by hand: one batched statement per level, dictionaries, orjson. No GraphQL.

It answers the requests that the other peers answer and recognises an operation by its name.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.benchmarks.peers.stores import Stores, stores_from_environment

Data = dict[str, Any]


async def point(stores: Stores, variables: Data) -> Data:
    rows = await stores.user(("id", "name", "email", "created_at"), variables["id"].removeprefix("User:"))
    return {"user": next(({"id": f"User:{r[0]}", "name": r[1], "email": r[2], "createdAt": r[3]} for r in rows), None)}


async def flat(stores: Stores, _: Data) -> Data:
    columns = ("id", "name", "email", "active", "gender", "birthday", "created_at", "updated_at")
    return {
        "users": {
            "nodes": [
                {
                    "id": f"User:{key}",
                    "name": name,
                    "email": email,
                    "active": bool(active),
                    "gender": gender,
                    "birthday": birthday,
                    "createdAt": created_at,
                    "updatedAt": updated_at,
                }
                for key, name, email, active, gender, birthday, created_at, updated_at in await stores.users(columns, 100)
            ]
        }
    }


async def tree(stores: Stores, _: Data) -> Data:
    users = await stores.users(("id", "name", "email", "created_at"), 50)
    keys = [r[0] for r in users]
    posts, events, recommended = await asyncio.gather(
        stores.posts_by_author(("author_id", "id", "title", "published"), keys, 10, newest=True),
        stores.events.by_user(("user_id", "id", "type", "post_id"), keys, 5),
        stores.graph.recommendations(keys, 3),
    )
    post_rows, because_rows = await asyncio.gather(
        stores.posts_by_id(("id", "title", "author_id"), unique([*(r[3] for r in events), *(r[1] for r in recommended)])),
        stores.users_by_id(("id", "name"), unique(key for r in recommended for key in r[3])),
    )
    post_of = {r[0]: r for r in post_rows}
    title_of = {r[0]: {"title": r[1]} for r in post_rows}
    author_rows = await stores.users_by_id(("id", "name"), unique(post_of[r[1]][2] for r in recommended if r[1] in post_of))
    name_of = {r[0]: {"name": r[1]} for r in (*because_rows, *author_rows)}
    post_objects = {
        key: {"id": f"Post:{key}", "title": post_of[key][1], "author": name_of.get(post_of[key][2])}
        for key in unique(r[1] for r in recommended)
        if key in post_of
    }

    posts_of: dict[str, list[Data]] = {key: [] for key in keys}
    for author, key, title, published in posts:
        posts_of[author].append({"id": f"Post:{key}", "title": title, "published": bool(published)})
    events_of: dict[str, list[Data]] = {key: [] for key in keys}
    for user, key, kind, post in events:
        events_of[user].append({"id": f"Event:{key}", "type": kind, "post": title_of.get(post)})
    recommended_of: dict[str, list[Data]] = {key: [] for key in keys}
    for user, post, score, because in recommended:
        if post in post_objects:
            peers = [name_of[peer] for peer in because if peer in name_of]
            recommended_of[user].append({"score": score, "because": peers, "post": post_objects[post]})
    return {
        "users": {
            "nodes": [
                {
                    "id": f"User:{key}",
                    "name": name,
                    "email": email,
                    "createdAt": created_at,
                    "posts": {"nodes": posts_of[key]},
                    "events": {"nodes": events_of[key]},
                    "recommendations": recommended_of[key],
                }
                for key, name, email, created_at in users
            ]
        }
    }


async def chain(stores: Stores, _: Data) -> Data:
    posts = await stores.posts(("id", "title", "author_id"), 40)
    author_keys = unique(r[2] for r in posts)
    authors = await stores.users_by_id(("id", "name"), author_keys)
    written = await stores.posts_by_author(("author_id", "id", "title"), [r[0] for r in authors], 10)
    events = await stores.events.by_post(("post_id", "id", "type", "user_id"), unique(r[1] for r in written), 5)
    users = {r[0]: {"id": f"User:{r[0]}", "name": r[1]} for r in await stores.users_by_id(("id", "name"), unique(r[3] for r in events))}

    events_of: dict[str, list[Data]] = {}
    for post, key, kind, user in events:
        events_of.setdefault(post, []).append({"id": f"Event:{key}", "type": kind, "user": users.get(user)})
    posts_of: dict[str, list[Data]] = {}
    for author, key, title in written:
        posts_of.setdefault(author, []).append({"id": f"Post:{key}", "title": title, "events": {"nodes": events_of.get(key, [])}})
    author_of = {key: {"id": f"User:{key}", "name": name, "posts": {"nodes": posts_of.get(key, [])}} for key, name in authors}
    return {"posts": {"nodes": [{"id": f"Post:{key}", "title": title, "author": author_of.get(author)} for key, title, author in posts]}}


async def stats(stores: Stores, _: Data) -> Data:
    users = await stores.users(("id", "name"), 50)
    stats_of: dict[str, list[Data]] = {r[0]: [] for r in users}
    for user, kind, count, first, last in await stores.events.stats(list(stats_of)):
        stats_of[user].append({"type": kind, "count": count, "firstAt": first, "lastAt": last})
    return {"users": {"nodes": [{"id": f"User:{key}", "name": name, "eventStats": stats_of[key]} for key, name in users]}}


OPERATIONS: dict[str, Callable[[Stores, Data], Awaitable[Data]]] = {
    "Point": point,
    "Flat": flat,
    "Tree": tree,
    "Chain": chain,
    "Stats": stats,
}


def unique(keys: Iterable[str | None]) -> list[str]:
    return [key for key in dict.fromkeys(keys) if key is not None]


def make_app() -> Starlette:
    stores = stores_from_environment()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await stores.open()
        yield
        await stores.close()

    async def answer(request: Request) -> Response:
        body = orjson.loads(await request.body())
        data = await OPERATIONS[body["operationName"]](stores, body["variables"])
        return Response(orjson.dumps({"data": data}), media_type="application/json")

    return Starlette(routes=[Route("/graphql", answer, methods=["POST"])], lifespan=lifespan)
