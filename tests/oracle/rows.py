"""Rows of the four nouns: read from NDJSON, written to NDJSON, and a small set made of odd cases."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rows:
    """The lines of users.ndjson, posts.ndjson, events.ndjson and follows.ndjson, as they are written there."""

    users: list[Row]
    posts: list[Row]
    events: list[Row]
    follows: list[Row]

    @classmethod
    def from_folder(cls, folder: Path) -> Rows:
        """Read the four files. Lines end with a line feed and nothing else: text may hold other line separators."""
        return cls(*(_read(folder / f"{name}.ndjson") for name in ("users", "posts", "events", "follows")))

    def write(self, folder: Path) -> None:
        """Write the four files, for ``gateway load``."""
        for name in ("users", "posts", "events", "follows"):
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in getattr(self, name)]
            (folder / f"{name}.ndjson").write_text("".join(lines), encoding="utf-8", newline="\n")


def odd_rows() -> Rows:
    """A few dozen rows that hold what breaks databases: ties, nulls, quotes, wildcards, 4-byte characters, wide keys, gaps.

    ``ghost`` is a user who does not exist, ``p-ghost`` a post that does not exist; both are referred to.
    """
    return Rows(users=_users(), posts=_posts(), events=_events(), follows=_follows())


def _read(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


# Keys above 2^53 that a float would join; a key with a space, one with a colon; text order "10" < "9".
USER_KEYS = ("9", "10", "9007199254740993", "9007199254740992", "ann lee", "a:b", "Ünal", "😀", "z%_\\", "q'\"")
_NAMES = ("Ann", "ann", "Zoë", "Zoe\u0308", 'O\'Brien "Q"', "100%_\\", "😀 Grin", "\uffee wide", "Ann", "Ann")
_LANGUAGES = ("en", None, "EN", "", "zh", None, "%", "😀")
_TITLES = ("Tie", "Tie", "tie", "50% off_\\", 'O\'Hara "x"', "😀", "\uffee", "line\nbreak\ttab", "Tie", "Éa", "$where: {}", "éa")


def _users() -> list[Row]:
    rows: list[Row] = []
    for n, key in enumerate(USER_KEYS):
        row: Row = {
            "id": key,
            "name": _NAMES[n],
            "email": f"{'User' if n % 2 else 'user'}{n}@example.org",
            "gender": ("female", None, "male")[n % 3],
            "birthday": None if n % 4 == 0 else f"19{60 + n}-02-0{1 + n % 9}",
            "languages": [["en"], [], ["zh", "en", "zh"]][n % 3],
            "created_at": f"2020-01-0{1 + n % 3}T00:00:00.{n % 2:03}Z",
        }
        if n % 3 == 1:
            row |= {"active": n % 2 == 0, "updated_at": "2021-06-01T12:00:00.500Z"}
        rows.append(row)
    return rows


def _posts() -> list[Row]:
    rows: list[Row] = []
    for n in range(36):
        author = "ghost" if n % 17 == 16 else USER_KEYS[(n * n) % 7]
        row: Row = {
            "id": f"p{n}" if n % 5 else str(9007199254740990 + n),
            "author_id": author,
            "title": _TITLES[n % len(_TITLES)],
            "content": ("", "short", "a % b _ c \\ d", "😀" * 3)[n % 4],
            "image": None if n % 3 else f"photo{n}.jpg",
            "language": _LANGUAGES[n % len(_LANGUAGES)],
            "forum": None if n % 4 == 1 else f"Wall of {_NAMES[n % 5]}",
            "tags": [[], ["a"], ["b", "a", "b"]][n % 3],
            "published": n % 3 != 1,
            "created_at": f"2020-02-{1 + n % 28:02}T{n % 24:02}:59:59.999Z",
        }
        if n % 4 == 0:
            row["updated_at"] = f"2021-0{1 + n % 9}-01T00:00:00.000Z"
        rows.append(row)
    return rows


def _events() -> list[Row]:
    posts = [row["id"] for row in _posts()]
    moments = (
        "2019-12-31T23:59:59.999Z",  # the end of a year, in a week that begins on Monday 2019-12-30
        "2020-01-01T00:00:00.000Z",
        "2020-01-05T23:59:59.999Z",  # Sunday
        "2020-01-06T00:00:00.000Z",  # Monday
        "2020-02-29T12:30:00.001Z",
        "2020-02-29T12:59:59.999Z",
        "1969-12-31T23:59:59.999Z",
    )
    rows: list[Row] = []
    for n in range(90):
        kind = ("LIKE", "LIKE", "COMMENT", "JOIN", "LIKE_COMMENT", "LIKE")[n % 6]
        user = "ghost" if n == 44 else USER_KEYS[(n * 7 + n // 10) % 8]
        post = "p-ghost" if n % 29 == 5 else posts[(n * n + 3 * n) % 11 + n % 3]
        rows.append(
            {
                "id": f"e-{n}" if n % 9 else f"e {n} 😀",
                "type": kind,
                "user_id": user,
                "post_id": None if kind == "JOIN" else post,
                "occurred_at": moments[n % len(moments)],
                "payload": ({}, {"text": 'a "b" 😀 %_\\', "n": n}, {"deep": {"list": [1, None, True, "x", {"k": []}]}})[n % 3],
            }
        )
    likes = (("ghost", posts[31]), ("ghost", posts[32]), ("9", posts[32]))  # 9 and ghost have the same taste
    return rows + [
        {"id": f"like {n}", "type": "LIKE", "user_id": user, "post_id": post, "occurred_at": moments[n], "payload": {}}
        for n, (user, post) in enumerate(likes)
    ]


def _follows() -> list[Row]:
    pairs = {(a, b) for i, a in enumerate(USER_KEYS[:8]) for j, b in enumerate(USER_KEYS) if (i * 3 + j * 5) % 4 == 1 and a != b}
    pairs.add((USER_KEYS[0], "ghost"))
    return [{"follower_id": a, "followee_id": b, "since": "2020-03-01T00:00:00.000Z"} for a, b in sorted(pairs)]
