"""Where users come from."""

from __future__ import annotations

from gateway.stores.base import Collection, Column, Index, Type

users = Collection(
    name="users",
    store="users",
    label="UserRecord",
    columns=(
        Column("id", refers="User"),
        Column("name"),
        Column("email"),
        Column("active", Type.BOOL, default=True),
        Column("gender", nullable=True),
        Column("birthday", Type.DATE, nullable=True),
        Column("languages", Type.TEXTS, default=()),
        Column("created_at", Type.TIME),
        Column("updated_at", Type.TIME),
    ),
    indexes=(
        Index(("email",), unique=True),
        Index(("name", "id")),
        Index(("created_at", "id")),
        Index(("updated_at", "id")),
    ),
)
