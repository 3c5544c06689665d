"""create members"""

import sqlalchemy as sa
from alembic import op

from gateway.stores.sql.tables import BOOL, TEXT

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "members",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("known", BOOL, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_members"),
    )


def downgrade() -> None:
    op.drop_table("members")
