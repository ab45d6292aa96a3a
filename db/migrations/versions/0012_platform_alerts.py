"""Alerts on faults of the platform itself."""

import sqlalchemy as sa
from alembic import op

from db.types import UtcDateTime

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "platform_alert",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "stream_set_aside",
                "evaluation_failed",
                "job_failing",
                name="platformfault",
                native_enum=False,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=True),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.Column("resolved_at", UtcDateTime(), nullable=True),
        sa.Column("resolution_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_platform_alert_model_id_model")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_platform_alert")),
    )
    with op.batch_alter_table("platform_alert") as table:
        table.create_index(
            "ix_platform_alert_open",
            ["kind", "subject"],
            unique=True,
            sqlite_where=sa.text("resolved_at IS NULL"),
            postgresql_where=sa.text("resolved_at IS NULL"),
        )


def downgrade() -> None:
    op.drop_table("platform_alert")
