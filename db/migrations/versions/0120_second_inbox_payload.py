"""A second table of payloads, and neither is compressed again: payloads are already."""

import sqlalchemy as sa
from alembic import op

revision = "0120"
down_revision = "0110"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "inbox_payload_second",
        sa.Column(
            "entry_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["entry_id"],
            ["inbox.id"],
            name=op.f("fk_inbox_payload_second_entry_id_inbox"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_inbox_payload_second")),
    )
    op.add_column(
        "inbox",
        sa.Column("in_second", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    if op.get_bind().dialect.name == "postgresql":
        for table in ("inbox_payload", "inbox_payload_second"):
            op.execute(f"ALTER TABLE {table} ALTER COLUMN content SET STORAGE EXTERNAL")
