"""What the API must answer: dictionaries and loops, called by graphql-core's own executor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    build_ast_schema,
    execute_sync,
    get_variable_values,
    parse,
    validate,
)

from tests.oracle.arguments import check_arguments
from tests.oracle.filters import Record, matches, matches_everything
from tests.oracle.pages import DEFAULT_PAGE, connection, order_of
from tests.oracle.rows import Row, Rows
from tests.oracle.scalars import bucket_start, key_of, parse_date, parse_time, type_and_key

CONTRACT = Path(__file__).parent.parent / "contract.graphql"
MOST_REASONS = 3
READ_DOCUMENTS = 16  # that are kept with what is wrong with them: a walk asks the same one page after page
NEIGHBOURS = "users as neighbours"  # in ``down``: the users store, but only where it is asked for a page of neighbours
_STORES = {"User": "users", "Post": "posts", "Event": "events"}
_GROUPS = {"TYPE": "type", "TIME": "day", "USER": "userId", "POST": "postId"}

Args = dict[str, Any]
Answer = dict[str, Any]


class StoreDownError(Exception):
    """The store that a field asks does not answer."""

    def __init__(self, store: str, code: str) -> None:
        super().__init__(f"The store '{store}' does not answer.")
        self.extensions = {"code": code, "store": store}


class Oracle:
    """Answers operations over rows in memory.

    ``down`` names stores (users, posts, events, recommendations) that do not answer; a mapping gives each its code,
    else it is STORE_UNAVAILABLE. A field asks a store only for the keys that it has: ``Event.post`` of an event without a
    post, or ``User.following`` of somebody who follows nobody, needs no posts and no users. Who can be asked for a user's neighbours
    has users to begin with, so ``NEIGHBOURS`` is for the users store that answers everything but pages of neighbours.
    """

    def __init__(
        self,
        users: Iterable[Row] = (),
        posts: Iterable[Row] = (),
        events: Iterable[Row] = (),
        follows: Iterable[Row] = (),
        *,
        down: Iterable[str] | Mapping[str, str] = (),
    ) -> None:
        self.down = dict(down) if isinstance(down, Mapping) else dict.fromkeys(down, "STORE_UNAVAILABLE")
        self.records: dict[str, dict[str, Record]] = {
            "User": {r["id"]: r for r in map(_user, users)},
            "Post": {r["id"]: r for r in map(_post, posts)},
            "Event": {r["id"]: r for r in map(_event, events)},
        }
        self._posts_of_author = _grouped(self.records["Post"].values(), "authorId")
        self._events_of_user = _grouped(self.records["Event"].values(), "userId")
        self._events_of_post = _grouped(self.records["Event"].values(), "postId")
        self._read_graph(follows)
        self.schema = _schema(self)
        self._document = lru_cache(READ_DOCUMENTS)(self._read)

    @classmethod
    def from_folder(cls, folder: Path, *, down: Iterable[str] | Mapping[str, str] = ()) -> Oracle:
        return cls.from_rows(Rows.from_folder(folder), down=down)

    @classmethod
    def from_rows(cls, rows: Rows, *, down: Iterable[str] | Mapping[str, str] = ()) -> Oracle:
        return cls(rows.users, rows.posts, rows.events, rows.follows, down=down)

    def execute(self, query: str, variables: Mapping[str, Any] | None = None, operation_name: str | None = None) -> Answer:
        """Return {"data": …} and, where there are some, {"errors": […]}. A refused operation has no "data"."""
        try:
            document, errors = self._document(query)
        except GraphQLError as exc:
            return _refused([exc], "GRAPHQL_PARSE_FAILED")
        if errors:
            return _refused(errors, "GRAPHQL_VALIDATION_FAILED")
        operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
        chosen = [o for o in operations if operation_name is None or (o.name is not None and o.name.value == operation_name)]
        if len(chosen) != 1:
            return _refused([GraphQLError(f"There are {len(chosen)} operations to choose from.")], "OPERATION_RESOLUTION_FAILURE")
        if chosen[0].operation is not OperationType.QUERY:
            raise NotImplementedError("the oracle answers queries only")
        values = get_variable_values(self.schema, chosen[0].variable_definitions or (), dict(variables or {}))
        if isinstance(values, list):
            return _refused(values, "BAD_USER_INPUT")
        fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        errors = check_arguments(self.schema, chosen[0], fragments, values)
        if errors:
            return _refused(errors, "BAD_USER_INPUT")
        result = execute_sync(self.schema, document, variable_values=dict(variables or {}), operation_name=operation_name)
        assert isinstance(result, ExecutionResult)
        answer: Answer = {"data": result.data}
        if result.errors:
            answer["errors"] = [_formatted(error) for error in result.errors]
        return answer

    def _read(self, query: str) -> tuple[DocumentNode, list[GraphQLError]]:
        document = parse(query)
        return document, validate(self.schema, document)

    # ------------------------------------------------------------------------------------------------------ reading

    def ask(self, store: str) -> None:
        """Raise StoreDownError where ``store`` does not answer."""
        if store in self.down:
            raise StoreDownError(store, self.down[store])

    def by_key(self, type_name: str, key: str | None) -> Record | None:
        """Return the record, or None where there is none; without a key nobody is asked."""
        if key is None:
            return None
        self.ask(_STORES[type_name])
        return self.records[type_name].get(key)

    def page(self, type_name: str, records: Iterable[Record], args: Args) -> dict[str, Any]:
        self.ask(_STORES[type_name])
        return connection(type_name, (r for r in records if matches(type_name, r, args.get("where"))), args)

    def people(self, keys: Iterable[str], args: Args) -> dict[str, Any]:
        """Return a page of the users that the graph store named; those who do not exist are left out."""
        named = sorted(set(keys))
        try:
            if named:
                self._ask_for_neighbours()
        except StoreDownError as exc:
            return self._keys_of_people(named, args, exc)
        users = [user for user in (self.by_key("User", key) for key in named) if user is not None]
        return connection("User", (u for u in users if matches("User", u, args.get("where"))), args)

    def _ask_for_neighbours(self) -> None:
        if NEIGHBOURS in self.down:
            raise StoreDownError("users", self.down[NEIGHBOURS])
        self.ask("users")

    def _keys_of_people(self, named: list[str], args: Args, error: StoreDownError) -> dict[str, Any]:
        """Return the page as the graph store knows it, with errors for nodes; none in another order than the key's, or filtered."""
        if order_of(args.get("orderBy"))[0][0] != "id" or not matches_everything(args.get("where")):
            raise error
        page = connection("User", ({"id": key} for key in named), args)
        page["edges"] = [edge | {"node": error} for edge in page["edges"]]
        page["nodes"] = error if page["nodes"] else []
        return page

    def stats(self, events: Iterable[Record], args: Args) -> list[dict[str, Any]]:
        """Return one row per combination of the asked groups, in their order, ascending, nulls last."""
        self.ask("events")
        groups = list(dict.fromkeys(args["groupBy"]))
        gathered: dict[tuple[str | None, ...], list[str]] = defaultdict(list)
        for event in events:
            if matches("Event", event, args.get("where")):
                gathered[tuple(_group_value(event, group, args.get("interval")) for group in groups)].append(event["occurredAt"])
        rows = []
        for values in sorted(gathered, key=lambda row: [(value is None, value or "") for value in row]):
            row: dict[str, Any] = dict.fromkeys(_GROUPS.values())
            row |= {_GROUPS[group]: value for group, value in zip(groups, values, strict=True)}
            times = gathered[values]
            rows.append(row | {"count": len(times), "firstAt": min(times), "lastAt": max(times)})
        return rows

    # -------------------------------------------------------------------------------------------------------- graph

    def _read_graph(self, follows: Iterable[Row]) -> None:
        self.following: dict[str, set[str]] = defaultdict(set)
        self.followers: dict[str, set[str]] = defaultdict(set)
        for row in follows:
            self.following[row["follower_id"]].add(row["followee_id"])
            self.followers[row["followee_id"]].add(row["follower_id"])
        self.liked_by_user: dict[str, set[str]] = defaultdict(set)
        self.likers_of_post: dict[str, set[str]] = defaultdict(set)
        for event in self.records["Event"].values():
            if event["type"] == "LIKE" and event["postId"] is not None and event["userId"] is not None:
                self.liked_by_user[event["userId"]].add(event["postId"])
                self.likers_of_post[event["postId"]].add(event["userId"])

    def recommendations(self, user: str, args: Args) -> list[dict[str, Any]]:
        """Return the best posts for ``user`` that exist: score descending, then key ascending."""
        self.ask("recommendations")
        reasons = self._reasons_by_friends(user) if args["strategy"] == "FRIENDS" else self._reasons_by_taste(user)
        wrote = {post["id"] for post in self._posts_of_author.get(user, [])}
        candidates = {post: people for post, people in reasons.items() if post not in wrote | self.liked_by_user.get(user, set())}
        existing = [post for post in candidates if self._exists(post)]
        existing.sort(key=lambda post: (-len(candidates[post]), post))
        first = args.get("first")
        return [
            {"post": post, "score": float(len(candidates[post])), "because": sorted(candidates[post])[:MOST_REASONS]}
            for post in existing[: DEFAULT_PAGE if first is None else first]
        ]

    def _exists(self, post: str) -> bool:
        """Say whether there is such a post. The graph store knows who wrote which, so the posts store is not asked."""
        return post in self.records["Post"]

    def _reasons_by_friends(self, user: str) -> dict[str, set[str]]:
        reasons: dict[str, set[str]] = defaultdict(set)
        for friend in self.following.get(user, ()):
            for post in self.liked_by_user.get(friend, ()):
                reasons[post].add(friend)
        return reasons

    def _reasons_by_taste(self, user: str) -> dict[str, set[str]]:
        alike = {other for post in self.liked_by_user.get(user, ()) for other in self.likers_of_post[post]} - {user}
        reasons: dict[str, set[str]] = defaultdict(set)
        for other in alike:
            for post in self.liked_by_user[other]:
                reasons[post].add(other)
        return reasons

    # ---------------------------------------------------------------------------------------------------- resolvers

    def resolvers(self) -> dict[str, dict[str, Callable[[Any, Args], Any]]]:
        """Return a function of (parent, arguments) for each field that is not simply in its parent."""
        users, posts, events = (self.records[name].values() for name in ("User", "Post", "Event"))
        return {
            "Query": {
                "node": lambda _, a: self.by_key(*type_and_key(a["id"])),
                "nodes": lambda _, a: [self._node_or_error(given) for given in a["ids"]],
                "user": lambda _, a: self._user(a),
                "users": lambda _, a: self.page("User", users, a),
                "post": lambda _, a: self.by_key("Post", key_of("Post", a["id"])),
                "posts": lambda _, a: self.page("Post", posts, a),
                "event": lambda _, a: self.by_key("Event", key_of("Event", a["id"])),
                "events": lambda _, a: self.page("Event", events, a),
                "eventStats": lambda _, a: self.stats(events, a),
                "recommendations": lambda _, a: self.recommendations(key_of("User", a["userId"]), a),
            },
            "User": {
                "id": lambda user, _: f"User:{user['id']}",
                "posts": lambda user, a: self.page("Post", self._posts_of_author.get(user["id"], []), a),
                "events": lambda user, a: self.page("Event", self._events_of_user.get(user["id"], []), a),
                "eventStats": lambda user, a: self.stats(self._events_of_user.get(user["id"], []), a),
                "following": lambda user, a: self._neighbours(self.following, user["id"], a),
                "followers": lambda user, a: self._neighbours(self.followers, user["id"], a),
                "recommendations": lambda user, a: self.recommendations(user["id"], a),
            },
            "Post": {
                "id": lambda post, _: f"Post:{post['id']}",
                "author": lambda post, _: self.by_key("User", post["authorId"]),
                "events": lambda post, a: self.page("Event", self._events_of_post.get(post["id"], []), a),
                "eventStats": lambda post, a: self.stats(self._events_of_post.get(post["id"], []), a),
            },
            "Event": {
                "id": lambda event, _: f"Event:{event['id']}",
                "user": lambda event, _: self.by_key("User", event["userId"]),
                "post": lambda event, _: self.by_key("Post", event["postId"]),
            },
            "EventStat": {
                "userId": lambda row, _: None if row["userId"] is None else f"User:{row['userId']}",
                "postId": lambda row, _: None if row["postId"] is None else f"Post:{row['postId']}",
            },
            "Recommendation": {
                "post": lambda row, _: self.by_key("Post", row["post"]),
                "because": lambda row, _: [u for u in (self.by_key("User", key) for key in row["because"]) if u is not None],
            },
        }

    def _node_or_error(self, given: str) -> Record | StoreDownError | None:
        try:
            return self.by_key(*type_and_key(given))
        except StoreDownError as exc:
            return exc  # in its own slot: the other nodes are as if nothing had happened

    def _user(self, args: Args) -> Record | None:
        if args.get("id") is not None:
            return self.by_key("User", key_of("User", args["id"]))
        self.ask("users")
        return next((user for user in self.records["User"].values() if user["email"] == args["email"]), None)

    def _neighbours(self, graph: Mapping[str, set[str]], user: str, args: Args) -> dict[str, Any]:
        self.ask("recommendations")
        return self.people(graph.get(user, ()), args)


