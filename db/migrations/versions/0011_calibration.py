"""Probabilities by what was claimed and what happened, beside the errors of a day."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("accuracy_chunk") as table:
        table.add_column(sa.Column("calibration", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("accuracy_chunk") as table:
        table.drop_column("calibration")
