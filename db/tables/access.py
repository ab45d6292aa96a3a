"""Tables of keys, browser sessions and the audit log."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base


class Scope(StrEnum):
    """What a key opens. None includes another, but `admin` opens everything."""

    INGEST = "ingest"
    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"


class ApiKey(Base):
    """A key, known by its digest only; optionally for one model alone.

    `limits` holds what the key may send, where that is less than the
    installation allows.
    """

    __tablename__ = "api_key"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str] = mapped_column(unique=True)
    digest: Mapped[bytes] = mapped_column(unique=True)
    scopes: Mapped[list[str]]
    model_id: Mapped[UUID | None] = mapped_column(ForeignKey("model.id"))
    limits: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class WebSession(Base):
    """A browser that showed a key; the cookie is known by its digest only."""

    __tablename__ = "web_session"

    digest: Mapped[bytes] = mapped_column(primary_key=True)
    api_key_id: Mapped[UUID] = mapped_column(ForeignKey("api_key.id"))
    expires_at: Mapped[datetime]


class AuditEvent(Base):
    """That somebody changed something."""

    __tablename__ = "audit_event"
    __table_args__ = (Index("ix_audit_event_recorded_at", "recorded_at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    actor: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
    recorded_at: Mapped[datetime]