# ------------------------------------------------------------------------------------------------------------------ rows


def _user(row: Row) -> Record:
    created = parse_time(row["created_at"])
    return {
        "__typename": "User",
        "id": row["id"],
        "name": row["name"],
        "email": row["email"],
        "active": row.get("active", True),
        "gender": row.get("gender"),
        "birthday": row.get("birthday"),
        "languages": row.get("languages", []),
        "createdAt": created,
        "updatedAt": parse_time(row["updated_at"]) if row.get("updated_at") else created,
        "version": 0,  # a loaded row's
    }


def _post(row: Row) -> Record:
    created = parse_time(row["created_at"])
    return {
        "__typename": "Post",
        "id": row["id"],
        "authorId": row["author_id"],
        "title": row["title"],
        "content": row.get("content", ""),
        "image": row.get("image"),
        "language": row.get("language"),
        "forum": row.get("forum"),
        "tags": row.get("tags", []),
        "published": row.get("published", False),
        "createdAt": created,
        "updatedAt": parse_time(row["updated_at"]) if row.get("updated_at") else created,
        "version": 0,  # a loaded row's
    }


def _event(row: Row) -> Record:
    return {
        "__typename": "Event",
        "id": row["id"],
        "type": row["type"],
        "userId": row["user_id"],
        "postId": row.get("post_id"),
        "occurredAt": parse_time(row["occurred_at"]),
        "payload": row.get("payload", {}),
    }


