"""When an alert was notified, and what inhibits it."""

import sqlalchemy as sa
from alembic import op

from db.types import UtcDateTime

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("flip") as table:
        table.add_column(sa.Column("notified_at", UtcDateTime(), nullable=True))
    with op.batch_alter_table("alert") as table:
        table.add_column(sa.Column("inhibited_by", sa.String(), nullable=True))
    op.execute("UPDATE flip SET notified_at = recorded_at WHERE NOT inhibited")


def downgrade() -> None:
    with op.batch_alter_table("alert") as table:
        table.drop_column("inhibited_by")
    with op.batch_alter_table("flip") as table:
        table.drop_column("notified_at")
