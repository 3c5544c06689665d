"""The five operations as plain Strawberry: its own executor, a resolver per field, aiodataloader per request, orjson.

Loaders ask only the columns that the selection needs, found once per field of the document and request.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from functools import partial
from typing import Any, TypeVar

import orjson
import strawberry
from aiodataloader import DataLoader
from graphql import FieldNode, SelectionSetNode
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.benchmarks.peers.stores import Rows, Stores, stores_from_environment

Columns = tuple[str, ...]
T = TypeVar("T", bound="User | Post | Event")


@strawberry.enum
class Direction(Enum):
    ASC = "asc"
    DESC = "desc"


@strawberry.enum
class PostOrderField(Enum):
    KEY = "id"
    CREATED_AT = "created_at"


@strawberry.input
class PostOrder:
    field: PostOrderField
    direction: Direction = Direction.ASC


@strawberry.enum
class EventGroup(Enum):
    TYPE = "type"


class Context:
    """One request's: the stores, and the loaders that fields have asked for."""

    def __init__(self, stores: Stores) -> None:
        self.stores = stores
        self._loaders: dict[object, DataLoader[str, Any]] = {}
        self._columns: dict[int, Columns] = {}

    def columns(self, info: Info, of: dict[str, str], *, below: str | None = None) -> Columns:
        """Return the columns that this field's selection needs, the key first; ``below`` is the field that holds the objects."""
        node = info._raw_info.field_nodes[0]
        found = self._columns.get(id(node))
        if found is None:
            names = _selected(node.selection_set, below)
            self._columns[id(node)] = found = tuple(dict.fromkeys(("id", *(of[name] for name in names if name in of))))
        return found

    def load(self, key: str, batch: Callable[[list[str]], Awaitable[Rows]], at: int, *identity: object) -> Awaitable[Any]:
        """Return the group of rows whose ``at``-th column is the key, through the loader of this identity."""
        return self._loader(partial(_grouped, batch, at), identity).load(key)

    def load_one(self, key: str, batch: Callable[[list[str]], Awaitable[Rows]], *identity: object) -> Awaitable[Any]:
        return self._loader(partial(_by_key, batch), identity).load(key)

    def _loader(self, batch: Callable[[list[str]], Coroutine[Any, Any, list[Any]]], identity: object) -> DataLoader[str, Any]:
        loader = self._loaders.get(identity)
        if loader is None:
            self._loaders[identity] = loader = DataLoader(batch)
        return loader


Info = strawberry.Info[Context, None]


async def _grouped(batch: Callable[[list[str]], Awaitable[Rows]], at: int, keys: list[str]) -> list[list[Sequence[Any]]]:
    groups: dict[str, list[Sequence[Any]]] = {key: [] for key in keys}
    for row in await batch(keys):
        groups[row[at]].append(row)
    return list(groups.values())


async def _by_key(batch: Callable[[list[str]], Awaitable[Rows]], keys: list[str]) -> list[Sequence[Any] | None]:
    rows = {row[0]: row for row in await batch(keys)}
    return [rows.get(key) for key in keys]


def _selected(selections: SelectionSetNode | None, below: str | None) -> list[str]:
    nodes = [node for node in (selections.selections if selections else ()) if isinstance(node, FieldNode)]
    if below is None:
        return [node.name.value for node in nodes]
    return [name for node in nodes if node.name.value == below for name in _selected(node.selection_set, None)]


def _with(parent: str, columns: Columns) -> Columns:
    """Return the columns with the parent's key first."""
    return (parent, *(column for column in columns if column != parent))


USER = {
    "name": "name",
    "email": "email",
    "active": "active",
    "gender": "gender",
    "birthday": "birthday",
    "createdAt": "created_at",
    "updatedAt": "updated_at",
}
POST = {"title": "title", "published": "published", "author": "author_id"}
EVENT = {"type": "type", "post": "post_id", "user": "user_id"}


@strawberry.type
class User:
    key: strawberry.Private[str]
    id: strawberry.ID
    name: str = ""
    email: str = ""
    active: bool = False
    gender: str | None = None
    birthday: str | None = None
    created_at: str = ""
    updated_at: str = ""

    @strawberry.field
    async def posts(self, info: Info, first: int = 10, order_by: list[PostOrder] | None = None) -> PostConnection:
        context = info.context
        columns = _with("author_id", context.columns(info, POST, below="nodes"))
        newest = order_by is not None and order_by[0].field is PostOrderField.CREATED_AT and order_by[0].direction is Direction.DESC
        batch = partial(_posts_by_author, context.stores, columns, first, newest)
        rows = await context.load(self.key, batch, 0, "posts", columns, first, newest)
        return PostConnection(nodes=[_object(Post, columns, row) for row in rows])

    @strawberry.field
    async def events(self, info: Info, first: int = 10) -> EventConnection:
        context = info.context
        columns = _with("user_id", context.columns(info, EVENT, below="nodes"))
        batch = partial(_events_by_user, context.stores, columns, first)
        rows = await context.load(self.key, batch, 0, "events", columns, first)
        return EventConnection(nodes=[_object(Event, columns, row) for row in rows])

    @strawberry.field
    async def event_stats(self, info: Info, group_by: list[EventGroup]) -> list[EventStat]:
        rows = await info.context.load(self.key, info.context.stores.events.stats, 0, "stats")
        return [EventStat(type=row[1], count=row[2], first_at=row[3], last_at=row[4]) for row in rows]

    @strawberry.field
    async def recommendations(self, info: Info, first: int = 10) -> list[Recommendation]:
        batch = partial(_recommendations, info.context.stores, first)
        rows = await info.context.load(self.key, batch, 0, "recommendations", first)
        return [Recommendation(post_id=row[1], score=row[2], because_ids=row[3]) for row in rows]


