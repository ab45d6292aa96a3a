"""Table of pending events of KServe's logger."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base


class Part(StrEnum):
    """Which half of a prediction an event carries."""

    REQUEST = "request"
    RESPONSE = "response"


class PendingEvent(Base):
    """One half of a prediction; it goes when the whole is in the inbox.

    `payload` is JSON: the rows that were read out of the event, sensitive
    features already masked, and what is wrong with the others. The event
    itself is not kept.
    """

    __tablename__ = "pending_event"
    __table_args__ = (Index("ix_pending_event_received_at", "received_at"),)

    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    event_id: Mapped[str] = mapped_column(primary_key=True)
    part: Mapped[Part] = mapped_column(primary_key=True)
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    received_at: Mapped[datetime]
