"""Findings that are revised, and what late and repeated rows leave behind."""

import sqlalchemy as sa
from alembic import op

from db.types import UtcDateTime

revision = "0005"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("finding", schema=None) as batch_op:
        batch_op.add_column(sa.Column("rev", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("revised_at", UtcDateTime(), nullable=True))
        batch_op.add_column(sa.Column("first", sa.JSON(), nullable=True))
    with op.batch_alter_table("version", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("reference_rev", sa.Integer(), nullable=False, server_default="0")
        )
    with op.batch_alter_table("late_day", schema=None) as batch_op:
        batch_op.add_column(sa.Column("done_until", UtcDateTime(), nullable=True))
    op.create_table(
        "repeat_day",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_repeat_day_model_id_model")
        ),
        sa.PrimaryKeyConstraint("model_id", "day", name=op.f("pk_repeat_day")),
    )


def downgrade() -> None:
    op.drop_table("repeat_day")
    with op.batch_alter_table("late_day", schema=None) as batch_op:
        batch_op.drop_column("done_until")
    with op.batch_alter_table("version", schema=None) as batch_op:
        batch_op.drop_column("reference_rev")
    with op.batch_alter_table("finding", schema=None) as batch_op:
        batch_op.drop_column("first")
        batch_op.drop_column("revised_at")
        batch_op.drop_column("rev")
