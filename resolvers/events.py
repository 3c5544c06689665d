"""Where events come from."""

from __future__ import annotations

from gateway.stores.base import Collection, Column, Index, Type

events = Collection(
    name="events",
    store="events",
    label="EventRecord",
    columns=(
        Column("id", refers="Event"),
        Column("type"),
        Column("user_id", refers="User"),
        Column("post_id", nullable=True, refers="Post"),
        Column("occurred_at", Type.TIME),
        Column("payload", Type.JSON, default={}),
    ),
    indexes=(
        Index(("user_id", "id")),
        Index(("user_id", "occurred_at", "id")),
        Index(("post_id", "id")),
        Index(("post_id", "occurred_at", "id")),
        Index(("type", "id")),
        Index(("occurred_at", "id")),
    ),
)
