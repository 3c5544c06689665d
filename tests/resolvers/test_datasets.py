"""The files of a load: which rows their lines become."""

from __future__ import annotations

from pathlib import Path

import orjson

from gateway.loading import load_folder
from gateway.stores import Stores
from gateway.stores.base import Collection, Fetch, Row
from resolvers.datasets import datasets
from resolvers.events import events
from resolvers.graph import follows, likes, wrote
from resolvers.posts import posts
from resolvers.users import users

AT = "2010-02-04T06:41:08.221Z"
LATER = "2011-02-04T06:41:08.221Z"


async def loaded(folder: Path, **files: list[dict[str, object]]) -> Stores:
    for name, lines in files.items():
        folder.joinpath(f"{name}.ndjson").write_bytes(b"\n".join(map(orjson.dumps, lines)))
    stores = Stores.connect(dict.fromkeys(("users", "posts", "events", "recommendations"), "memory://"))
    await stores.open()
    await load_folder(stores, datasets, folder)
    return stores


async def rows(stores: Stores, collection: Collection) -> list[Row]:
    answer = await stores.ask(Fetch(collection, collection.names))
    return [tuple(row) for part in answer.values() for row in part.rows]


async def test_a_user_is_active_and_updated_when_created_unless_the_line_says_otherwise(tmp_path: Path) -> None:
    stores = await loaded(
        tmp_path,
        users=[
            {"id": "6", "name": "Baby Yang", "email": "b@g", "ip": "27.131.221.93", "browser": "Opera", "created_at": AT},
            {"id": "7", "name": "N", "email": "n@g", "active": False, "languages": ["zh"], "created_at": AT, "updated_at": LATER},
        ],
    )
    assert await rows(stores, users) == [
        ("6", "Baby Yang", "b@g", True, None, None, [], AT, AT),
        ("7", "N", "n@g", False, None, None, ["zh"], AT, LATER),
    ]


async def test_a_post_is_also_an_edge_to_its_author(tmp_path: Path) -> None:
    stores = await loaded(tmp_path, posts=[{"id": "441", "author_id": "65", "title": "photo441.jpg", "published": True, "created_at": AT}])
    assert await rows(stores, posts) == [("441", "65", "photo441.jpg", "", None, None, None, [], True, AT, AT)]
    assert await rows(stores, wrote) == [("65", "441")]


async def test_only_a_like_of_a_post_is_also_an_edge(tmp_path: Path) -> None:
    def line(key: str, kind: str, post: str | None) -> dict[str, object]:
        return {"id": key, "type": kind, "user_id": "6", "post_id": post, "occurred_at": AT}

    stores = await loaded(
        tmp_path, events=[line("a", "LIKE", "441"), line("b", "LIKE_COMMENT", "442"), line("c", "LIKE", None), line("d", "VIEW", "443")]
    )
    assert [row[0] for row in await rows(stores, events)] == ["a", "b", "c", "d"]
    assert await rows(stores, likes) == [("6", "441", AT)]


async def test_a_follow_is_an_edge(tmp_path: Path) -> None:
    stores = await loaded(tmp_path, follows=[{"follower_id": "6", "followee_id": "73", "since": AT}])
    assert await rows(stores, follows) == [("6", "73", AT)]
