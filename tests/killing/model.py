"""What a client has been told is so: a plain Python model of the writes that were acknowledged to it, and what it may write next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any


@dataclass(slots=True)
class Person:
    name: str
    version: int = 1
    posts: dict[str, Written] = field(default_factory=dict)  # by id
    events: set[str] = field(default_factory=set)
    follows: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Written:
    title: str
    published: bool
    version: int = 1


@dataclass(frozen=True, slots=True)
class Step:
    """A mutation, and what the model is after it was acknowledged."""

    field: str
    selection: str
    arguments: Mapping[str, tuple[str, Any]]  # each with its GraphQL type
    then: Callable[[], None]

    @property
    def query(self) -> str:
        declared = ", ".join(f"${name}: {type_}" for name, (type_, _) in self.arguments.items())
        given = ", ".join(f"{name}: ${name}" for name in self.arguments)
        return f"mutation({declared}) {{ {self.field}({given}) {self.selection} }}"

    @property
    def variables(self) -> dict[str, Any]:
        return {name: value for name, (_, value) in self.arguments.items()}


class Model:
    """One client's people and all that is theirs: nobody else writes them, so that what it was told last is what has to be there."""

    def __init__(self, name: str, random: Random) -> None:
        self.name = name
        self.people: dict[str, Person] = {}
        self.gone: set[str] = set()  # ids of users and posts that were deleted
        self._random = random
        self._made = 0

    def step(self) -> Step:
        """Return the next write."""
        if len(self.people) < 2:
            return self._create_user()
        way = self._random.choices(
            (
                self._create_user,
                self._update_user,
                self._create_post,
                self._update_post,
                self._delete_post,
                self._record_event,
                self._follow,
                self._unfollow,
                self._delete_user,
            ),
            (2, 6, 5, 6, 1, 6, 4, 2, 1),
        )[0]
        return way() or self._update_user()

    def owned(self) -> Iterator[tuple[str, Person]]:
        yield from self.people.items()

    def _new(self, type_: str) -> str:
        self._made += 1
        return f"{type_}:{self.name}-{self._made}"

    def _anybody(self) -> tuple[str, Person]:
        return self._random.choice(list(self.people.items()))

    # ------------------------------------------------------------------------------------------------------------ writes

    def _create_user(self) -> Step:
        key = self._new("User")
        name = f"name of {key}"
        given = {"id": key, "name": name, "email": f"{key.partition(':')[2]}@example.org", "welcomePost": False}
        return Step("createUser", "{ user { id } }", {"input": ("CreateUserInput!", given)}, lambda: self._put(key, Person(name)))

    def _put(self, key: str, person: Person) -> None:
        self.people[key] = person

    def _update_user(self) -> Step:
        key, person = self._anybody()
        self._made += 1
        name = f"name {self._made} of {key}"

        def then() -> None:
            person.name, person.version = name, person.version + 1

        return Step("updateUser", "{ id }", {"id": ("ID!", key), "input": ("UpdateUserInput!", {"name": name})}, then)

    def _delete_user(self) -> Step | None:
        if len(self.people) < 4:
            return None
        key, _ = self._anybody()

        def then() -> None:
            person = self.people.pop(key)
            self.gone |= {key, *person.posts}
            for other in self.people.values():
                other.follows.discard(key)

        return Step("deleteUser", "", {"id": ("ID!", key)}, then)

    def _create_post(self) -> Step:
        author, person = self._anybody()
        key = self._new("Post")
        post = Written(f"title of {key}", self._random.random() < 0.5)
        given = {"id": key, "authorId": author, "title": post.title, "published": post.published}
        return Step("createPost", "{ id }", {"input": ("CreatePostInput!", given)}, lambda: person.posts.update({key: post}))

    def _a_post(self) -> tuple[Person, str, Written] | None:
        posts = [(person, key, post) for person in self.people.values() for key, post in person.posts.items()]
        return self._random.choice(posts) if posts else None

    def _update_post(self) -> Step | None:
        found = self._a_post()
        if found is None:
            return None
        _, key, post = found
        self._made += 1
        title = f"title {self._made} of {key}"

        def then() -> None:
            post.title, post.published, post.version = title, True, post.version + 1

        given = {"title": title, "published": True}
        return Step("updatePost", "{ id }", {"id": ("ID!", key), "input": ("UpdatePostInput!", given)}, then)

    def _delete_post(self) -> Step | None:
        found = self._a_post()
        if found is None:
            return None
        person, key, _ = found

        def then() -> None:
            del person.posts[key]
            self.gone.add(key)

        return Step("deletePost", "", {"id": ("ID!", key)}, then)

    def _record_event(self) -> Step:
        key, person = self._anybody()
        event = self._new("Event")
        post = self._a_post()
        given = {"id": event, "type": "LIKE", "userId": key, "postId": None if post is None else post[1]}
        return Step("recordEvent", "{ id }", {"input": ("RecordEventInput!", given)}, lambda: person.events.add(event))

    def _follow(self) -> Step:
        key, person = self._anybody()
        other, _ = self._anybody()
        given = {"followerId": key, "followeeId": other}
        return Step("follow", "{ id }", {"input": ("FollowInput!", given)}, lambda: person.follows.add(other))

    def _unfollow(self) -> Step | None:
        key, person = self._anybody()
        if not person.follows:
            return None
        other = self._random.choice(sorted(person.follows))
        given = {"followerId": key, "followeeId": other}
        return Step("unfollow", "{ id }", {"input": ("FollowInput!", given)}, lambda: person.follows.discard(other))
