"""What mutations of the example do, as plain Python: the rows after them, and the errors of what is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Input = Mapping[str, Any]

AT = "2020-01-02T03:04:05.006Z"  # what inputs have for a time

USER = "id name email active gender birthday languages createdAt version"
POST = "id title content image language forum tags published createdAt version author { id name }"
EVENT = "id type payload occurredAt user { id name } post { id title }"

FIELDS = {
    "createUser": ("createUser(input: $input)", f"user {{ {USER} updatedAt }}", "CreateUserInput!"),
    "updateUser": ("updateUser(id: $id, input: $input)", USER, "UpdateUserInput!"),
    "deleteUser": ("deleteUser(id: $id)", "", ""),
    "createPost": ("createPost(input: $input)", f"{POST} updatedAt", "CreatePostInput!"),
    "updatePost": ("updatePost(id: $id, input: $input)", POST, "UpdatePostInput!"),
    "deletePost": ("deletePost(id: $id)", "", ""),
    "recordEvent": ("recordEvent(input: $input)", EVENT, "RecordEventInput!"),
    "recordEvents": ("recordEvents(input: $input)", EVENT, "[RecordEventInput!]!"),
    "follow": ("follow(input: $input)", USER, "FollowInput!"),
    "unfollow": ("unfollow(input: $input)", USER, "FollowInput!"),
}


def operation(name: str) -> str:
    """Return the document of a mutation with the variables ``id`` and ``input``."""
    call, selected, type_ = FIELDS[name]
    variables = ["$id: ID!"] if "$id" in call else []
    variables += [f"$input: {type_}"] if type_ else []
    return f"mutation ({', '.join(variables)}) {{ {call} {f'{{ {selected} }}' if selected else ''} }}"


class Refused(Exception):
    """``code``, and the fields of which one is named."""

    def __init__(self, code: str, *fields: str) -> None:
        super().__init__(code, fields)
        self.code, self.fields = code, fields


@dataclass
class Model:
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    posts: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    follows: set[tuple[str, str]] = field(default_factory=set)
    versions: Counter[tuple[str, str]] = field(default_factory=Counter)

    def answer(self, name: str, id_: str | None, given: Any) -> Any:
        """Return what the mutation answers, or the refusal."""
        try:
            return self.apply(name, id_, given)
        except Refused as exc:
            return exc

    def apply(self, name: str, id_: str | None, given: Any) -> Any:
        """Return what the mutation answers; Refused where it is refused, and then nothing has changed."""
        match name:
            case "createUser":
                return self._create_user(given)
            case "updateUser":
                return self._user(self._update(self.users, "User", id_, given, ("email",)))
            case "deleteUser":
                return self._delete(self.users, "User", id_)
            case "createPost":
                return self._create_post(given)
            case "updatePost":
                return self._post(self._update(self.posts, "Post", id_, given, ()))
            case "deletePost":
                return self._delete(self.posts, "Post", id_)
            case "recordEvent":
                return self._record([given])[0]
            case "recordEvents":
                return self._record(given)
        return self._follow(given, is_new=name == "follow")

    # ------------------------------------------------------------------------------------------------------------ users

    def _create_user(self, given: Input) -> Any:
        taken = ["id"] if given["id"] in self.users else []
        taken += ["email"] if given["email"] in {user["email"] for user in self.users.values()} else []
        if taken:
            raise Refused("CONFLICT", *taken)
        nothing: dict[str, Any] = {"active": True, "gender": None, "birthday": None, "languages": []}
        user = self.users[given["id"]] = {**nothing, **{n: v for n, v in given.items() if n != "welcomePost"}}
        self.versions["User", given["id"]] += 1
        return {"user": {**self._user(user), "updatedAt": user["createdAt"]}}

    def _update(self, rows: dict[str, dict[str, Any]], noun: str, id_: Any, given: Input, unique: tuple[str, ...]) -> dict[str, Any]:
        row = rows.get(id_)
        if row is None:
            raise Refused("NOT_FOUND", "id")
        values = {name: value for name, value in given.items() if name != "expectedVersion"}
        expected = given.get("expectedVersion")
        if expected is not None and expected != self.versions[noun, id_]:
            raise Refused("CONFLICT")
        for name in unique:
            if any(other is not row and other[name] == values.get(name) for other in rows.values()):
                raise Refused("CONFLICT", name)
        if values:
            row.update(values)
            self.versions[noun, id_] += 1
        return row

    def _delete(self, rows: dict[str, dict[str, Any]], noun: str, id_: Any) -> str:
        if rows.pop(id_, None) is None:
            raise Refused("NOT_FOUND", "id")
        self.versions[noun, id_] += 1
        return f"{noun}:{id_}"

    def _user(self, user: dict[str, Any]) -> dict[str, Any]:
        return {**user, "id": f"User:{user['id']}", "version": self.versions["User", user["id"]]}

    # ------------------------------------------------------------------------------------------------------------ posts

    def _create_post(self, given: Input) -> Any:
        if given["authorId"] not in self.users:
            raise Refused("NOT_FOUND", "authorId")
        if given["id"] in self.posts:
            raise Refused("CONFLICT", "id")
        nothing: dict[str, Any] = {"content": "", "image": None, "language": None, "forum": None, "tags": [], "published": False}
        post = self.posts[given["id"]] = {**nothing, **given}
        self.versions["Post", given["id"]] += 1
        return {**self._post(post), "updatedAt": post["createdAt"]}

    def _post(self, post: dict[str, Any]) -> dict[str, Any]:
        rest = {name: value for name, value in post.items() if name != "authorId"}
        author = self._short(self.users, "User", post["authorId"], "name")
        return {**rest, "id": f"Post:{post['id']}", "version": self.versions["Post", post["id"]], "author": author}

    def _short(self, rows: Mapping[str, Any], noun: str, key: Any, name: str) -> Any:
        return {"id": f"{noun}:{key}", name: rows[key][name]} if key in rows else None

    # ----------------------------------------------------------------------------------------------------------- events

    def _record(self, given: list[Input]) -> list[Any]:
        new: dict[str, dict[str, Any]] = {}
        for event in given:
            known = self.events.get(event["id"]) or new.get(event["id"])
            whole = {"postId": None, "payload": {}, **event}
            if known is None:
                new[event["id"]] = whole
            elif any(known[name] != value for name, value in whole.items() if name in event or name == "payload"):
                raise Refused("CONFLICT", "id")
        self.events.update(new)
        return [self.event(self.events[event["id"]]) for event in given]

    def event(self, event: dict[str, Any]) -> dict[str, Any]:
        rest = {name: event[name] for name in ("type", "payload", "occurredAt")}
        user, post = self._short(self.users, "User", event["userId"], "name"), self._short(self.posts, "Post", event["postId"], "title")
        return {"id": f"Event:{event['id']}", **rest, "user": user, "post": post}

    # ---------------------------------------------------------------------------------------------------------- follows

    def _follow(self, given: Input, *, is_new: bool) -> Any:
        for name in ("followerId", "followeeId"):
            if given[name] not in self.users:
                raise Refused("NOT_FOUND", name)
        edge = (given["followerId"], given["followeeId"])
        (self.follows.add if is_new else self.follows.discard)(edge)
        return self._user(self.users[given["followeeId"]])

    # ------------------------------------------------------------------------------------------------------------ reads

    def read(self) -> dict[str, Any]:
        """Return what ``READ`` answers."""
        users = [
            {
                **self._user(user),
                "posts": {"nodes": [{"id": f"Post:{k}"} for k, p in sorted(self.posts.items()) if p["authorId"] == key]},
                "events": {"nodes": [{"id": f"Event:{k}"} for k, e in sorted(self.events.items()) if e["userId"] == key]},
                "following": {"nodes": [{"id": f"User:{b}"} for a, b in sorted(self.follows) if a == key and b in self.users]},
                "followers": {"nodes": [{"id": f"User:{a}"} for a, b in sorted(self.follows) if b == key and a in self.users]},
            }
            for key, user in sorted(self.users.items())
        ]
        return {
            "users": {"nodes": users},
            "posts": {"nodes": [self._post(post) for _, post in sorted(self.posts.items())]},
            "events": {"nodes": [self.event(event) for _, event in sorted(self.events.items())]},
        }


READ = f"""query ($users: [ID!], $posts: [ID!], $events: [ID!]) {{
  users(where: {{id: {{in: $users}}}}, first: 10) {{ nodes {{ {USER}
    posts(first: 10) {{ nodes {{ id }} }} events(first: 10) {{ nodes {{ id }} }}
    following(first: 10) {{ nodes {{ id }} }} followers(first: 10) {{ nodes {{ id }} }} }} }}
  posts(where: {{id: {{in: $posts}}}}, first: 10) {{ nodes {{ {POST} }} }}
  events(where: {{id: {{in: $events}}}}, first: 10) {{ nodes {{ {EVENT} }} }}
}}"""
