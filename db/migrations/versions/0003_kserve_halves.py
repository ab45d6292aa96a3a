"""Events of KServe's logger that wait for their other half."""

import sqlalchemy as sa
from alembic import op

from db.types import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "kserve_half",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column(
            "part",
            sa.Enum("request", "response", name="part", native_enum=False, length=32),
            nullable=False,
        ),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_kserve_half_model_id_model")
        ),
        sa.PrimaryKeyConstraint("model_id", "event_id", "part", name=op.f("pk_kserve_half")),
    )
    with op.batch_alter_table("kserve_half", schema=None) as batch_op:
        batch_op.create_index("ix_kserve_half_received_at", ["received_at"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("kserve_half", schema=None) as batch_op:
        batch_op.drop_index("ix_kserve_half_received_at")
    op.drop_table("kserve_half")
