"""Tables of incidents, and of what decides who is notified of them."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import JSON, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from alerts import route, silence
from alerts.state import Verdict
from db.base import Base
from db.types import Typed


class Incident(Base):
    """One alert from when it fires until it is resolved; at most one of an alert is open.

    `onset` is event time: the first breach. The other times are wall time. Labels and
    fingerprint are those that the alert had when it fired. `inhibited_by` names what
    inhibits it, or inhibited it when it ended.
    """

    __tablename__ = "incident"
    __table_args__ = (
        Index(
            "ix_incident_open",
            "alert_id",
            unique=True,
            sqlite_where=text("resolved_at IS NULL"),
            postgresql_where=text("resolved_at IS NULL"),
        ),
        Index("ix_incident_model_id_detected_at", "model_id", "detected_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    alert_id: Mapped[UUID] = mapped_column(ForeignKey("alert.id"))
    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"))
    fired_id: Mapped[UUID | None] = mapped_column(ForeignKey("flip.id"))
    ended_id: Mapped[UUID | None] = mapped_column(ForeignKey("flip.id"))
    severity: Mapped[str]
    labels: Mapped[dict[str, str]] = mapped_column(JSON)
    fingerprint: Mapped[str]
    version: Mapped[str | None]
    onset: Mapped[datetime | None]
    detected_at: Mapped[datetime]
    notified_at: Mapped[datetime | None]
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[str | None]
    acknowledgement: Mapped[str] = mapped_column(default="")
    resolved_at: Mapped[datetime | None]
    inhibited_by: Mapped[str | None]
    verdict: Mapped[Verdict | None]
    verdict_at: Mapped[datetime | None]
    verdict_by: Mapped[str | None]
    verdict_note: Mapped[str] = mapped_column(default="")


class AlertGroup(Base):
    """Incidents of one route that are notified together, from the first until all are done.

    `next_flush_at` is when what changed is notified; `flush_no` counts the flushes, so that
    one replica makes each.
    """

    __tablename__ = "alert_group"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    key: Mapped[str] = mapped_column(unique=True)
    route: Mapped[str]
    labels: Mapped[dict[str, str]] = mapped_column(JSON)
    flush_no: Mapped[int] = mapped_column(default=0)
    flushed_at: Mapped[datetime | None]
    next_flush_at: Mapped[datetime] = mapped_column(index=True)


class GroupMember(Base):
    """An incident in a group."""

    __tablename__ = "group_member"

    group_id: Mapped[UUID] = mapped_column(ForeignKey("alert_group.id"), primary_key=True)
    incident_id: Mapped[UUID] = mapped_column(
        ForeignKey("incident.id"), primary_key=True, index=True
    )


class NotifiedIncident(Base):
    """What one channel was notified of one incident, and by which group."""

    __tablename__ = "notified_incident"

    channel_id: Mapped[UUID] = mapped_column(ForeignKey("channel.id"), primary_key=True)
    incident_id: Mapped[UUID] = mapped_column(
        ForeignKey("incident.id"), primary_key=True, index=True
    )
    group_id: Mapped[UUID]
    firing_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    last_at: Mapped[datetime]


class Route(Base):
    """A route of alerts, by name."""

    __tablename__ = "route"

    name: Mapped[str] = mapped_column(primary_key=True)
    definition: Mapped[route.Route] = mapped_column(Typed(route.Route))


class Silence(Base):
    """A silence; `name` is that in the configuration, if any. None is ever deleted.

    One with an `incident_id` ends when that incident does.
    """

    __tablename__ = "silence"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str | None] = mapped_column(unique=True)
    incident_id: Mapped[UUID | None]
    ends_at: Mapped[datetime] = mapped_column(index=True)
    definition: Mapped[silence.Silence] = mapped_column(Typed(silence.Silence))
    updated_at: Mapped[datetime]
