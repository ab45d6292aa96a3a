"""What ingestion keeps account of: limits, sensitive data, late rows, erasure."""

import sqlalchemy as sa
from alembic import op

from db.types import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    with op.batch_alter_table("api_key", schema=None) as batch_op:
        batch_op.add_column(sa.Column("limits", sa.JSON(), nullable=False, server_default="{}"))
    with op.batch_alter_table("model", schema=None) as batch_op:
        batch_op.add_column(sa.Column("mask_key", sa.LargeBinary(), nullable=True))
        batch_op.add_column(sa.Column("history_until", UtcDateTime(), nullable=True))

    op.create_table(
        "mismatch_day",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("n", _BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_mismatch_day_model_id_model")
        ),
        sa.PrimaryKeyConstraint("model_id", "day", "reason", name=op.f("pk_mismatch_day")),
    )
    op.create_table(
        "late_day",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("rev", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_late_day_model_id_model")
        ),
        sa.PrimaryKeyConstraint("model_id", "day", name=op.f("pk_late_day")),
    )
    op.create_table(
        "log_count",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("n", _BIG, nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_log_count_model_id_model")
        ),
        sa.PrimaryKeyConstraint("model_id", "name", name=op.f("pk_log_count")),
    )
    op.create_table(
        "erasure",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("field", sa.String(), nullable=False),
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.Column("asked_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.Column("n_inbox", sa.Integer(), nullable=False),
        sa.Column("n_lake", sa.Integer(), nullable=False),
        sa.Column("n_quarantined", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_erasure_model_id_model")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasure")),
    )
    with op.batch_alter_table("erasure", schema=None) as batch_op:
        batch_op.create_index(
            "ix_erasure_model_id_asked_at", ["model_id", "asked_at"], unique=False
        )


def downgrade() -> None:
    with op.batch_alter_table("erasure", schema=None) as batch_op:
        batch_op.drop_index("ix_erasure_model_id_asked_at")
    op.drop_table("erasure")
    op.drop_table("log_count")
    op.drop_table("late_day")
    op.drop_table("mismatch_day")
    with op.batch_alter_table("model", schema=None) as batch_op:
        batch_op.drop_column("history_until")
        batch_op.drop_column("mask_key")
    with op.batch_alter_table("api_key", schema=None) as batch_op:
        batch_op.drop_column("limits")
