"""Where events come from."""

from __future__ import annotations

from gateway.stores.base import Collection, Column, Index, Type

events = Collection(
    name="events",
    store="events",
    managed=True,
    label="EventRecord",
    columns=(
        Column("id", refers="Event", description="The event's id."),
        Column("type", description="What was done."),
        Column("user_id", refers="User", description="The id of the user who did it."),
        Column("post_id", nullable=True, refers="Post", description="The id of the post it was done with."),
        Column("occurred_at", Type.TIME, description="When it was done."),
        Column("payload", Type.JSON, default={}, description="What else is known of it."),
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
