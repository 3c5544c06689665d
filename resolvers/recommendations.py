"""Where recommendations come from: one traversal of the graph for all users, in the language of each kind of store.

FRIENDS: posts liked by users that the user follows; the score is how many of them.
COLLABORATIVE: posts liked by users who liked a post that the user liked; the score is how many such users.
Both leave out posts that the user wrote or liked, and posts that nobody is known to have written (they are gone).
Best first, then by key ascending as text; ``because`` are the first three of those users by key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Annotated, Any

import strawberry

from gateway.context import RequestContext
from gateway.loaders import ask
from gateway.stores.base import Column, Key, Native, NativeCall, Row, Tables, Type, Value

COLUMNS = (Column("post_id", refers="Post"), Column("score", Type.FLOAT), Column("because", Type.TEXTS))
BECAUSE = 3


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
    first: Annotated[int | None, strawberry.argument(description="How many at most; 100 is the limit.")] = 10,
    strategy: Annotated[RecommendationStrategy, strawberry.argument(description="How they are found.")] = RecommendationStrategy.FRIENDS,
) -> list[Sequence[Row]]:
    """Return rows (post, score, because) per user, best first; an unknown user has none. One native query for any number of users."""
    limit = 10 if first is None else first
    if limit == 0:
        return [()] * len(ids)
    found = await ask(ctx, NativeCall(NATIVES[strategy], ids, {"first": limit}))
    return [found.get(user, ()) for user in ids]


# ---------------------------------------------------------------------------------------------------------------- SQL
# `peers` are (user, peer): whose likes count for whom. The two strategies differ in nothing else.

_PEERS_SQL = {
    "friends": "SELECT follower_id AS k, followee_id AS peer FROM follows WHERE follower_id {in_keys}",
    "collaborative": """
        SELECT DISTINCT mine.user_id AS k, other.user_id AS peer FROM likes AS mine
        JOIN likes AS other ON other.post_id = mine.post_id AND other.user_id <> mine.user_id WHERE mine.user_id {in_keys}""",
}
_SQL = """
WITH peers AS ({peers}),
scored AS (
    SELECT p.k, l.post_id, count(*) AS score FROM peers AS p JOIN likes AS l ON l.user_id = p.peer
    WHERE EXISTS (SELECT 1 FROM wrote AS w WHERE w.post_id = l.post_id)
      AND NOT EXISTS (SELECT 1 FROM wrote AS w WHERE w.post_id = l.post_id AND w.author_id = p.k)
      AND NOT EXISTS (SELECT 1 FROM likes AS own WHERE own.user_id = p.k AND own.post_id = l.post_id)
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
    "SELECT p.peer FROM peers AS p JOIN likes AS l ON l.user_id = p.peer AND l.post_id = b.post_id WHERE p.k = b.k ORDER BY p.peer LIMIT 3"
)


def _postgresql(strategy: str) -> str:
    peers = _PEERS_SQL[strategy].format(in_keys="= ANY(CAST(:keys AS text[]))")
    return _SQL.format(peers=peers, float="double precision", because=f"ARRAY({_BECAUSE})")


def _sqlite(strategy: str) -> str:
    peers = _PEERS_SQL[strategy].format(in_keys="IN (SELECT value FROM json_each(:keys))")
    return _SQL.format(peers=peers, float="REAL", because=f"(SELECT json_group_array(peer) FROM ({_BECAUSE}))")


# ------------------------------------------------------------------------------------------------------------- Cypher

_PEERS_CYPHER = {
    "friends": "MATCH (u)-[:{FOLLOWS}]->(peer:{User})",
    "collaborative": "MATCH (u)-[:{LIKES}]->(:{Post})<-[:{LIKES}]-(peer:{User}) WHERE peer <> u",
}


