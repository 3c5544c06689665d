"""Where recommendations come from: one traversal of the graph for all users, in the language of each kind of store.

FRIENDS: posts liked by users that the user follows; the score is how many of them.
COLLABORATIVE: posts liked by users who liked a post that the user liked; the score is how many such users.
Both leave out posts that the user wrote or liked, and posts that nobody is known to have written (they are gone).
Best first, then by key ascending as text; ``because`` are the first three of those users by key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import partial
from typing import Annotated, Any

import strawberry

from gateway.context import RequestContext
from gateway.loaders import ask
from gateway.stores.base import Column, Key, Native, NativeCall, Row, Tables, Type, Value
from resolvers.graph import follows, likes, wrote

COLUMNS = (Column("post_id", refers="Post"), Column("score", Type.FLOAT), Column("because", Type.TEXTS))
BECAUSE = 3

Where = Callable[[str], dict[str, Any]]  # MongoDB's query for the rows of a collection that may be read; an empty one for all


@strawberry.enum(description="How recommendations are found. Both leave out what the user wrote or liked.")
class RecommendationStrategy(Enum):
    FRIENDS = strawberry.enum_value("friends", description="Posts liked by users that the user follows; the score is how many of them.")
    COLLABORATIVE = strawberry.enum_value(
        "collaborative", description="Posts liked by users who liked a post that the user liked; the score is how many such users."
    )


async def by_user(
    ctx: RequestContext,
    ids: Sequence[Key],
    *,
    first: Annotated[int | None, strawberry.argument(description="How many; the setting page_max says how many at most.")] = 10,
    strategy: Annotated[RecommendationStrategy, strawberry.argument(description="How they are found.")] = RecommendationStrategy.FRIENDS,
) -> list[Sequence[Row]]:
    """Return rows (post, score, because) per user, best first; an unknown user has none. One native query for any number of users."""
    limit = 10 if first is None else first
    if limit == 0:
        return [()] * len(ids)
    found = await ask(ctx, NativeCall(NATIVES[strategy], ids, {"first": limit}))
    return [found.get(user, ()) for user in ids]


# ---------------------------------------------------------------------------------------------------------------- SQL
# A user at a time: their candidates through the indexes, sorted once; from the best on each is looked at until enough may stay, so
# that of hundreds only a few are. OFFSET 0 keeps the planner from reading all likes instead, and from looking at all candidates.
# PERF: 50 users of the LDBC sample take 3.4 ms; with the exclusions as joins 6.8, as one set of all users 10.1 (medians of 30 runs of
# each in turn, on loopback).
_FRIENDS_POSTGRESQL = """
SELECT u.k, best.post_id, CAST(best.score AS double precision) AS score,
    ARRAY(SELECT f.followee_id FROM follows AS f JOIN likes AS l ON l.user_id = f.followee_id AND l.post_id = best.post_id
          WHERE f.follower_id = u.k {and:follows:f} {and:likes:l} ORDER BY f.followee_id LIMIT 3) AS because
