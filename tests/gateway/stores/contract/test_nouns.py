"""The project's own collections, each in every kind of store: users in MongoDB, events in PostgreSQL, the graph in SQLite."""

from __future__ import annotations

from gateway.stores.base import Aggregate, Bucket, Collection, Compare, Delete, Fetch, Get, Match, Measure, Order, Page, Pairs, Store
from resolvers.events import events
from resolvers.graph import follows, likes, wrote
from resolvers.posts import posts
from resolvers.users import users
from tests.gateway.stores.contract.oracle import aggregated, answered, everything, fetched, grouped, put, same
from tests.gateway.stores.contract.world import Record

USERS: list[Record] = [
    {
        "id": key,
        "name": name,
        "email": f"{key}@example.org",
        "active": active,
        "gender": gender,
        "birthday": birthday,
        "languages": languages,
        "created_at": created_at,
        "updated_at": created_at,
    }
    for key, name, active, gender, birthday, languages, created_at in [
        ("6", "Ada", True, None, "1985-09-20", ["en", "de"], "2010-03-08T23:51:42.175Z"),
        ("73", "Bo\u00e9", False, "female", None, [], "2010-03-08T23:51:42.176Z"),
        ("8796093022404", "\u4e2d\u6587", True, "male", "1900-01-01", ["zh"], "2010-01-01T00:00:00.000Z"),
        ("9007199254740993", "\U0001f600", True, None, None, ["en"], "2012-12-12T12:12:12.120Z"),
    ]
]
POSTS: list[Record] = [
    {
        "id": f"{i}",
        "author_id": USERS[i % 3]["id"],
        "title": f"Post {i}",
        "content": "" if i % 2 else "Long: \u00e4\n'\"",
        "image": f"photo{i}.jpg" if i % 3 == 0 else None,
        "language": ("en", "de", None)[i % 3],
        "forum": None,
        "tags": ["a", "b"][: i % 3],
        "published": i % 4 != 0,
        "created_at": f"2011-0{i % 4 + 1}-01T00:00:00.{i:03}Z",
        "updated_at": f"2012-0{i % 4 + 1}-01T00:00:00.{i:03}Z",
    }
    for i in range(12)
]
EVENTS: list[Record] = [
    {
        "id": f"e{i}",
        "type": ("LIKE", "COMMENT", "JOIN")[i % 3],
        "user_id": USERS[i % 4]["id"],
        "post_id": POSTS[i % 5]["id"] if i % 3 != 2 else None,
        "occurred_at": f"2012-0{i % 2 + 1}-0{i % 9 + 1}T0{i % 7}:30:00.{i * 31 % 1000:03}Z",
        "payload": {"n": i, "b": [i], "a": None} if i % 2 else {},
    }
    for i in range(20)
]
FOLLOWS: list[Record] = [
    {"follower_id": a["id"], "followee_id": b["id"], "since": f"2010-05-0{i + j + 1}T00:00:00.001Z"}
    for i, a in enumerate(USERS)
    for j, b in enumerate(USERS)
    if i != j
]
LIKES: list[Record] = [{"user_id": e["user_id"], "post_id": e["post_id"], "since": e["occurred_at"]} for e in EVENTS[:8] if e["post_id"]]
WROTE: list[Record] = [{"author_id": post["author_id"], "post_id": post["id"]} for post in POSTS]

NOUNS: list[tuple[Collection, list[Record]]] = [
    (users, USERS),
    (posts, POSTS),
    (events, EVENTS),
    (follows, FOLLOWS),
    (likes, LIKES),
    (wrote, WROTE),
]
USER_IDS = [user["id"] for user in USERS]


async def load(store: Store) -> None:
    for collection, records in NOUNS:
        await put(store, collection, *records)


async def test_all_nouns_live_side_by_side_in_one_store(scratch: Store) -> None:
    await load(scratch)
    for collection, records in NOUNS:
        rows = await everything(scratch, collection)
        assert same(rows, sorted(records, key=lambda r: tuple(r[name] for name in collection.key))), collection.name


