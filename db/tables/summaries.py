"""Tables of summaries, which monitors read instead of raw rows."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, LargeBinary, ScalarSelect, UniqueConstraint, select
from sqlalchemy.orm import Mapped, column_property, mapped_column

from core.streams import Level
from db.base import Base, BigId, publication_index
from db.types import Compressed, EpochMicroseconds


class SummarySeries(Base):
    """A stream of a version of a model: what the key of a summary would repeat in each row."""

    __tablename__ = "summary_series"
    __table_args__ = (UniqueConstraint("model_id", "stream", "version"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"))
    stream: Mapped[str]
    version: Mapped[str]


def _of_series(column: Any, series_id: Any) -> ScalarSelect[Any]:
    found = select(column).where(SummarySeries.id == series_id.column)
    return found.correlate_except(SummarySeries).scalar_subquery()


class SummaryRow(Base):
    """One stream of one version in one hour, or day, of event time.

    What `payload` holds is known to the stream (`monitors.summaries.streams`): a new
    statistic needs no migration. `level` is the width of its parts. `publication` is 0
    while a change waits to be published, and NULL of a stream that is not published.
    `model_id`, `stream` and `version` are read from the series of each row: a statement that
    chooses rows by them begins with `SummarySeries`, whose index finds them.
    """

    __tablename__ = "summary"
    __table_args__ = (publication_index("summary"),)

    series_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("summary_series.id", ondelete="CASCADE"), primary_key=True
    )
    start: Mapped[datetime] = mapped_column(EpochMicroseconds, primary_key=True)
    level: Mapped[Level]
    payload: Mapped[bytes] = mapped_column(Compressed)
    publication: Mapped[int | None]

    model_id: Mapped[UUID] = column_property(_of_series(SummarySeries.model_id, series_id))
    stream: Mapped[str] = column_property(_of_series(SummarySeries.stream, series_id))
    version: Mapped[str] = column_property(_of_series(SummarySeries.version, series_id))


class SummaryLayout(Base):
    """What the numbers of a stream are about: bin edges, or figures. It only ever grows."""

    __tablename__ = "summary_layout"

    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    stream: Mapped[str] = mapped_column(primary_key=True)
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    frozen_at: Mapped[datetime]


class Segment(Base):
    """A segment with a place of its own, given in the order in which values first came.

    A place is never given twice. `name` is null once it was erased.
    """

    __tablename__ = "segment"

    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None]


class EntityState(Base):
    """When predictions of each entity were made (`services.aggregation.entities`).

    `inputs` holds when each of its inputs had a value, and another one (`entity_inputs`).
    """

    __tablename__ = "entity_state"

    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    inputs: Mapped[bytes] = mapped_column(LargeBinary)


class SessionScore(Base):
    """One session, scored by champion and challenger alike. Written whole each time.

    `n_failed` and `n_failed_shadow` are failed answers of the version that served, and of
    the one in shadow; NULL where none answered in shadow, and in scores of before they
    were counted.
    """

    __tablename__ = "session_score"

    rollout_id: Mapped[UUID] = mapped_column(ForeignKey("rollout.id"), primary_key=True)
    session_id: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date]
    served_by: Mapped[str]
    n_expected: Mapped[int]
    n_labelled: Mapped[int]
    n_failed: Mapped[int]
    n_failed_shadow: Mapped[int | None]
    loss_champion: Mapped[float | None]
    loss_challenger: Mapped[float | None]