def _cypher(strategy: str) -> str:
    # Collecting the left-out posts once per user is three times as fast as two EXISTS per candidate.
    return (
        """
UNWIND $keys AS k
MATCH (u:{User} {{id: k}})
CALL (u) {{
    WITH u, COLLECT {{ MATCH (u)-[:{LIKES}|{WROTE}]->(own:{Post}) RETURN own }} AS mine
    """
        + _PEERS_CYPHER[strategy]
        + """
    WITH DISTINCT mine, peer
    MATCH (peer)-[:{LIKES}]->(post:{Post})
    WHERE NOT post IN mine AND EXISTS {{ (:{User})-[:{WROTE}]->(post) }}
    WITH post, peer.id AS peer ORDER BY peer
    WITH post.id AS post, count(*) AS score, collect(peer)[..3] AS because
    ORDER BY score DESC, post LIMIT $first
    RETURN post, score, because
}}
RETURN k, post, toFloat(score), because
"""
    )


# ------------------------------------------------------------------------------------------------------------ MongoDB


def _mongodb(strategy: str, keys: Sequence[Key], arguments: Mapping[str, Value]) -> tuple[str, list[dict[str, Any]]]:
    """Peers per user, their likes, what is to be left out, then the best of each user."""
    peers: list[dict[str, Any]]
    if strategy == "friends":
        start, peers = (
            "follows",
            [
                {"$match": {"follower_id": {"$in": list(keys)}}},
                {"$project": {"_id": 0, "k": "$follower_id", "peer": "$followee_id"}},
            ],
        )
    else:
        start, peers = (
            "likes",
            [
                {"$match": {"user_id": {"$in": list(keys)}}},
                {"$lookup": {"from": "likes", "localField": "post_id", "foreignField": "post_id", "as": "other"}},
                {"$unwind": "$other"},
                {"$match": {"$expr": {"$ne": ["$other.user_id", "$user_id"]}}},
                {"$group": {"_id": {"k": "$user_id", "peer": "$other.user_id"}}},
                {"$project": {"_id": 0, "k": "$_id.k", "peer": "$_id.peer"}},
            ],
        )
    mine = [{"$project": {"_id": 0, "post_id": 1}}]
    pipeline: list[dict[str, Any]] = [
        *peers,
        {"$lookup": {"from": "likes", "localField": "peer", "foreignField": "user_id", "as": "liked", "pipeline": mine}},
        {"$unwind": "$liked"},
        {"$sort": {"peer": 1}},
        {"$group": {"_id": {"k": "$k", "post": "$liked.post_id"}, "score": {"$sum": 1}, "because": {"$push": "$peer"}}},
        {
            "$group": {
                "_id": "$_id.k",
                "found": {"$push": {"post": "$_id.post", "score": "$score", "because": {"$slice": ["$because", BECAUSE]}}},
            }
        },
        {"$lookup": {"from": "likes", "localField": "_id", "foreignField": "user_id", "as": "liked", "pipeline": mine}},
        {"$lookup": {"from": "wrote", "localField": "_id", "foreignField": "author_id", "as": "wrote", "pipeline": mine}},
        {
            "$project": {
                "found": {
                    "$filter": {
                        "input": "$found",
                        "cond": {"$not": [{"$in": ["$$this.post", {"$concatArrays": ["$liked.post_id", "$wrote.post_id"]}]}]},
                    }
                }
            }
        },
        {"$unwind": "$found"},
        {"$lookup": {"from": "wrote", "localField": "found.post", "foreignField": "post_id", "as": "author", "pipeline": mine}},
        {"$match": {"author": {"$ne": []}}},
        {"$sort": {"_id": 1, "found.score": -1, "found.post": 1}},
        {"$group": {"_id": "$_id", "found": {"$push": "$found"}}},
        {"$project": {"found": {"$slice": ["$found", arguments["first"]]}}},
        {"$unwind": "$found"},
        {"$project": {"_id": 0, "k": "$_id", "r": ["$found.post", {"$toDouble": "$found.score"}, "$found.because"]}},
    ]
    return start, pipeline


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
        postgresql=_postgresql(strategy),
        sqlite=_sqlite(strategy),
        mongodb=lambda keys, arguments: _mongodb(strategy, keys, arguments),
        cypher=_cypher(strategy),
        memory=lambda tables, keys, arguments: _memory(strategy, tables, keys, arguments),
    )


NATIVES = {strategy: _native(str(strategy.value)) for strategy in RecommendationStrategy}
