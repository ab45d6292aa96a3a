"""Segments: what is kept of each, beside the totals, in tables of their own."""

import sqlalchemy as sa
from alembic import op

from db.types import UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "segment",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_segment_model_id_model")
        ),
        sa.PrimaryKeyConstraint("model_id", "place", name=op.f("pk_segment")),
    )
    op.create_table(
        "segment_chunk",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("start", UtcDateTime(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_segment_chunk_model_id_model")
        ),
        sa.PrimaryKeyConstraint("model_id", "start", "version", name=op.f("pk_segment_chunk")),
    )
    op.create_table(
        "segment_output_chunk",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("start", UtcDateTime(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_segment_output_chunk_model_id_model")
        ),
        sa.PrimaryKeyConstraint(
            "model_id", "start", "version", name=op.f("pk_segment_output_chunk")
        ),
    )
    op.create_table(
        "segment_accuracy",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_segment_accuracy_model_id_model")
        ),
        sa.PrimaryKeyConstraint("model_id", "day", "version", name=op.f("pk_segment_accuracy")),
    )


def downgrade() -> None:
    op.drop_table("segment_accuracy")
    op.drop_table("segment_output_chunk")
    op.drop_table("segment_chunk")
    op.drop_table("segment")
