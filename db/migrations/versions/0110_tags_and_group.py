"""Tags and the group of a model."""

import sqlalchemy as sa
from alembic import op

from db.types import Words

revision = "0110"
down_revision = "0100"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("model", schema=None) as batch_op:
        # Servers of the schema before add models meanwhile, without these.
        batch_op.add_column(sa.Column("group", sa.String(), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("tags", Words(), nullable=False, server_default=""))
