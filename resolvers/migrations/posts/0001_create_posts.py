"""create posts"""

import sqlalchemy as sa
from alembic import op

from gateway.stores.sql.tables import BOOL, TEXT, TEXTS, TIME

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "posts",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("author_id", TEXT, nullable=False),
        sa.Column("title", TEXT, nullable=False),
        sa.Column("content", TEXT, nullable=False),
        sa.Column("image", TEXT, nullable=True),
        sa.Column("language", TEXT, nullable=True),
        sa.Column("forum", TEXT, nullable=True),
        sa.Column("tags", TEXTS, nullable=False),
        sa.Column("published", BOOL, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_posts"),
    )
    op.create_index("ix_posts_author_id_id", "posts", ["author_id", "id"])
    op.create_index("ix_posts_author_id_created_at_id", "posts", ["author_id", "created_at", "id"])
    op.create_index("ix_posts_created_at_id", "posts", ["created_at", "id"])
    op.create_index("ix_posts_updated_at_id", "posts", ["updated_at", "id"])


def downgrade() -> None:
    op.drop_table("posts")
