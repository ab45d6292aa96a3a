"""Index of the open deliveries of one subject."""

import sqlalchemy as sa
from alembic import op

revision = "0190"
down_revision = "0130"
branch_labels = None
depends_on = None

OPEN = sa.text("finished_at IS NULL")


def upgrade() -> None:
    op.create_index(
        "ix_delivery_subject",
        "delivery",
        ["channel_id", "subject", "seq"],
        unique=False,
        sqlite_where=OPEN,
        postgresql_where=OPEN,
    )
