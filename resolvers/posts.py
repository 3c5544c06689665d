"""Where posts come from."""

from __future__ import annotations

from gateway.stores.base import Collection, Column, Index, Type

posts = Collection(
    name="posts",
    store="posts",
    managed=True,
    label="PostRecord",
    columns=(
        Column("id", refers="Post", description="The post's id."),
        Column("author_id", refers="User", description="The id of the user who wrote it."),
        Column("title", description="The title."),
        Column("content", default="", description="The text."),
        Column("image", nullable=True, description="The photo's file name."),
        Column("language", nullable=True, description="The language tag."),
        Column("forum", nullable=True, description="The forum's title."),
        Column("tags", Type.TEXTS, default=(), description="What it is about."),
        Column("published", Type.BOOL, default=False, description="Whether it is published."),
        Column("created_at", Type.TIME, description="When it was written."),
        Column("updated_at", Type.TIME, description="When it was last changed."),
    ),
    indexes=(
        Index(("author_id", "id")),
        Index(("author_id", "created_at", "id")),
        Index(("created_at", "id")),
        Index(("updated_at", "id")),
    ),
)
