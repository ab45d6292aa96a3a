"""Channels of any kind: kind and configuration, where URL and secret of a webhook were."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

CHANNEL = sa.table(
    "channel",
    sa.column("id", sa.Uuid()),
    sa.column("kind", sa.String()),
    sa.column("config", sa.JSON()),
    sa.column("url", sa.String()),
    sa.column("secret", sa.String()),
)


def upgrade() -> None:
    with op.batch_alter_table("channel") as table:
        table.add_column(sa.Column("kind", sa.String(), nullable=True))
        table.add_column(sa.Column("config", sa.JSON(), nullable=True))
    rows = op.get_bind().execute(sa.select(CHANNEL.c.id, CHANNEL.c.url, CHANNEL.c.secret)).all()
    for id_, url, secret in rows:
        config = {"url": url, "secret": secret}
        op.execute(
            CHANNEL.update().where(CHANNEL.c.id == id_).values(kind="webhook", config=config)
        )
    with op.batch_alter_table("channel") as table:
        table.alter_column("kind", nullable=False, existing_type=sa.String())
        table.alter_column("config", nullable=False, existing_type=sa.JSON())
        table.drop_column("url")
        table.drop_column("secret")


def downgrade() -> None:
    """A channel of another kind than webhook is kept, disabled and without an address."""
    with op.batch_alter_table("channel") as table:
        table.add_column(sa.Column("url", sa.String(), nullable=True))
        table.add_column(sa.Column("secret", sa.String(), nullable=True))
    rows = (
        op.get_bind().execute(sa.select(CHANNEL.c.id, CHANNEL.c.kind, CHANNEL.c.config)).all()
    )
    for id_, kind, config in rows:
        known = config if kind == "webhook" else {}
        old = {"url": known.get("url", ""), "secret": known.get("secret", "")}
        op.execute(CHANNEL.update().where(CHANNEL.c.id == id_).values(**old))
    op.execute("UPDATE channel SET enabled = false WHERE kind <> 'webhook'")
    with op.batch_alter_table("channel") as table:
        table.alter_column("url", nullable=False, existing_type=sa.String())
        table.alter_column("secret", nullable=False, existing_type=sa.String())
        table.drop_column("kind")
        table.drop_column("config")
