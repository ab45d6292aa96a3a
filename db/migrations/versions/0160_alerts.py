"""An alert of each severity, incidents, groups, routes, silences; owners of models."""

from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from alembic import op

from alerts.labels import fingerprint, group_key
from core.clock import utcnow
from db.types import UtcDateTime

revision = "0160"
down_revision = "0170"
branch_labels = None
depends_on = None

OPEN = sa.text("resolved_at IS NULL")
VERDICTS = ("real", "false_alarm", "expected_change")


def upgrade() -> None:
    # Servers of the schema before add rows meanwhile, without the new columns.
    if op.get_bind().dialect.name == "sqlite":
        _make_alert_anew()
    else:
        severity = sa.Column("severity", sa.String(), nullable=False, server_default="ticket")
        op.add_column("alert", severity)
        op.drop_constraint(op.f("uq_alert_monitor_id"), "alert", type_="unique")
        op.create_unique_constraint(
            op.f("uq_alert_monitor_id_severity"), "alert", ["monitor_id", "severity"]
        )
    op.execute(
        "UPDATE alert SET severity = "
        "(SELECT monitor.severity FROM monitor WHERE monitor.id = alert.monitor_id)"
    )
    for name in ("owner", "team", "tier"):
        op.add_column("model", sa.Column(name, sa.String(), server_default="", nullable=False))
    op.add_column("delivery", sa.Column("flip_id", sa.Uuid(), nullable=True))
    op.execute("UPDATE delivery SET flip_id = cause_id WHERE type LIKE 'alert.%'")
    _create_tables()
    _begin_incidents()