def _grouped(records: Iterable[Record], field: str) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record[field] is not None:
            groups[record[field]].append(record)
    return groups


def _group_value(event: Record, group: str, interval: str | None) -> str | None:
    if group == "TIME":
        assert interval is not None
        return bucket_start(event["occurredAt"], interval)
    value: str | None = event[{"TYPE": "type", "USER": "userId", "POST": "postId"}[group]]
    return value


# ---------------------------------------------------------------------------------------------------- schema and answers


@cache
def _contract() -> DocumentNode:
    return parse(CONTRACT.read_text(encoding="utf-8"))


def _schema(oracle: Oracle) -> GraphQLSchema:
    """Return the contract's schema with the oracle's resolvers. What has none is read from its parent by name."""
    schema = build_ast_schema(_contract(), assume_valid=True, assume_valid_sdl=True)  # tests/schema has it valid
    for type_name, functions in oracle.resolvers().items():
        type_ = schema.type_map[type_name]
        assert isinstance(type_, GraphQLObjectType)
        for field, function in functions.items():
            type_.fields[field].resolve = lambda parent, _info, function=function, **args: function(parent, args)
    node = schema.type_map["Node"]
    assert isinstance(node, GraphQLInterfaceType)
    node.resolve_type = lambda record, _info, _type: record["__typename"]
    for name, parsed in (("DateTime", parse_time), ("Date", parse_date)):
        scalar = schema.type_map[name]
        assert isinstance(scalar, GraphQLScalarType)
        scalar.coerce_input_value = parsed
        scalar.parse_value = parsed  # type: ignore[method-assign]
    return schema


def _refused(errors: Iterable[GraphQLError], code: str) -> Answer:
    return {"errors": [{**_formatted(error), "extensions": {"code": code}} for error in errors]}


def _formatted(error: GraphQLError) -> dict[str, Any]:
    return dict(error.formatted)
