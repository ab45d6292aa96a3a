"""Ids of the events that were received."""

import sqlalchemy as sa
from alembic import op

from db.types import UtcDateTime

revision = "0180"
down_revision = "0190"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "event_id",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_event_id_model_id_model")
        ),
        sa.PrimaryKeyConstraint("model_id", "event_id", name=op.f("pk_event_id")),
    )
    op.create_index("ix_event_id_received_at", "event_id", ["received_at"], unique=False)
