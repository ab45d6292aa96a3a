"""Errors with their sign, hour by hour, beside the sizes of errors of a day."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("accuracy_chunk") as table:
        table.add_column(sa.Column("residuals", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("accuracy_chunk") as table:
        table.drop_column("residuals")
