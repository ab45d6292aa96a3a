"""Degraded predictions, and the latencies of failures, apart."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("serving_slice") as table:
        table.add_column(sa.Column("n_degraded", sa.Integer(), nullable=True))
        table.add_column(sa.Column("failed_latency_counts", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("serving_slice") as table:
        table.drop_column("failed_latency_counts")
        table.drop_column("n_degraded")
