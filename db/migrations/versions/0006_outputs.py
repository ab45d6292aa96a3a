"""Summaries of what a model said, beside those of its input."""

import sqlalchemy as sa
from alembic import op

from db.types import UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "output_edges",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("frozen_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_output_edges_model_id_model")
        ),
        sa.PrimaryKeyConstraint("model_id", name=op.f("pk_output_edges")),
    )
    op.create_table(
        "output_chunk",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("start", UtcDateTime(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_output_chunk_model_id_model")
        ),
        sa.PrimaryKeyConstraint("model_id", "start", "version", name=op.f("pk_output_chunk")),
    )


def downgrade() -> None:
    op.drop_table("output_chunk")
    op.drop_table("output_edges")
