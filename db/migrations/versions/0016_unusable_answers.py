"""Answers that nobody can use, by version and session, and failures of shadows."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "unusable_answer",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("session_id", sa.String(), nullable=False),
        sa.Column("shadow", sa.Boolean(), nullable=False),
        sa.Column("n", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_unusable_answer_model_id_model")
        ),
        sa.PrimaryKeyConstraint(
            "model_id",
            "day",
            "version",
            "session_id",
            "shadow",
            name=op.f("pk_unusable_answer"),
        ),
    )
    with op.batch_alter_table("session_score") as table:
        table.add_column(sa.Column("n_failed_shadow", sa.Integer(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("session_score") as table:
        table.drop_column("n_failed_shadow")
    op.drop_table("unusable_answer")
