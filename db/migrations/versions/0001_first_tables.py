"""The first tables."""

import sqlalchemy as sa
from alembic import op

from db.types import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:

    op.create_table(
        "audit_event",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_event")),
    )
    with op.batch_alter_table("audit_event", schema=None) as batch_op:
        batch_op.create_index("ix_audit_event_recorded_at", ["recorded_at"], unique=False)

    op.create_table(
        "channel",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("secret", sa.String(), nullable=False),
        sa.Column("severities", sa.JSON(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_channel")),
        sa.UniqueConstraint("name", name=op.f("uq_channel_name")),
    )
    op.create_table(
        "model",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("runbook_url", sa.String(), nullable=False),
        sa.Column("routing_epoch", sa.Integer(), nullable=False),
        sa.Column("contract", sa.JSON(), nullable=False),
        sa.Column("policy", sa.JSON(), nullable=False),
        sa.Column("watermark", UtcDateTime(), nullable=True),
        sa.Column("judged_until", UtcDateTime(), nullable=True),
        sa.Column("last_received_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model")),
        sa.UniqueConstraint("name", name=op.f("uq_model_name")),
    )
    op.create_table(
        "run",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("slot", UtcDateTime(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "todo",
                "running",
                "done",
                "dead",
                name="runstatus",
                native_enum=False,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("not_before", UtcDateTime(), nullable=False),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
        sa.UniqueConstraint("job", "subject", "slot", name=op.f("uq_run_job_subject_slot")),
    )
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.create_index("ix_run_finished_at", ["finished_at"], unique=False)
        batch_op.create_index(
            "ix_run_open",
            ["not_before"],
            unique=False,
            sqlite_where=sa.text("finished_at IS NULL"),
            postgresql_where=sa.text("finished_at IS NULL"),
        )

    op.create_table(
        "accuracy_chunk",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("shadow", sa.Boolean(), nullable=False),
        sa.Column("n_predictions", sa.Integer(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_accuracy_chunk_model_id_model")
        ),
        sa.PrimaryKeyConstraint(
            "model_id", "day", "version", "shadow", name=op.f("pk_accuracy_chunk")
        ),
    )
    op.create_table(
        "api_key",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_api_key_model_id_model")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_key_digest")),
        sa.UniqueConstraint("name", name=op.f("uq_api_key_name")),
    )
    op.create_table(
        "delivery",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("channel_id", sa.Uuid(), nullable=False),
        sa.Column("cause_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("not_before", UtcDateTime(), nullable=False),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.Column("delivered", sa.Boolean(), nullable=False),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["channel_id"], ["channel.id"], name=op.f("fk_delivery_channel_id_channel")
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_delivery")),
        sa.UniqueConstraint(
            "channel_id", "cause_id", name=op.f("uq_delivery_channel_id_cause_id")
        ),
        sa.UniqueConstraint("id", name=op.f("uq_delivery_id")),
    )
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.create_index(
            "ix_delivery_open",
            ["not_before"],
            unique=False,
            sqlite_where=sa.text("finished_at IS NULL"),
            postgresql_where=sa.text("finished_at IS NULL"),
        )

    op.create_table(
        "dirty_day",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("rev", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_dirty_day_model_id_model")
        ),
        sa.PrimaryKeyConstraint("model_id", "day", name=op.f("pk_dirty_day")),
    )
    op.create_table(
        "edges",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("frozen_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_edges_model_id_model")
        ),
        sa.PrimaryKeyConstraint("model_id", name=op.f("pk_edges")),
    )
    op.create_table(
        "inbox",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum("predictions", "labels", name="kind", native_enum=False, length=32),
            nullable=False,
        ),
        sa.Column("n_rows", sa.Integer(), nullable=False),
        sa.Column("n_bytes", sa.Integer(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.Column("group_no", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_inbox_model_id_model")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbox")),
    )
    with op.batch_alter_table("inbox", schema=None) as batch_op:
        batch_op.create_index(
            "ix_inbox_model_id_kind_group_no", ["model_id", "kind", "group_no"], unique=False
        )

    op.create_table(
        "monitor",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_monitor_model_id_model")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_monitor")),
        sa.UniqueConstraint("model_id", "name", name=op.f("uq_monitor_model_id_name")),
    )
    op.create_table(
        "quarantine",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum("predictions", "labels", name="kind", native_enum=False, length=32),
            nullable=False,
        ),
        sa.Column("batch_id", sa.String(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("field", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_quarantine_model_id_model")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine")),
    )
    with op.batch_alter_table("quarantine", schema=None) as batch_op:
        batch_op.create_index(
            "ix_quarantine_model_id_received_at", ["model_id", "received_at"], unique=False
        )

    op.create_table(
        "receipt",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum("predictions", "labels", name="kind", native_enum=False, length=32),
            nullable=False,
        ),
        sa.Column("batch_id", sa.String(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("n_accepted", sa.Integer(), nullable=False),
        sa.Column("n_quarantined", sa.Integer(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_receipt_model_id_model")
        ),
        sa.PrimaryKeyConstraint("model_id", "kind", "batch_id", name=op.f("pk_receipt")),
    )
    with op.batch_alter_table("receipt", schema=None) as batch_op:
        batch_op.create_index("ix_receipt_received_at", ["received_at"], unique=False)

    op.create_table(
        "serving_slice",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("start", UtcDateTime(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("n_failed", sa.Integer(), nullable=False),
        sa.Column("latency_counts", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_serving_slice_model_id_model")
        ),
        sa.PrimaryKeyConstraint("model_id", "start", "version", name=op.f("pk_serving_slice")),
    )
    op.create_table(
        "stream",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum("predictions", "labels", name="kind", native_enum=False, length=32),
            nullable=False,
        ),
        sa.Column("folded", sa.Integer(), nullable=False),
        sa.Column("archived", sa.Integer(), nullable=False),
        sa.Column(
            "n_rows_archived",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_stream_model_id_model")
        ),
        sa.PrimaryKeyConstraint("model_id", "kind", name=op.f("pk_stream")),
    )
    op.create_table(
        "summary_chunk",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("start", UtcDateTime(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_summary_chunk_model_id_model")
        ),
        sa.PrimaryKeyConstraint("model_id", "start", "version", name=op.f("pk_summary_chunk")),
    )
    op.create_table(
        "version",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("contract", sa.JSON(), nullable=False),
        sa.Column("contract_digest", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=True),
        sa.Column("n_bytes", sa.Integer(), nullable=True),
        sa.Column("manifest", sa.JSON(), nullable=False),
        sa.Column("reference_start", UtcDateTime(), nullable=True),
        sa.Column("reference_end", UtcDateTime(), nullable=True),
        sa.Column("objective", sa.Double(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_version_model_id_model")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_version")),
        sa.UniqueConstraint("model_id", "name", name=op.f("uq_version_model_id_name")),
    )
    op.create_table(
        "alert",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("monitor_id", sa.Uuid(), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column(
            "phase",
            sa.Enum("quiet", "pending", "firing", name="phase", native_enum=False, length=32),
            nullable=False,
        ),
        sa.Column("streak", sa.Integer(), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=True),
        sa.Column("version", sa.String(), nullable=True),
        sa.Column("cause", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_alert_model_id_model")
        ),
        sa.ForeignKeyConstraint(
            ["monitor_id"], ["monitor.id"], name=op.f("fk_alert_monitor_id_monitor")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert")),
        sa.UniqueConstraint("monitor_id", name=op.f("uq_alert_monitor_id")),
    )
    op.create_table(
        "champion",
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("version_id", sa.Uuid(), nullable=False),
        sa.Column("rev", sa.Integer(), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_champion_model_id_model")
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["version.id"], name=op.f("fk_champion_version_id_version")
        ),
        sa.PrimaryKeyConstraint("model_id", name=op.f("pk_champion")),
    )
    op.create_table(
        "finding",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("monitor_id", sa.Uuid(), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.String(), nullable=True),
        sa.Column("window_start", UtcDateTime(), nullable=False),
        sa.Column("window_end", UtcDateTime(), nullable=False),
        sa.Column("as_of", UtcDateTime(), nullable=False),
        sa.Column(
            "outcome",
            sa.Enum(
                "ok", "breach", "no_data", "error", name="outcome", native_enum=False, length=32
            ),
            nullable=False,
        ),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("threshold", sa.Double(), nullable=True),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_finding_model_id_model")
        ),
        sa.ForeignKeyConstraint(
            ["monitor_id"], ["monitor.id"], name=op.f("fk_finding_monitor_id_monitor")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_finding")),
        sa.UniqueConstraint("monitor_id", "as_of", name=op.f("uq_finding_monitor_id_as_of")),
    )
    with op.batch_alter_table("finding", schema=None) as batch_op:
        batch_op.create_index(
            "ix_finding_model_id_window_end", ["model_id", "window_end"], unique=False
        )

    op.create_table(
        "web_session",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("api_key_id", sa.Uuid(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["api_key_id"], ["api_key.id"], name=op.f("fk_web_session_api_key_id_api_key")
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_web_session")),
    )
    op.create_table(
        "flip",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("alert_id", sa.Uuid(), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("finding_id", sa.Uuid(), nullable=True),
        sa.Column(
            "flip",
            sa.Enum("fired", "resolved", name="flip", native_enum=False, length=32),
            nullable=False,
        ),
        sa.Column(
            "reason",
            sa.Enum(
                "breached",
                "recovered",
                "version_retired",
                name="reason",
                native_enum=False,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("inhibited", sa.Boolean(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["alert_id"], ["alert.id"], name=op.f("fk_flip_alert_id_alert")
        ),
        sa.ForeignKeyConstraint(
            ["finding_id"], ["finding.id"], name=op.f("fk_flip_finding_id_finding")
        ),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_flip_model_id_model")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flip")),
    )
    with op.batch_alter_table("flip", schema=None) as batch_op:
        batch_op.create_index("ix_flip_model_id_at", ["model_id", "at"], unique=False)

    op.create_table(
        "rollout",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("idempotency_key", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("flip_id", sa.Uuid(), nullable=True),
        sa.Column(
            "phase",
            sa.Enum(
                "requested",
                "training",
                "gating",
                "canary",
                "paused",
                "promoted",
                "rejected",
                "rolled_back",
                "failed",
                name="phase",
                native_enum=False,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("rev", sa.Integer(), nullable=False),
        sa.Column("base_id", sa.Uuid(), nullable=True),
        sa.Column("champion_rev", sa.Integer(), nullable=False),
        sa.Column("challenger_id", sa.Uuid(), nullable=True),
        sa.Column("onset", UtcDateTime(), nullable=True),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.Column("not_before", UtcDateTime(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("step_since", UtcDateTime(), nullable=True),
        sa.Column("gate", sa.JSON(), nullable=False),
        sa.Column("verdict", sa.JSON(), nullable=False),
        sa.Column("progress", sa.JSON(), nullable=False),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["base_id"], ["version.id"], name=op.f("fk_rollout_base_id_version")
        ),
        sa.ForeignKeyConstraint(
            ["challenger_id"], ["version.id"], name=op.f("fk_rollout_challenger_id_version")
        ),
        sa.ForeignKeyConstraint(["flip_id"], ["flip.id"], name=op.f("fk_rollout_flip_id_flip")),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_rollout_model_id_model")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollout")),
        sa.UniqueConstraint(
            "model_id", "idempotency_key", name=op.f("uq_rollout_model_id_idempotency_key")
        ),
    )
    with op.batch_alter_table("rollout", schema=None) as batch_op:
        batch_op.create_index(
            "uq_rollout_one_open_per_model",
            ["model_id"],
            unique=True,
            sqlite_where=sa.text(
                "phase NOT IN ('promoted', 'rejected', 'rolled_back', 'failed')"
            ),
            postgresql_where=sa.text(
                "phase NOT IN ('promoted', 'rejected', 'rolled_back', 'failed')"
            ),
        )

    op.create_table(
        "rollout_event",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("rollout_id", sa.Uuid(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column(
            "phase",
            sa.Enum(
                "requested",
                "training",
                "gating",
                "canary",
                "paused",
                "promoted",
                "rejected",
                "rolled_back",
                "failed",
                name="phase",
                native_enum=False,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["rollout_id"], ["rollout.id"], name=op.f("fk_rollout_event_rollout_id_rollout")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollout_event")),
    )
    with op.batch_alter_table("rollout_event", schema=None) as batch_op:
        batch_op.create_index(
            "ix_rollout_event_rollout_id_recorded_at",
            ["rollout_id", "recorded_at"],
            unique=False,
        )

    op.create_table(
        "session_score",
        sa.Column("rollout_id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("served_by", sa.String(), nullable=False),
        sa.Column("n_expected", sa.Integer(), nullable=False),
        sa.Column("n_labelled", sa.Integer(), nullable=False),
        sa.Column("n_failed", sa.Integer(), nullable=False),
        sa.Column("loss_champion", sa.Double(), nullable=True),
        sa.Column("loss_challenger", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["rollout_id"], ["rollout.id"], name=op.f("fk_session_score_rollout_id_rollout")
        ),
        sa.PrimaryKeyConstraint("rollout_id", "session_id", name=op.f("pk_session_score")),
    )


def downgrade() -> None:

    op.drop_table("session_score")
    with op.batch_alter_table("rollout_event", schema=None) as batch_op:
        batch_op.drop_index("ix_rollout_event_rollout_id_recorded_at")

    op.drop_table("rollout_event")
    with op.batch_alter_table("rollout", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_rollout_one_open_per_model",
            sqlite_where=sa.text(
                "phase NOT IN ('promoted', 'rejected', 'rolled_back', 'failed')"
            ),
            postgresql_where=sa.text(
                "phase NOT IN ('promoted', 'rejected', 'rolled_back', 'failed')"
            ),
        )

    op.drop_table("rollout")
    with op.batch_alter_table("flip", schema=None) as batch_op:
        batch_op.drop_index("ix_flip_model_id_at")

    op.drop_table("flip")
    op.drop_table("web_session")
    with op.batch_alter_table("finding", schema=None) as batch_op:
        batch_op.drop_index("ix_finding_model_id_window_end")

    op.drop_table("finding")
    op.drop_table("champion")
    op.drop_table("alert")
    op.drop_table("version")
    op.drop_table("summary_chunk")
    op.drop_table("stream")
    op.drop_table("serving_slice")
    with op.batch_alter_table("receipt", schema=None) as batch_op:
        batch_op.drop_index("ix_receipt_received_at")

    op.drop_table("receipt")
    with op.batch_alter_table("quarantine", schema=None) as batch_op:
        batch_op.drop_index("ix_quarantine_model_id_received_at")

    op.drop_table("quarantine")
    op.drop_table("monitor")
    with op.batch_alter_table("inbox", schema=None) as batch_op:
        batch_op.drop_index("ix_inbox_model_id_kind_group_no")

    op.drop_table("inbox")
    op.drop_table("edges")
    op.drop_table("dirty_day")
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_delivery_open",
            sqlite_where=sa.text("finished_at IS NULL"),
            postgresql_where=sa.text("finished_at IS NULL"),
        )

    op.drop_table("delivery")
    op.drop_table("api_key")
    op.drop_table("accuracy_chunk")
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_run_open",
            sqlite_where=sa.text("finished_at IS NULL"),
            postgresql_where=sa.text("finished_at IS NULL"),
        )
        batch_op.drop_index("ix_run_finished_at")

    op.drop_table("run")
    op.drop_table("model")
    op.drop_table("channel")
    with op.batch_alter_table("audit_event", schema=None) as batch_op:
        batch_op.drop_index("ix_audit_event_recorded_at")

    op.drop_table("audit_event")
