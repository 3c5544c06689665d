"""A short form of the replay: a stream of writes of a few people, some sent twice, equals a load of the state that it ends in."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.replaying.__main__ import run

AT = "2024-01-0{day}T00:00:00.000Z"


def _user(key: str, day: int) -> dict[str, Any]:
    return {"id": key, "name": f"name of {key}", "email": f"{key}@example.org", "languages": ["en"], "created_at": AT.format(day=day)}


def _post(key: str, author: str, day: int) -> dict[str, Any]:
    at = AT.format(day=day)
    return {"id": key, "author_id": author, "title": f"title of {key}", "content": "", "tags": ["a"], "published": True, "created_at": at}


def _like(key: str, user: str, post: str, day: int) -> dict[str, Any]:
    return {"id": key, "type": "LIKE", "user_id": user, "post_id": post, "occurred_at": AT.format(day=day), "payload": {"n": [1, None]}}


def _write(folder: Path, name: str, lines: list[Any]) -> None:
    (folder / name).write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    old, new = ("ada", "bob", "cid"), ("dee", "eve", "fay")
    _write(tmp_path, "users.ndjson", [_user(key, 1) for key in old])
    _write(tmp_path, "posts.ndjson", [_post(f"{key}-1", key, 2) for key in old])
    _write(tmp_path, "events.ndjson", [_like("ada-bob", "ada", "bob-1", 3)])
    _write(tmp_path, "follows.ndjson", [{"follower_id": "ada", "followee_id": "bob", "since": AT.format(day=3)}])
    writes: list[tuple[str, Any]] = []
    for number, key in enumerate(new):
        writes.append(("createUser", _user(key, 4)))
        writes += [("createPost", _post(f"{key}-{n}", key, 5)) for n in range(3)]
        for other in (*old, *new[:number]):
            writes.append(("follow", {"follower_id": key, "followee_id": other, "since": AT.format(day=6)}))
            writes.append(("recordEvent", _like(f"{key}-{other}", key, f"{other}-1", 7)))
    _write(tmp_path, "writes.ndjson", [{"op": field, "at": "", "input": line} for field, line in writes])
    return tmp_path


@pytest.mark.long
async def test_a_stream_of_writes_ends_in_what_a_load_of_its_end_has(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = Namespace(
        data=str(data), stores="sqlite", reference="sqlite", clients=4, most=None, twice=0.3, kill_relay=None, stop=[], seed=1
    )
    assert await run(options) == 0, capsys.readouterr().out
    assert "0 differences; 0 refused; sync verify ended with 0" in capsys.readouterr().out