async def test_deleting_one_noun_leaves_the_others(scratch: Store) -> None:
    """Users and posts are nodes of the graph as well as records of their own: neither takes the other away."""
    await load(scratch)
    for gone, _ in NOUNS:
        rows = await everything(scratch, gone)
        await scratch.answer(Delete(gone, [tuple(row[name] for name in gone.key) for row in rows]))
        assert await everything(scratch, gone) == []
        for collection, records in NOUNS:
            if collection is not gone:
                assert len(await everything(scratch, collection)) == len(records), f"{collection.name} without {gone.name}"
        await load(scratch)


async def test_users_by_email(scratch: Store) -> None:
    await load(scratch)
    rows = await scratch.answer(Get(users, ("id", "active"), ["73@example.org", "nobody@example.org", "6@EXAMPLE.org"], column="email"))
    assert same({key: tuple(row) for key, row in rows.items()}, {"73@example.org": ("73", False)})


async def test_the_posts_of_users(scratch: Store) -> None:
    await load(scratch)
    fetch = Fetch(
        posts,
        ("id", "title", "published", "tags", "language"),
        Match("author_id", USER_IDS),
        Compare("language", "ne", "en"),
        (Order("created_at", descending=True),),
        Page(3),
        count=True,
    )
    assert same(answered(await scratch.answer(fetch), counted=True), fetched(POSTS, fetch))


async def test_the_events_of_users_and_of_posts(scratch: Store) -> None:
    await load(scratch)
    for match in (Match("user_id", USER_IDS), Match("post_id", ["0", "1", "missing"])):
        fetch = Fetch(
            events, ("id", "type", "payload", "post_id"), match, order=(Order("occurred_at"),), page=Page(2, backward=True), count=True
        )
        assert same(answered(await scratch.answer(fetch), counted=True), fetched(EVENTS, fetch))


async def test_statistics_of_events(scratch: Store) -> None:
    await load(scratch)
    measures = (Measure("count"), Measure("min", "occurred_at"), Measure("max", "occurred_at"))
    for groups in [("type",), ("type", Bucket("occurred_at", "week")), ("user_id", "post_id"), ()]:
        for match in (None, Match("user_id", USER_IDS), Match("post_id", ["0", "1"])):
            aggregate = Aggregate(events, groups, measures, match, Compare("type", "in", ("LIKE", "JOIN")))
            assert same(grouped(await scratch.answer(aggregate)), aggregated(EVENTS, aggregate))


async def test_whom_users_follow_and_who_follows_them(scratch: Store) -> None:
    """First the edges, then the users at their other ends, by pairs."""
    await load(scratch)
    for here, there in (("follower_id", "followee_id"), ("followee_id", "follower_id")):
        edges = await scratch.answer(Fetch(follows, (there,), Match(here, USER_IDS)))
        pairs = [(str(parent), row[0]) for parent, slice_ in edges.items() for row in slice_.rows]
        assert sorted(pairs) == sorted((edge[here], edge[there]) for edge in FOLLOWS)
        fetch = Fetch(users, ("id", "name"), Pairs("id", pairs), Compare("active", "eq", True), (Order("name", True),), Page(2), count=True)
        assert same(answered(await scratch.answer(fetch), counted=True), fetched(USERS, fetch))


async def test_following_twice_is_one_edge_and_unfollowing_ends_it(scratch: Store) -> None:
    await load(scratch)
    await put(scratch, follows, {"follower_id": "6", "followee_id": "73", "since": "2020-01-01T00:00:00.000Z"})
    assert len(await everything(scratch, follows)) == len(FOLLOWS)
    await scratch.answer(Delete(follows, [("6", "73")]))
    slices = await scratch.answer(Fetch(follows, ("follower_id", "followee_id"), Match("follower_id", ["6"])))
    assert ("6", "73") not in [tuple(row) for row in slices["6"].rows]
    assert len(slices["6"].rows) == 2
