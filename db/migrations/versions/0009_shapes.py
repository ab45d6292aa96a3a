"""What rows are like inside, beside the summaries of their values."""

import sqlalchemy as sa
from alembic import op

from db.types import UtcDateTime

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "shape_layout",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("frozen_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_shape_layout_model_id_model")
        ),
        sa.PrimaryKeyConstraint("model_id", name=op.f("pk_shape_layout")),
    )
    op.create_table(
        "shape_chunk",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("start", UtcDateTime(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_shape_chunk_model_id_model")
        ),
        sa.PrimaryKeyConstraint("model_id", "start", "version", name=op.f("pk_shape_chunk")),
    )


def downgrade() -> None:
    op.drop_table("shape_chunk")
    op.drop_table("shape_layout")
