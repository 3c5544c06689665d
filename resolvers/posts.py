"""Where posts come from."""

from __future__ import annotations

from gateway.stores.base import Collection, Column, Index, Type

posts = Collection(
    name="posts",
    store="posts",
    label="PostRecord",
    columns=(
        Column("id", refers="Post"),
        Column("author_id", refers="User"),
        Column("title"),
        Column("content", default=""),
        Column("image", nullable=True),
        Column("language", nullable=True),
        Column("forum", nullable=True),
        Column("tags", Type.TEXTS, default=()),
        Column("published", Type.BOOL, default=False),
        Column("created_at", Type.TIME),
        Column("updated_at", Type.TIME),
    ),
    indexes=(
        Index(("author_id", "id")),
        Index(("author_id", "created_at", "id")),
        Index(("created_at", "id")),
        Index(("updated_at", "id")),
    ),
)
