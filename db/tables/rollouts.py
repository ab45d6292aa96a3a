"""Tables of rollouts and their events."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base
from db.types import Typed
from retrain.gate import Gate
from retrain.rollout import Phase
from retrain.verdict import Verdict

_OPEN = text("phase NOT IN ('promoted', 'rejected', 'rolled_back', 'failed')")


class Rollout(Base):
    """From the request to retrain until the challenger serves everyone, or no one.

    `requested_at`, `not_before` and `step_since` are event time. `rev` guards
    every change. The training has a `reference` once its trainer was started, and its token
    is known by its digest; `is_queued` when `seqwatch trainer` is to train, or to test.
    """

    __tablename__ = "rollout"
    __table_args__ = (
        UniqueConstraint("model_id", "idempotency_key"),
        Index(
            "uq_rollout_one_open_per_model",
            "model_id",
            unique=True,
            sqlite_where=_OPEN,
            postgresql_where=_OPEN,
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"))
    idempotency_key: Mapped[str]
    reason: Mapped[str]
    flip_id: Mapped[UUID | None] = mapped_column(ForeignKey("flip.id"))
    phase: Mapped[Phase]
    rev: Mapped[int] = mapped_column()
    base_id: Mapped[UUID | None] = mapped_column(ForeignKey("version.id"))
    champion_rev: Mapped[int]
    challenger_id: Mapped[UUID | None] = mapped_column(ForeignKey("version.id"))
    template: Mapped[str] = mapped_column(default="segment_lstm")
    template_params: Mapped[dict[str, Any]] = mapped_column(default=dict)
    trainer: Mapped[str] = mapped_column(default="builtin")
    reference: Mapped[str | None]
    token_digest: Mapped[bytes | None] = mapped_column(unique=True)
    is_queued: Mapped[bool] = mapped_column(default=False)
    onset: Mapped[datetime | None]
    requested_at: Mapped[datetime]
    not_before: Mapped[datetime]
    step: Mapped[int] = mapped_column(default=0)
    step_since: Mapped[datetime | None]
    gate: Mapped[Gate | None] = mapped_column(Typed(Gate))
    verdict: Mapped[Verdict | None] = mapped_column(Typed(Verdict))
    progress: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]

    # Two writers that read the same state cannot both write: the second fails.
    __mapper_args__ = {"version_id_col": rev}  # noqa: RUF012 - SQLAlchemy's own name


class RolloutEvent(Base):
    """One change of a rollout, with its cause."""

    __tablename__ = "rollout_event"
    __table_args__ = (
        Index("ix_rollout_event_rollout_id_recorded_at", "rollout_id", "recorded_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    rollout_id: Mapped[UUID] = mapped_column(ForeignKey("rollout.id"))
    event: Mapped[str]
    phase: Mapped[Phase]
    cause: Mapped[str]
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
    at: Mapped[datetime]
    recorded_at: Mapped[datetime]


class TrainerConfig(Base):
    """A trainer that policies refer to by name: a kind, and its configuration."""

    __tablename__ = "trainer"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    config: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