FROM unnest(:keys) AS u(k)
CROSS JOIN LATERAL (
    SELECT scored.post_id, scored.score FROM (
        SELECT l.post_id, count(*) AS score FROM follows AS f
        CROSS JOIN LATERAL (SELECT likes.post_id FROM likes WHERE likes.user_id = f.followee_id {and:likes:likes} OFFSET 0) AS l
        WHERE f.follower_id = u.k {and:follows:f} GROUP BY l.post_id ORDER BY count(*) DESC, l.post_id OFFSET 0
    ) AS scored
    WHERE CASE
        WHEN EXISTS (SELECT 1 FROM likes AS own WHERE own.user_id = u.k AND own.post_id = scored.post_id {and:likes:own}) THEN false
        WHEN EXISTS (SELECT 1 FROM wrote AS w WHERE w.author_id = u.k AND w.post_id = scored.post_id {and:wrote:w}) THEN false
        ELSE EXISTS (SELECT 1 FROM wrote AS w WHERE w.post_id = scored.post_id {and:wrote:w})
    END
    LIMIT CAST(:first AS integer)
) AS best
"""


# The same in SQLite, which has no LATERAL but table functions of what stands before them. PERF: 3.0 ms for 50 users of the LDBC sample,
# 10.1 as one set.
_FRIENDS_SQLITE = """
SELECT u.value AS k, json_extract(best.value, '$[0]') AS post_id, CAST(json_extract(best.value, '$[1]') AS REAL) AS score,
    (SELECT json_group_array(peer) FROM (
        SELECT f.followee_id AS peer FROM follows AS f
        CROSS JOIN likes AS l ON l.user_id = f.followee_id AND l.post_id = json_extract(best.value, '$[0]')
        WHERE f.follower_id = u.value {and:follows:f} {and:likes:l} ORDER BY f.followee_id LIMIT 3
    )) AS because
FROM json_each(:keys) AS u
CROSS JOIN json_each((
    SELECT json_group_array(json_array(post_id, score)) FROM (
        SELECT scored.post_id, scored.score FROM (
            SELECT l.post_id, count(*) AS score FROM follows AS f CROSS JOIN likes AS l ON l.user_id = f.followee_id
            WHERE f.follower_id = u.value {and:follows:f} {and:likes:l} GROUP BY l.post_id ORDER BY count(*) DESC, l.post_id LIMIT -1
        ) AS scored
        WHERE NOT EXISTS (SELECT 1 FROM likes AS own WHERE own.user_id = u.value AND own.post_id = scored.post_id {and:likes:own})
          AND NOT EXISTS (SELECT 1 FROM wrote AS w WHERE w.author_id = u.value AND w.post_id = scored.post_id {and:wrote:w})
          AND EXISTS (SELECT 1 FROM wrote AS w WHERE w.post_id = scored.post_id {and:wrote:w})
        LIMIT :first
    )
)) AS best
"""

# COLLABORATIVE as one set of all users, because the peers of each would be found twice. PERF: 13 ms for 50 users, 21 a user at a time.
# `peers` are (user, peer): whose likes count for whom.

_COLLABORATIVE_SQL = """
WITH peers AS (
    SELECT DISTINCT mine.user_id AS k, other.user_id AS peer FROM likes AS mine
    JOIN likes AS other ON other.post_id = mine.post_id AND other.user_id <> mine.user_id WHERE mine.user_id {in_keys}
        {{and:likes:mine}} {{and:likes:other}}
),
scored AS (
    SELECT p.k, l.post_id, count(*) AS score FROM peers AS p JOIN likes AS l ON l.user_id = p.peer
    WHERE EXISTS (SELECT 1 FROM wrote AS w WHERE w.post_id = l.post_id {{and:wrote:w}})
      AND NOT EXISTS (SELECT 1 FROM wrote AS w WHERE w.post_id = l.post_id AND w.author_id = p.k {{and:wrote:w}})
      AND NOT EXISTS (SELECT 1 FROM likes AS own WHERE own.user_id = p.k AND own.post_id = l.post_id {{and:likes:own}})
      {{and:likes:l}}
    GROUP BY p.k, l.post_id
),
best AS (
    SELECT k, post_id, score, place FROM (
        SELECT k, post_id, score, row_number() OVER (PARTITION BY k ORDER BY score DESC, post_id) AS place FROM scored
    ) AS ranked WHERE place <= :first
)
SELECT b.k, b.post_id, CAST(b.score AS {float}) AS score, {because} AS because FROM best AS b ORDER BY b.k, b.place
"""
_BECAUSE = (
    "SELECT p.peer FROM peers AS p JOIN likes AS l ON l.user_id = p.peer AND l.post_id = b.post_id"
    " WHERE p.k = b.k {and:likes:l} ORDER BY p.peer LIMIT 3"
)
_COLLABORATIVE_POSTGRESQL = _COLLABORATIVE_SQL.format(in_keys="= ANY(:keys)", float="double precision", because=f"ARRAY({_BECAUSE})")
_COLLABORATIVE_SQLITE = _COLLABORATIVE_SQL.format(
    in_keys="IN (SELECT value FROM json_each(:keys))",
    float="REAL",
    because=f"(SELECT json_group_array(peer) FROM ({_BECAUSE}))",  # noqa: S608 - our own text
)


# ------------------------------------------------------------------------------------------------------------- Cypher

_PEERS_CYPHER = {
    "friends": "MATCH (u)-[f:{FOLLOWS}]->(peer:{User}) {where:follows:u,f,peer}",
    "collaborative": (
        "MATCH (u)-[m:{LIKES}]->(liked:{Post})<-[o:{LIKES}]-(peer:{User}) WHERE peer <> u {and:likes:u,m,liked} {and:likes:peer,o,liked}"
    ),
}


def _cypher(strategy: str) -> str:
    # Collecting the left-out posts once per user is three times as fast as two EXISTS per candidate.
    return (
        """
