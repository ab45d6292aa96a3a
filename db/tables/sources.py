"""The table of sources of rows, with how far each is pulled."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from core.schema.rows import Kind
from db.base import Base


class SourceRow(Base):
    """One source of predictions or labels of a model: what was put, and its state.

    `mapping` is a `MappingOptions`. `rev` rises with each change, so that of two workers one
    stores a page. `watermark` is JSON, of the last row that was stored. `columns` are those of
    the first page, by name with the type; `changed` describes how they differ now. `row_at` is
    when rows last came, `arrivals` when they came before, at most one an hour; wall time.
    """

    __tablename__ = "source"
    __table_args__ = (UniqueConstraint("model_id", "name"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"))
    name: Mapped[str]
    kind: Mapped[str]
    config: Mapped[dict[str, Any]]
    stream: Mapped[Kind]
    mapping: Mapped[dict[str, Any]]
    every: Mapped[timedelta] = mapped_column("every_seconds")
    expect_within: Mapped[timedelta | None] = mapped_column("expect_within_seconds")
    enabled: Mapped[bool]
    created_at: Mapped[datetime]

    rev: Mapped[int] = mapped_column(default=0)
    watermark: Mapped[str | None]
    columns: Mapped[dict[str, Any]] = mapped_column(default=dict)
    new_columns: Mapped[list[str]] = mapped_column(default=list)
    changed: Mapped[str | None]
    n_rows: Mapped[int] = mapped_column(BigInteger, default=0)
    n_quarantined: Mapped[int] = mapped_column(BigInteger, default=0)
    row_at: Mapped[datetime | None]
    arrivals: Mapped[list[str]] = mapped_column(default=list)
    pulled_at: Mapped[datetime | None]
    next_due_at: Mapped[datetime]
    n_failures: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None]
