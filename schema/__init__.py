"""The graph: what clients see. One file per noun; schema.graphql beside it is exported from here and reviewed like code."""

from __future__ import annotations

from pathlib import Path

import strawberry
from strawberry.schema.config import StrawberryConfig

from gateway.graph import SCALARS, Graph
from resolvers.datasets import datasets
from resolvers.demo import demo
from resolvers.events import events
from resolvers.graph import follows, likes, members, wrote
from resolvers.posts import posts
from resolvers.replication import replication
from resolvers.users import users
from schema.mutation import Mutation
from schema.query import Query
from schema.subscription import Subscription

schema = Graph(
    schema=strawberry.Schema(query=Query, mutation=Mutation, subscription=Subscription, config=StrawberryConfig(scalar_map=SCALARS)),
    collections=(users, posts, events, follows, likes, wrote, members),
    sdl=Path(__file__).parent / "schema.graphql",
    migrations=Path(__file__).parent.parent / "resolvers" / "migrations",
    datasets=datasets,
    replication=replication,
    demo=demo,
    first_query=(Path(__file__).parent / "first_query.graphql").read_text(encoding="utf-8"),
    plain_urls={"DATABASE_URL": ("users", "posts"), "MONGO_URL": ("events",), "NEO4J_URL": ("recommendations",)},
)