UNWIND $keys AS k
MATCH (u:{User} {{id: k}})
CALL (u) {{
    WITH u, COLLECT {{
        MATCH (u)-[l:{LIKES}]->(own:{Post}) {where:likes:u,l,own} RETURN own
        UNION ALL MATCH (u)-[w:{WROTE}]->(own:{Post}) {where:wrote:u,w,own} RETURN own
    }} AS mine
    """
        + _PEERS_CYPHER[strategy]
        + """
    WITH DISTINCT mine, peer
    MATCH (peer)-[l:{LIKES}]->(post:{Post})
    WHERE NOT post IN mine AND EXISTS {{ MATCH (author:{User})-[w:{WROTE}]->(post) {where:wrote:author,w,post} }} {and:likes:peer,l,post}
    WITH post, peer.id AS peer ORDER BY peer
    WITH post.id AS post, count(*) AS score, collect(peer)[..3] AS because
    ORDER BY score DESC, post LIMIT $first
    RETURN post, score, because
}}
RETURN k, post, toFloat(score) AS score, because
"""
    )


# ------------------------------------------------------------------------------------------------------------ MongoDB


def _mongodb(strategy: str, keys: Sequence[Key], arguments: Mapping[str, Value], where: Where) -> tuple[str, list[dict[str, Any]]]:
    """Return the pipeline: three look-ups per user (four for COLLABORATIVE), none per candidate.

    Candidates, the user's own likes and the authors meet in one hash group by post, which is linear; ``$in`` over arrays is not.
    """
    liking, writing = _those(where("likes")), _those(where("wrote"))
    if strategy == "friends":
        start = "follows"
        peers: list[dict[str, Any]] = [
            {"$match": {"follower_id": {"$in": list(keys)}}},
            *_those(where("follows")),
            {"$group": {"_id": "$follower_id", "peers": {"$addToSet": "$followee_id"}}},
        ]
    else:
        start = "likes"
        peers = [
            {"$match": {"user_id": {"$in": list(keys)}}},
            *liking,
            {"$group": {"_id": "$user_id", "posts": {"$addToSet": "$post_id"}}},
            _lookup("likes", "posts", "post_id", "peers", [*liking, {"$group": {"_id": "$user_id"}}]),
            {"$project": {"peers": {"$setDifference": [{"$map": {"input": "$peers", "in": "$$this._id"}}, ["$_id"]]}}},
        ]
    score = [{"$group": {"_id": "$post_id", "score": {"$sum": 1}, "because": {"$minN": {"n": BECAUSE, "input": "$user_id"}}}}]
    best = {"n": arguments["first"], "sortBy": {"score": -1, "_id.post": 1}, "output": ["$_id.post", {"$toDouble": "$score"}, "$because"]}
    return start, [
        *peers,
        _lookup("likes", "peers", "user_id", "found", [*liking, *score]),
        _lookup("likes", "_id", "user_id", "own", [*liking, {"$project": {"_id": "$post_id", "own": {"$literal": True}}}]),
        {"$set": {"candidates": {"$map": {"input": "$found", "in": "$$this._id"}}}},
        _lookup("wrote", "candidates", "post_id", "authors", [*writing, {"$project": {"_id": "$post_id", "author": "$author_id"}}]),
        {"$project": {"item": {"$concatArrays": ["$found", "$own", "$authors"]}}},
        {"$unwind": "$item"},
        {
            "$group": {
                "_id": {"k": "$_id", "post": "$item._id"},
                "score": {"$max": "$item.score"},
                "because": {"$max": "$item.because"},
                "own": {"$max": {"$or": ["$item.own", {"$eq": ["$item.author", "$_id"]}]}},
                "author": {"$max": "$item.author"},
            }
        },
        {"$match": {"score": {"$gt": 0}, "own": False, "author": {"$gt": ""}}},
        {"$group": {"_id": "$_id.k", "best": {"$topN": best}}},
        {"$unwind": "$best"},
        {"$project": {"_id": 0, "k": "$_id", "r": "$best"}},
    ]


def _those(query: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"$match": query}] if query else []


def _lookup(source: str, local: str, foreign: str, name: str, pipeline: list[dict[str, Any]]) -> dict[str, Any]:
    return {"$lookup": {"from": source, "localField": local, "foreignField": foreign, "as": name, "pipeline": pipeline}}


# ------------------------------------------------------------------------------------------------------------- memory


def _memory(strategy: str, tables: Tables, keys: Sequence[Key], arguments: Mapping[str, Value]) -> list[tuple[Value, ...]]:
    likes: dict[Key, set[Key]] = {}
    likers: dict[Key, set[Key]] = {}
    authors: dict[Key, set[Key]] = {}
    for row in tables("likes"):
        likes.setdefault(row["user_id"], set()).add(row["post_id"])
        likers.setdefault(row["post_id"], set()).add(row["user_id"])
    for row in tables("wrote"):
        authors.setdefault(row["post_id"], set()).add(row["author_id"])
    followees: dict[Key, set[Key]] = {}
    for row in tables("follows") if strategy == "friends" else ():
        followees.setdefault(row["follower_id"], set()).add(row["followee_id"])
    answer: list[tuple[Value, ...]] = []
    for key in keys:
        own = likes.get(key, set())
        peers = followees.get(key, set()) if strategy == "friends" else {peer for post in own for peer in likers[post]} - {key}
        because: dict[Key, list[Key]] = {}
        for peer in sorted(peers):
            for post in likes.get(peer, set()):
                if post not in own and post in authors and key not in authors[post]:
                    because.setdefault(post, []).append(peer)
        best = sorted(because.items(), key=lambda item: (-len(item[1]), item[0]))[: arguments["first"]]
        answer.extend((key, post, float(len(found)), found[:BECAUSE]) for post, found in best)
    return answer


def _native(strategy: str) -> Native:
    return Native(
        name=f"recommendations.{strategy}",
        store="recommendations",
        columns=COLUMNS,
        queries={
            "postgresql": _FRIENDS_POSTGRESQL if strategy == "friends" else _COLLABORATIVE_POSTGRESQL,
            "sqlite": _FRIENDS_SQLITE if strategy == "friends" else _COLLABORATIVE_SQLITE,
            "mongodb": partial(_mongodb, strategy),
            "neo4j": _cypher(strategy),
            "memory": partial(_memory, strategy),
        },
        reads=(follows, likes, wrote) if strategy == "friends" else (likes, wrote),
    )


NATIVES = {strategy: _native(str(strategy.value)) for strategy in RecommendationStrategy}
