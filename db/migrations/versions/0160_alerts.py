"""An alert of each severity."""

import sqlalchemy as sa
from alembic import op

revision = "0160"
down_revision = "0130"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("alert", schema=None) as batch_op:
        # Servers of the schema before add alerts meanwhile, without it.
        batch_op.add_column(
            sa.Column("severity", sa.String(), nullable=False, server_default="ticket")
        )
        batch_op.drop_constraint(op.f("uq_alert_monitor_id"), type_="unique")
        batch_op.create_unique_constraint(
            op.f("uq_alert_monitor_id_severity"), ["monitor_id", "severity"]
        )
    op.execute(
        "UPDATE alert SET severity = "
        "(SELECT monitor.severity FROM monitor WHERE monitor.id = alert.monitor_id)"
    )
