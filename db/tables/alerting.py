"""Tables of monitors, findings, alerts, channels and deliveries."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ForeignKey, Index, LargeBinary, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from alerts.platform import PlatformFault
from alerts.state import Flip, Phase, Reason
from db.base import Base, BigId, publication_index
from db.encrypted import EncryptedJson
from monitors.finding import Outcome


class Monitor(Base):
    """What to watch on one model. `kind` and `params` are checked by `monitors.registry`."""

    __tablename__ = "monitor"
    __table_args__ = (UniqueConstraint("model_id", "name"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"))
    name: Mapped[str]
    kind: Mapped[str]
    params: Mapped[dict[str, Any]] = mapped_column(default=dict)
    severity: Mapped[str]
    enabled: Mapped[bool] = mapped_column(default=True)


class Finding(Base):
    """Result of one evaluation of a monitor.

    Re-evaluated when rows or labels came in late: `rev` counts how often
    that changed it, `first` keeps the result of the first evaluation. `publication`
    is 0 while it waits to be published (`db.queries.publication`).
    """

    __tablename__ = "finding"
    __table_args__ = (
        UniqueConstraint("monitor_id", "as_of"),
        Index("ix_finding_model_id_window_end", "model_id", "window_end"),
        publication_index("finding"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    monitor_id: Mapped[UUID] = mapped_column(ForeignKey("monitor.id"))
    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"))
    version: Mapped[str | None]
    window_start: Mapped[datetime]
    window_end: Mapped[datetime]
    as_of: Mapped[datetime]
    outcome: Mapped[Outcome]
    value: Mapped[float | None]
    threshold: Mapped[float | None]
    cause: Mapped[str] = mapped_column(default="")
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
    recorded_at: Mapped[datetime]
    rev: Mapped[int] = mapped_column(default=0)
    revised_at: Mapped[datetime | None]
    first: Mapped[dict[str, Any] | None]
    publication: Mapped[int | None] = mapped_column(default=0, server_default="0")


class Alert(Base):
    """Where the alert of one monitor at one severity stands.

    `inhibited_by` names the input faults while they keep a firing alert from
    being notified. `n_alarms` and `n_evaluated` count alarms and evaluated days up to
    `counted_until` (`db.queries.read.false_alarm_rates`).
    """

    __tablename__ = "alert"
    __table_args__ = (UniqueConstraint("monitor_id", "severity"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    monitor_id: Mapped[UUID] = mapped_column(ForeignKey("monitor.id"))
    # The default: of a server of the schema before, until the next evaluation.
    severity: Mapped[str] = mapped_column(default="ticket", server_default="ticket")
    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"))
    phase: Mapped[Phase]
    streak: Mapped[int] = mapped_column(default=0)
    since: Mapped[datetime | None]
    version: Mapped[str | None]
    cause: Mapped[str] = mapped_column(default="")
    inhibited_by: Mapped[str | None]
    n_alarms: Mapped[int] = mapped_column(default=0)
    n_evaluated: Mapped[int] = mapped_column(default=0)
    counted_until: Mapped[datetime | None]


class FlipRow(Base):
    """The moment an alert changed, with its cause: audit log and downtime statistic at once.

    `inhibited` is true while nobody was notified of it, because an input fault
    explains it and has an alert of its own; `notified_at` is when that ended.
    `publication` is 0 while it waits to be published.
    """

    __tablename__ = "flip"
    __table_args__ = (
        Index("ix_flip_model_id_at", "model_id", "at"),
        Index("ix_flip_alert_id_at", "alert_id", "at"),
        publication_index("flip"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    alert_id: Mapped[UUID] = mapped_column(ForeignKey("alert.id"))
    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"))
    finding_id: Mapped[UUID | None] = mapped_column(ForeignKey("finding.id"))
    flip: Mapped[Flip]
    reason: Mapped[Reason]
    cause: Mapped[str]
    inhibited: Mapped[bool] = mapped_column(default=False)
    at: Mapped[datetime]
    recorded_at: Mapped[datetime]
    notified_at: Mapped[datetime | None]
    publication: Mapped[int | None] = mapped_column(default=0, server_default="0")


class PlatformAlert(Base):
    """A fault of the platform itself, from when it was first seen until it is gone.

    At most one is open for each kind and subject. Times are wall time.
    """

    __tablename__ = "platform_alert"
    __table_args__ = (
        Index(
            "ix_platform_alert_open",
            "kind",
            "subject",
            unique=True,
            sqlite_where=text("resolved_at IS NULL"),
            postgresql_where=text("resolved_at IS NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    kind: Mapped[PlatformFault]
    subject: Mapped[str]
    model_id: Mapped[UUID | None] = mapped_column(ForeignKey("model.id"))
    cause: Mapped[str]
    since: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    resolution_id: Mapped[UUID] = mapped_column(default=uuid4)  # the cause of its last message


class Channel(Base):
    """Receiver of notifications: a kind, its configuration, and the severities it wants."""

    __tablename__ = "channel"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str] = mapped_column(default="webhook")
    config: Mapped[dict[str, Any]] = mapped_column(EncryptedJson)
    severities: Mapped[list[str]]
    enabled: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime]


class Delivery(Base):
    """One message that must reach one channel. Written in the transaction of its cause.

    `flip_id` is that of the first alert of a group.
    """

    __tablename__ = "delivery"
    __table_args__ = (
        Index(
            "ix_delivery_open",
            "not_before",
            sqlite_where=text("finished_at IS NULL"),
            postgresql_where=text("finished_at IS NULL"),
        ),
        # What is open about one subject: a notification waits for those before it.
        Index(
            "ix_delivery_subject",
            "channel_id",
            "subject",
            "seq",
            sqlite_where=text("finished_at IS NULL"),
            postgresql_where=text("finished_at IS NULL"),
        ),
        UniqueConstraint("channel_id", "cause_id"),
    )

    seq: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    id: Mapped[UUID] = mapped_column(unique=True, default=uuid4)
    channel_id: Mapped[UUID] = mapped_column(ForeignKey("channel.id"))
    cause_id: Mapped[UUID]  # the flush of a group, the rollout event or the platform alert
    flip_id: Mapped[UUID | None]
    subject: Mapped[str]  # messages about one subject leave in order
    type: Mapped[str]
    body: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]
    not_before: Mapped[datetime]
    lease_until: Mapped[datetime | None]
    fence: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    last_status: Mapped[int | None]
    last_error: Mapped[str | None]
    delivered: Mapped[bool] = mapped_column(default=False)
    finished_at: Mapped[datetime | None]
