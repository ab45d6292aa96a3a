"""Tables of the job queue, and of what was asked for and is kept with its result."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base


class RunStatus(StrEnum):
    """Where a run stands."""

    TODO = "todo"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"


class Run(Base):
    """One job in one slot of time. Any number of tickers may ask for it; it exists once."""

    __tablename__ = "run"
    __table_args__ = (
        UniqueConstraint("job", "subject", "slot"),
        Index(
            "ix_run_open",
            "not_before",
            sqlite_where=text("finished_at IS NULL"),
            postgresql_where=text("finished_at IS NULL"),
        ),
        Index("ix_run_finished_at", "finished_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    job: Mapped[str]
    slot: Mapped[datetime]
    subject: Mapped[str] = mapped_column(default="")
    status: Mapped[RunStatus] = mapped_column(default=RunStatus.TODO)
    not_before: Mapped[datetime]
    lease_until: Mapped[datetime | None]
    fence: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    outages: Mapped[int] = mapped_column(default=0)  # attempts that ended in one
    error: Mapped[str | None]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class BacktestState(StrEnum):
    """Where a backtest stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class BacktestRow(Base):
    """One backtest that was asked for, its progress in event days, and its result."""

    __tablename__ = "backtest"
    __table_args__ = (
        Index("ix_backtest_model_id", "model_id"),
        Index("ix_backtest_finished_at", "finished_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"))
    request: Mapped[dict[str, Any]]
    asked_by: Mapped[str]
    created_at: Mapped[datetime]
    state: Mapped[BacktestState] = mapped_column(default=BacktestState.QUEUED)
    finished_at: Mapped[datetime | None]
    n_evaluated: Mapped[int] = mapped_column(default=0)
    n_days: Mapped[int | None]
    error: Mapped[str | None]
    result: Mapped[dict[str, Any] | None]
