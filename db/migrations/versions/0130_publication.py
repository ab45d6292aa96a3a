"""Rows that wait to be published in the open tables."""

import sqlalchemy as sa
from alembic import op

from db.types import UtcDateTime

revision = "0130"
down_revision = "0120"
branch_labels = None
depends_on = None

WAITS = sa.text("publication IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "publication",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("batch", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("taken_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_publication")),
    )
    # Findings and flips of before wait; so do errors. Hours that were served do not: they
    # are many.
    op.add_column("finding", sa.Column("publication", sa.Integer(), server_default="0"))
    op.add_column("flip", sa.Column("publication", sa.Integer(), server_default="0"))
    op.add_column("summary", sa.Column("publication", sa.Integer(), nullable=True))
    op.execute("UPDATE summary SET publication = 0 WHERE stream IN ('errors', 'shadow_errors')")
    for table in ("finding", "flip", "summary"):
        op.create_index(
            f"ix_{table}_publication",
            table,
            ["publication"],
            unique=False,
            sqlite_where=WAITS,
            postgresql_where=WAITS,
        )
