"""Tables of summaries, which monitors read instead of raw rows."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import ForeignKey, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base


class Edges(Base):
    """The frozen bin edges of a model's features: one set, so that any two chunks merge."""

    __tablename__ = "edges"

    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    frozen_at: Mapped[datetime]


class OutputEdges(Base):
    """The frozen bin edges of a model's outputs, part by part of each target."""

    __tablename__ = "output_edges"

    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    frozen_at: Mapped[datetime]


class WindowProfileLayout(Base):
    """What is kept of the inside of rows, figure by figure; it only ever grows."""

    __tablename__ = "shape_layout"

    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    frozen_at: Mapped[datetime]


class WindowProfileChunk(Base):
    """What rows of one version were like inside on one event day.

    `start` is the day's midnight (UTC).
    """

    __tablename__ = "shape_chunk"

    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    start: Mapped[datetime] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    payload: Mapped[bytes] = mapped_column(LargeBinary)


class SummaryChunk(Base):
    """One hour of input of one version, all features (`monitors.summaries.summary`)."""

    __tablename__ = "summary_chunk"

    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    start: Mapped[datetime] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    payload: Mapped[bytes] = mapped_column(LargeBinary)


class OutputChunk(Base):
    """One hour of output of one version, all parts of all targets."""

    __tablename__ = "output_chunk"

    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    start: Mapped[datetime] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    payload: Mapped[bytes] = mapped_column(LargeBinary)


class ServingSlice(Base):
    """Five event-time minutes of serving of one version: integers, exact under addition.

    `n_degraded` are of those that did not fail. `failed_latency_counts` are the failures
    among `latency_counts`; empty where no failure has a latency. Both are NULL in slices
    that were begun before they were kept.
    """

    __tablename__ = "serving_slice"

    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    start: Mapped[datetime] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    n: Mapped[int]
    n_failed: Mapped[int]
    latency_counts: Mapped[bytes] = mapped_column(LargeBinary)
    n_degraded: Mapped[int | None]
    failed_latency_counts: Mapped[bytes | None] = mapped_column(LargeBinary)


class AccuracyChunk(Base):
    """One event day of predictions of one version, joined with the labels that are in.

    Written whole each time it is computed; never added to. `payload` holds
    float64 (step, target, 5): expected, labelled, sum |e|, sum e^2, sum |e of
    the seasonal naive forecast| (e^2 of a classifier), errors in units of the
    version's scaler.
    `residuals` holds `monitors.performance.residual_sums`, read by whoever asks for it; NULL on
    days without a forecast, and on those joined before it was kept. `calibration`
    holds `monitors.performance.calibration_sums`; NULL there too, and of models that are no
    classifiers.
    """

    __tablename__ = "accuracy_chunk"

    model_id: Mapped[UUID] = mapped_column(ForeignKey("model.id"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(primary_key=True)
    shadow: Mapped[bool] = mapped_column(primary_key=True)
    n_predictions: Mapped[int]
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    residuals: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    calibration: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)


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