@strawberry.type
class Post:
    key: strawberry.Private[str]
    id: strawberry.ID
    author_id: strawberry.Private[str] = ""
    title: str = ""
    published: bool = False

    @strawberry.field
    async def author(self, info: Info) -> User | None:
        return await _user(info, self.author_id)

    @strawberry.field
    async def events(self, info: Info, first: int = 10) -> EventConnection:
        context = info.context
        columns = _with("post_id", context.columns(info, EVENT, below="nodes"))
        batch = partial(_events_by_post, context.stores, columns, first)
        rows = await context.load(self.key, batch, 0, "post events", columns, first)
        return EventConnection(nodes=[_object(Event, columns, row) for row in rows])


@strawberry.type
class Event:
    key: strawberry.Private[str]
    id: strawberry.ID
    user_id: strawberry.Private[str] = ""
    post_id: strawberry.Private[str | None] = None
    type: str = ""

    @strawberry.field
    async def user(self, info: Info) -> User | None:
        return await _user(info, self.user_id)

    @strawberry.field
    async def post(self, info: Info) -> Post | None:
        return await _post(info, self.post_id)


@strawberry.type
class EventStat:
    type: str | None
    count: int
    first_at: str
    last_at: str


@strawberry.type
class Recommendation:
    post_id: strawberry.Private[str]
    score: float
    because_ids: strawberry.Private[Sequence[str]]

    @strawberry.field
    async def post(self, info: Info) -> Post | None:
        return await _post(info, self.post_id)

    @strawberry.field
    async def because(self, info: Info) -> list[User]:
        context = info.context
        columns = context.columns(info, USER)
        batch = partial(context.stores.users_by_id, columns)
        users = [await found for found in [context.load_one(key, batch, "user", columns) for key in self.because_ids]]
        return [_object(User, columns, row) for row in users if row]


@strawberry.type
class UserConnection:
    nodes: list[User]


@strawberry.type
class PostConnection:
    nodes: list[Post]


@strawberry.type
class EventConnection:
    nodes: list[Event]


@strawberry.type
class Query:
    @strawberry.field
    async def user(self, info: Info, id: strawberry.ID) -> User | None:
        columns = info.context.columns(info, USER)
        rows = await info.context.stores.user(columns, id.removeprefix("User:"))
        return _object(User, columns, rows[0]) if rows else None

    @strawberry.field
    async def users(self, info: Info, first: int = 10) -> UserConnection:
        columns = info.context.columns(info, USER, below="nodes")
        return UserConnection(nodes=[_object(User, columns, row) for row in await info.context.stores.users(columns, first)])

    @strawberry.field
    async def posts(self, info: Info, first: int = 10) -> PostConnection:
        columns = info.context.columns(info, POST, below="nodes")
        return PostConnection(nodes=[_object(Post, columns, row) for row in await info.context.stores.posts(columns, first)])


async def _user(info: Info, key: str) -> User | None:
    columns = info.context.columns(info, USER)
    row = await info.context.load_one(key, partial(info.context.stores.users_by_id, columns), "user", columns)
    return _object(User, columns, row) if row else None


async def _post(info: Info, key: str | None) -> Post | None:
    if key is None:
        return None
    columns = info.context.columns(info, POST)
    row = await info.context.load_one(key, partial(info.context.stores.posts_by_id, columns), "post", columns)
    return _object(Post, columns, row) if row else None


async def _posts_by_author(stores: Stores, columns: Columns, first: int, newest: bool, keys: list[str]) -> Rows:
    return await stores.posts_by_author(columns, keys, first, newest=newest)


async def _events_by_user(stores: Stores, columns: Columns, first: int, keys: list[str]) -> Rows:
    return await stores.events.by_user(columns, keys, first)


async def _events_by_post(stores: Stores, columns: Columns, first: int, keys: list[str]) -> Rows:
    return await stores.events.by_post(columns, keys, first)


async def _recommendations(stores: Stores, first: int, keys: list[str]) -> Rows:
    return await stores.graph.recommendations(keys, first)


def _object(kind: type[T], columns: Columns, row: Sequence[Any]) -> T:
    values = dict(zip(columns, row, strict=True))
    key = values.pop("id")
    return kind(key=key, id=strawberry.ID(f"{kind.__name__}:{key}"), **values)


schema = strawberry.Schema(Query)


def make_app() -> Starlette:
    stores = stores_from_environment()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await stores.open()
        yield
        await stores.close()

    async def answer(request: Request) -> Response:
        body = orjson.loads(await request.body())
        result = await schema.execute(
            body["query"], variable_values=body["variables"], operation_name=body["operationName"], context_value=Context(stores)
        )
        errors = {"errors": [error.formatted for error in result.errors]} if result.errors else {}
        return Response(orjson.dumps({"data": result.data, **errors}), media_type="application/json")

    return Starlette(routes=[Route("/graphql", answer, methods=["POST"])], lifespan=lifespan)
