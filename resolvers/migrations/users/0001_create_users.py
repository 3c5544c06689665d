"""create users"""

import sqlalchemy as sa
from alembic import op

from gateway.stores.sql.tables import BOOL, DATE, TEXT, TEXTS, TIME

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("email", TEXT, nullable=False),
        sa.Column("active", BOOL, nullable=False),
        sa.Column("gender", TEXT, nullable=True),
        sa.Column("birthday", DATE, nullable=True),
        sa.Column("languages", TEXTS, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
    )
    op.create_index("uq_users_email", "users", ["email"], unique=True)
    op.create_index("ix_users_name_id", "users", ["name", "id"])
    op.create_index("ix_users_created_at_id", "users", ["created_at", "id"])
    op.create_index("ix_users_updated_at_id", "users", ["updated_at", "id"])


def downgrade() -> None:
    op.drop_table("users")
