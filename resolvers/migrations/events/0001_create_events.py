"""create events"""

import sqlalchemy as sa
from alembic import op

from gateway.stores.sql.tables import JSON, TEXT, TIME

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("user_id", TEXT, nullable=False),
        sa.Column("post_id", TEXT, nullable=True),
        sa.Column("occurred_at", TIME, nullable=False),
        sa.Column("payload", JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
    )
    op.create_index("ix_events_user_id_id", "events", ["user_id", "id"])
    op.create_index("ix_events_user_id_occurred_at_id", "events", ["user_id", "occurred_at", "id"])
    op.create_index("ix_events_post_id_id", "events", ["post_id", "id"])
    op.create_index("ix_events_post_id_occurred_at_id", "events", ["post_id", "occurred_at", "id"])
    op.create_index("ix_events_type_id", "events", ["type", "id"])
    op.create_index("ix_events_occurred_at_id", "events", ["occurred_at", "id"])


def downgrade() -> None:
    op.drop_table("events")
