"""Corrections of SLOs, and hours whose counts changed late."""

import sqlalchemy as sa
from alembic import op

from db.types import UtcDateTime

revision = "0170"
down_revision = "0180"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        # Foreign keys lock it against writers; a later change of it, in the same transaction,
        # would wait for those that wait for this one.
        op.execute("LOCK TABLE model IN ACCESS EXCLUSIVE MODE")
    op.create_table(
        "slo_correction",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("monitor_id", sa.Uuid(), nullable=False),
        sa.Column("start", UtcDateTime(), nullable=False),
        sa.Column("end", UtcDateTime(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_slo_correction_model_id_model")
        ),
        sa.ForeignKeyConstraint(
            ["monitor_id"],
            ["monitor.id"],
            name=op.f("fk_slo_correction_monitor_id_monitor"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_slo_correction")),
    )
    op.create_index(
        "ix_slo_correction_monitor_id_start", "slo_correction", ["monitor_id", "start"]
    )
    op.create_table(
        "late_hour",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("start", UtcDateTime(), nullable=False),
        sa.Column("rev", sa.Integer(), nullable=False),
        sa.Column("changed_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_late_hour_model_id_model")
        ),
        sa.PrimaryKeyConstraint("model_id", "start", name=op.f("pk_late_hour")),
    )
    op.create_index("ix_late_hour_changed_at", "late_hour", ["changed_at"])
