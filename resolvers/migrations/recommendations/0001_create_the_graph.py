"""create the graph"""

import sqlalchemy as sa
from alembic import op

from gateway.stores.sql.tables import TEXT, TIME

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "follows",
        sa.Column("follower_id", TEXT, nullable=False),
        sa.Column("followee_id", TEXT, nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.PrimaryKeyConstraint("follower_id", "followee_id", name="pk_follows"),
    )
    op.create_index("ix_follows_followee_id_follower_id", "follows", ["followee_id", "follower_id"])
    op.create_table(
        "likes",
        sa.Column("user_id", TEXT, nullable=False),
        sa.Column("post_id", TEXT, nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "post_id", name="pk_likes"),
    )
    op.create_index("ix_likes_post_id_user_id", "likes", ["post_id", "user_id"])
    op.create_table(
        "wrote",
        sa.Column("author_id", TEXT, nullable=False),
        sa.Column("post_id", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("post_id", "author_id", name="pk_wrote"),
    )
    op.create_index("ix_wrote_author_id_post_id", "wrote", ["author_id", "post_id"])


def downgrade() -> None:
    op.drop_table("wrote")
    op.drop_table("likes")
    op.drop_table("follows")
