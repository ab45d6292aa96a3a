"""A number for each model, stream and version, in place of their texts in each summary."""

import sqlalchemy as sa
from alembic import op

from db.base import BigId

revision = "0150"
down_revision = "0160"
branch_labels = None
depends_on = None

WAITS = sa.text("publication IS NOT NULL")
LEVEL = sa.Enum("slice", "grain", "hour", "day", name="level", native_enum=False, length=32)


def upgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if not is_sqlite:
        # At once, and not step by step: transactions that wait for one step would hold up the
        # next one. Rows that are sent meanwhile wait.
        op.execute("LOCK TABLE model IN ACCESS EXCLUSIVE MODE")
    op.create_table(
        "summary_series",
        sa.Column("id", BigId, nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("stream", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_summary_series_model_id_model")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_summary_series")),
        sa.UniqueConstraint(
            "model_id",
            "stream",
            "version",
            name=op.f("uq_summary_series_model_id_stream_version"),
        ),
    )
    op.execute(
        "INSERT INTO summary_series (model_id, stream, version) "
        "SELECT DISTINCT model_id, stream, version FROM summary "
        "ORDER BY model_id, stream, version"
    )
    # Names of constraints and indexes are taken as long as the table is there.
    op.execute("CREATE TABLE summary_before AS SELECT * FROM summary")
    op.drop_table("summary")
    op.create_table(
        "summary",
        sa.Column("series_id", BigId, nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("level", LEVEL, nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("publication", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["series_id"],
            ["summary_series.id"],
            name=op.f("fk_summary_series_id_summary_series"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("series_id", "start", name=op.f("pk_summary")),
    )
    seconds = "strftime('%s', start)" if is_sqlite else "EXTRACT(EPOCH FROM start)"
    columns = f"summary_series.id, CAST({seconds} AS BIGINT) * 1000000, level, payload"
    op.execute(
        "INSERT INTO summary (series_id, start, level, payload, publication) "  # noqa: S608
        f"SELECT {columns}, publication "
        "FROM summary_before JOIN summary_series USING (model_id, stream, version) "
        "ORDER BY summary_series.id, start"
    )
    op.drop_table("summary_before")
    op.create_index(
        "ix_summary_publication",
        "summary",
        ["publication"],
        unique=False,
        sqlite_where=WAITS,
        postgresql_where=WAITS,
    )
