"""A stream of writes as a file has it, one JSON object a line, as mutations; and the files of the state that it ends in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

IDS = {"user_id": "User", "author_id": "User", "follower_id": "User", "followee_id": "User", "post_id": "Post"}
OWN_IDS = {"createUser": "User", "createPost": "Post", "recordEvent": "Event"}
FIELDS = {
    "createUser": ("id", "name", "email", "gender", "birthday", "languages", "created_at"),
    "createPost": ("id", "author_id", "title", "content", "image", "language", "forum", "tags", "published", "created_at"),
    "recordEvent": ("id", "type", "user_id", "post_id", "occurred_at", "payload"),
    "follow": ("follower_id", "followee_id", "since"),
}
FILES = {"createUser": "users.ndjson", "createPost": "posts.ndjson", "recordEvent": "events.ndjson", "follow": "follows.ndjson"}
SELECTIONS = {"createUser": "{ user { id } }", "createPost": "{ id }", "recordEvent": "{ id }", "follow": "{ id }"}
# What has to be there before: other references may dangle.
NEEDS = {"createPost": ("author_id",), "follow": ("follower_id", "followee_id")}


@dataclass(frozen=True, slots=True)
class Write:
    """One write: its place in the stream, its mutation, what it makes and what has to be there before it."""

    number: int
    field: str
    line: Mapping[str, Any]

    @property
    def makes(self) -> str | None:
        type_ = OWN_IDS.get(self.field)
        return None if type_ is None else f"{type_}:{self.line['id']}"

    @property
    def needs(self) -> Sequence[str]:
        return [f"{IDS[name]}:{self.line[name]}" for name in NEEDS.get(self.field, ())]

    @property
    def body(self) -> bytes:
        """The GraphQL request."""
        given = {_camel(name): self._value(name) for name in FIELDS[self.field] if name in self.line}
        if self.field == "createUser":
            given["welcomePost"] = False
        type_ = f"{self.field[0].upper()}{self.field[1:]}Input!"
        query = f"mutation($input: {type_}) {{ {self.field}(input: $input) {SELECTIONS[self.field]} }}"
        return orjson.dumps({"query": query, "variables": {"input": given}})

    def _value(self, name: str) -> Any:
        value = self.line[name]
        type_ = OWN_IDS.get(self.field) if name == "id" else IDS.get(name)
        return value if type_ is None or value is None else f"{type_}:{value}"


def writes_in(file: Path, most: int | None = None) -> list[Write]:
    with file.open("rb") as lines:
        return [_write(number, orjson.loads(line)) for number, line in zip(range(10**9 if most is None else most), lines, strict=False)]


def _write(number: int, entry: Mapping[str, Any]) -> Write:
    if entry["op"] not in FIELDS:
        raise ValueError(f"line {number + 1}: expected one of {', '.join(FIELDS)}, got {entry['op']}")
    return Write(number, entry["op"], entry["input"])


def final_state(sample: Path, writes: Sequence[Write], folder: Path) -> None:
    """Write the files of ``sample``, with the writes behind them as a load would have them, to ``folder``."""
    for name in FILES.values():
        shutil.copyfile(sample / name, folder / name)
        (folder / name).chmod(0o644)
    for field, name in FILES.items():
        with (folder / name).open("ab") as file:
            file.writelines(_lines(field, writes))


def _lines(field: str, writes: Sequence[Write]) -> Iterator[bytes]:
    for write in writes:
        if write.field == field:
            yield orjson.dumps(dict(write.line)) + b"\n"


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)
