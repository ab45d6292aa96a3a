"""What an entry of the inbox holds lies apart from it: in its own table, or in a file."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.orm import Session

from db import payload_files
from db.base import BigId

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "inbox_payload",
        sa.Column("entry_id", BigId, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["entry_id"],
            ["inbox.id"],
            name=op.f("fk_inbox_payload_entry_id_inbox"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_inbox_payload")),
    )
    op.execute(
        "INSERT INTO inbox_payload (entry_id, content)"
        " SELECT id, payload FROM inbox ORDER BY id"
    )
    op.drop_column("inbox", "payload")
    op.add_column("inbox", sa.Column("file", sa.String(), nullable=True))


def downgrade() -> None:
    op.add_column(
        "inbox", sa.Column("payload", sa.LargeBinary(), nullable=False, server_default="")
    )
    op.execute(
        "UPDATE inbox SET payload = inbox_payload.content FROM inbox_payload"
        " WHERE inbox_payload.entry_id = inbox.id"
    )
    inbox = sa.table("inbox", sa.column("id"), sa.column("file"), sa.column("payload"))
    session = Session(op.get_bind())
    files = sa.select(inbox.c.id, inbox.c.file).where(inbox.c.file.is_not(None))
    for entry, name in session.execute(files).all():
        content = payload_files.read(session, name)
        session.execute(sa.update(inbox).where(inbox.c.id == entry).values(payload=content))
    op.drop_column("inbox", "file")
    op.drop_table("inbox_payload")
