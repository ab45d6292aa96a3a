"""Tables of SLOs: corrections, and hours whose counts changed late."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base


class SloCorrection(Base):
    """A stretch of event time whose bad events count as good, with reason and author."""

    __tablename__ = "slo_correction"
    __table_args__ = (Index("ix_slo_correction_monitor_id_start", "monitor_id", "start"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"))
    monitor_id: Mapped[UUID] = mapped_column(ForeignKey("monitor.id", ondelete="CASCADE"))
    start: Mapped[datetime]
    end: Mapped[datetime]
    reason: Mapped[str]
    author: Mapped[str]
    created_at: Mapped[datetime]


class LateHour(Base):
    """An hour before that of the newest event whose counts changed: it is read again.

    `rev` is drawn anew by each fold that touches the hour. The first hour of 1970 stands for
    all hours. Rows go a day after they were written (wall time): a process that keeps counts
    in memory reads them every ten seconds.
    """

    __tablename__ = "late_hour"
    __table_args__ = (Index("ix_late_hour_changed_at", "changed_at"),)

    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    start: Mapped[datetime] = mapped_column(primary_key=True)
    rev: Mapped[int]
    changed_at: Mapped[datetime]