def _make_alert_anew() -> None:
    """Change the table as SQLite can; Alembic would write its constraints in any order."""
    phases = sa.Enum("quiet", "pending", "firing", name="phase", native_enum=False, length=32)
    op.create_table(
        "alert_with_severity",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("monitor_id", sa.Uuid(), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("phase", phases, nullable=False),
        sa.Column("streak", sa.Integer(), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=True),
        sa.Column("version", sa.String(), nullable=True),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("inhibited_by", sa.String(), nullable=True),
        sa.Column("n_alarms", sa.Integer(), nullable=False),
        sa.Column("n_evaluated", sa.Integer(), nullable=False),
        sa.Column("counted_until", UtcDateTime(), nullable=True),
        sa.Column("severity", sa.String(), nullable=False, server_default="ticket"),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_alert_model_id_model")
        ),
        sa.ForeignKeyConstraint(
            ["monitor_id"], ["monitor.id"], name=op.f("fk_alert_monitor_id_monitor")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert")),
        sa.UniqueConstraint(
            "monitor_id", "severity", name=op.f("uq_alert_monitor_id_severity")
        ),
    )
    columns = (
        "id, monitor_id, model_id, phase, streak, since, version, cause, inhibited_by, "
        "n_alarms, n_evaluated, counted_until"
    )
    op.execute(
        f"INSERT INTO alert_with_severity ({columns}) SELECT {columns} FROM alert"  # noqa: S608
    )
    op.drop_table("alert")
    op.rename_table("alert_with_severity", "alert")


def _create_tables() -> None:
    op.create_table(
        "alert_group",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("route", sa.String(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("flush_no", sa.Integer(), nullable=False),
        sa.Column("flushed_at", UtcDateTime(), nullable=True),
        sa.Column("next_flush_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_group")),
        sa.UniqueConstraint("key", name=op.f("uq_alert_group_key")),
    )
    op.create_index("ix_alert_group_next_flush_at", "alert_group", ["next_flush_at"])
    op.create_table(
        "route",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("definition", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_route")),
    )
    op.create_table(
        "silence",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("incident_id", sa.Uuid(), nullable=True),
        sa.Column("ends_at", UtcDateTime(), nullable=False),
        sa.Column("definition", sa.JSON(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_silence")),
        sa.UniqueConstraint("name", name=op.f("uq_silence_name")),
    )
    op.create_index("ix_silence_ends_at", "silence", ["ends_at"])
    op.create_table(
        "incident",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("alert_id", sa.Uuid(), nullable=False),
        sa.Column("model_id", sa.Uuid(), nullable=False),
        sa.Column("fired_id", sa.Uuid(), nullable=True),
        sa.Column("ended_id", sa.Uuid(), nullable=True),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=True),
        sa.Column("onset", UtcDateTime(), nullable=True),
        sa.Column("detected_at", UtcDateTime(), nullable=False),
        sa.Column("notified_at", UtcDateTime(), nullable=True),
        sa.Column("acknowledged_at", UtcDateTime(), nullable=True),
        sa.Column("acknowledged_by", sa.String(), nullable=True),
        sa.Column("acknowledgement", sa.String(), nullable=False),
        sa.Column("resolved_at", UtcDateTime(), nullable=True),
        sa.Column("inhibited_by", sa.String(), nullable=True),
        sa.Column(
            "verdict",
            sa.Enum(*VERDICTS, name="verdict", native_enum=False, length=32),
            nullable=True,
        ),
        sa.Column("verdict_at", UtcDateTime(), nullable=True),
        sa.Column("verdict_by", sa.String(), nullable=True),
        sa.Column("verdict_note", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["alert_id"], ["alert.id"], name=op.f("fk_incident_alert_id_alert")
        ),
        sa.ForeignKeyConstraint(
            ["ended_id"], ["flip.id"], name=op.f("fk_incident_ended_id_flip")
        ),
        sa.ForeignKeyConstraint(
            ["fired_id"], ["flip.id"], name=op.f("fk_incident_fired_id_flip")
        ),
        sa.ForeignKeyConstraint(
            ["model_id"], ["model.id"], name=op.f("fk_incident_model_id_model")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incident")),
    )
    op.create_index("ix_incident_model_id_detected_at", "incident", ["model_id", "detected_at"])
    op.create_index(
        "ix_incident_open",
        "incident",
        ["alert_id"],
        unique=True,
        sqlite_where=OPEN,
        postgresql_where=OPEN,
    )
    op.create_table(
        "group_member",
        sa.Column("group_id", sa.Uuid(), nullable=False),
        sa.Column("incident_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"], ["alert_group.id"], name=op.f("fk_group_member_group_id_alert_group")
        ),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incident.id"], name=op.f("fk_group_member_incident_id_incident")
        ),
        sa.PrimaryKeyConstraint("group_id", "incident_id", name=op.f("pk_group_member")),
    )
    op.create_index("ix_group_member_incident_id", "group_member", ["incident_id"])
    op.create_table(
        "notified_incident",
        sa.Column("channel_id", sa.Uuid(), nullable=False),
        sa.Column("incident_id", sa.Uuid(), nullable=False),
        sa.Column("group_id", sa.Uuid(), nullable=False),
        sa.Column("firing_at", UtcDateTime(), nullable=False),
        sa.Column("resolved_at", UtcDateTime(), nullable=True),
        sa.Column("last_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["channel_id"],
            ["channel.id"],
            name=op.f("fk_notified_incident_channel_id_channel"),
        ),
        sa.ForeignKeyConstraint(
            ["incident_id"],
            ["incident.id"],
            name=op.f("fk_notified_incident_incident_id_incident"),
        ),
        sa.PrimaryKeyConstraint("channel_id", "incident_id", name=op.f("pk_notified_incident")),
    )
    op.create_index("ix_notified_incident_incident_id", "notified_incident", ["incident_id"])


def _begin_incidents() -> None:
    """Begin the incident of each firing alert: who was notified of it is notified of its end.

    The first evaluation of each finds what inhibits it.
    """
    connection = op.get_bind()

    def table(called: str, /, **types: Any) -> Any:
        columns = [sa.column(column, kind) for column, kind in types.items()]
        return sa.table(called, *columns)

    uuid, text, time = sa.Uuid(), sa.String(), UtcDateTime()
    alert = table(
        "alert",
        id=uuid,
        monitor_id=uuid,
        model_id=uuid,
        severity=text,
        phase=text,
        since=time,
        version=text,
        inhibited_by=text,
    )
    monitor = table("monitor", id=uuid, name=text, kind=text)
    model = table("model", id=uuid, name=text)
    flip = table("flip", id=uuid, alert_id=uuid, flip=text, at=time, recorded_at=time)
    delivery = table("delivery", channel_id=uuid, cause_id=uuid, created_at=time)
    incident = table(
        "incident",
        id=uuid,
        alert_id=uuid,
        model_id=uuid,
        fired_id=uuid,
        severity=text,
        labels=sa.JSON(),
        fingerprint=text,
        version=text,
        onset=time,
        detected_at=time,
        notified_at=time,
        acknowledgement=text,
        inhibited_by=text,
        verdict_note=text,
    )
    group = table(
        "alert_group",
        id=uuid,
        key=text,
        route=text,
        labels=sa.JSON(),
        flush_no=sa.Integer(),
        next_flush_at=time,
    )
    member = table("group_member", group_id=uuid, incident_id=uuid)
    notified = table(
        "notified_incident",
        channel_id=uuid,
        incident_id=uuid,
        group_id=uuid,
        firing_at=time,
        last_at=time,
    )
    groups: dict[str, Any] = {}
    firing = connection.execute(
        sa.select(alert, monitor.c.name, monitor.c.kind, model.c.name)
        .join(monitor, monitor.c.id == alert.c.monitor_id)
        .join(model, model.c.id == alert.c.model_id)
        .where(alert.c.phase == "firing")
    ).all()
    for *state, monitor_name, kind, model_name in firing:
        alert_id, _, model_id, severity, _, since, version, inhibited_by = state
        fired = connection.execute(
            sa.select(flip.c.id, flip.c.recorded_at)
            .where(flip.c.alert_id == alert_id, flip.c.flip == "fired")
            .order_by(flip.c.at.desc())
            .limit(1)
        ).one_or_none()
        if fired is None:
            continue
        sent = connection.execute(
            sa.select(delivery.c.channel_id, delivery.c.created_at).where(
                delivery.c.cause_id == fired.id
            )
        ).all()
        labels = {
            "alertname": kind,
            "model": model_name,
            "monitor": monitor_name,
            "severity": severity,
        }
        incident_id = uuid4()
        connection.execute(
            incident.insert().values(
                id=incident_id,
                alert_id=alert_id,
                model_id=model_id,
                fired_id=fired.id,
                severity=severity,
                labels=labels,
                fingerprint=fingerprint(labels),
                version=version,
                onset=since,
                detected_at=fired.recorded_at,
                notified_at=min((at for _, at in sent), default=None),
                acknowledgement="",
                inhibited_by=inhibited_by,
                verdict_note="",
            )
        )
        of_group = {"alertname": kind, "model": model_name, "version": version or ""}
        key = group_key("", of_group)
        if key not in groups:
            groups[key] = uuid4()
            connection.execute(
                group.insert().values(
                    id=groups[key],
                    key=key,
                    route="",
                    labels=of_group,
                    flush_no=0,
                    next_flush_at=utcnow(),
                )
            )
        connection.execute(
            member.insert().values(group_id=groups[key], incident_id=incident_id)
        )
        for channel_id, at in sent:
            connection.execute(
                notified.insert().values(
                    channel_id=channel_id,
                    incident_id=incident_id,
                    group_id=groups[key],
                    firing_at=at,
                    last_at=at,
                )
            )
