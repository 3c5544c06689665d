"""Where users come from."""

from __future__ import annotations

from gateway.stores.base import Collection, Column, Index, Type

users = Collection(
    name="users",
    store="users",
    managed=True,
    label="UserRecord",
    columns=(
        Column("id", refers="User", description="The user's id."),
        Column("name", description="The full name."),
        Column("email", description="The e-mail address."),
        Column("active", Type.BOOL, default=True, description="Whether the account is in use."),
        Column("gender", nullable=True, description="As the user states it."),
        Column("birthday", Type.DATE, nullable=True, description="The date of birth."),
        Column("languages", Type.TEXTS, default=(), description="Languages spoken, as language tags."),
        Column("created_at", Type.TIME, description="When the user joined."),
        Column("updated_at", Type.TIME, description="When the user was last changed."),
    ),
    indexes=(
        Index(("email",), unique=True),
        Index(("name", "id")),
        Index(("created_at", "id")),
        Index(("updated_at", "id")),
    ),
)
