"""Tables of summaries by segment, apart from the totals."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import ForeignKey, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base


class Segment(Base):
    """A segment with a place of its own, given in the order in which values first came.

    A place is never given twice. `name` is null once it was erased.
    """

    __tablename__ = "segment"

    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None]


class SegmentChunk(Base):
    """One hour of input of one version: all segments in one cell."""

    __tablename__ = "segment_chunk"

    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    start: Mapped[datetime] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    payload: Mapped[bytes] = mapped_column(LargeBinary)


class SegmentOutputChunk(Base):
    """Outputs of one version in one hour, all segments in one cell."""

    __tablename__ = "segment_output_chunk"

    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    start: Mapped[datetime] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    payload: Mapped[bytes] = mapped_column(LargeBinary)


class SegmentAccuracy(Base):
    """One event day of served predictions of one version, by segment. Written whole.

    `payload` holds float64 (place, target, 5), the sums of `AccuracyChunk`
    over all steps of the horizon.
    """

    __tablename__ = "segment_accuracy"

    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    payload: Mapped[bytes] = mapped_column(LargeBinary)
