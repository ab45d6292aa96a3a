"""History of errors, segment errors and probability sums of a version."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from math import ceil
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, func, or_, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.policy import Policy
from core.schema.contract import Contract
from core.schema.rows import REFERENCE
from core.window import Window
from db.tables import AccuracyChunk, Model, SegmentAccuracy
from monitors.baselines.segments import FIRST, MOST
from monitors.kind import EvaluationContext
from monitors.performance import calibration_sums, residual_sums
from monitors.performance.accuracy import DayErrors, VersionErrors
from monitors.performance.calibration import ProbabilityDays
from monitors.performance.residual_statistics import ErrorDays, hours_ahead
from monitors.performance.segment_accuracy import (
    SegmentDays,
    of_segments,
)
from monitors.sources import ErrorsBySegment, Probabilities, Residuals, SelfReference
from monitors.summaries import horizon_buckets
from services.aggregation import segments
from services.aggregation.error_sums import EXPECTED, LABELLED, loss_column, n_classes

DAY = timedelta(days=1)
_EPOCH = date(1970, 1, 1)


def load(
    session: Session, model: Model, version: str | None, source: Residuals, end: date
) -> ErrorDays | None:
    """Read the errors of a version: those of its baseline, and the recent ones.

    Parameters
    ----------
    session
        The open transaction.
    model, version
        Who forecast.
    source
        Which days it is measured against.
    end
        The first day whose labels need not be in yet.

    Returns
    -------
    ErrorDays or None
        Of all days up to `end`; empty where they are not needed. None when no
        error of the version is known by then.
    """
    kept = _kept(session, model.id, version, source, end)
    if kept is None:
        return None
    contract = Contract.from_json(model.contract)
    names = horizon_buckets.names(contract.targets, contract.horizon)
    cells = np.zeros((kept.n_days, len(names), residual_sums.WIDTH))
    for place, stored in kept.days.items():
        cells[place] = residual_sums.from_bytes(stored)
    return ErrorDays(
        names=names,
        ahead=hours_ahead(contract),
        first_day=(kept.first - _EPOCH).days,
        cells=cells,
    )


def load_probabilities(
    session: Session, model: Model, version: str | None, source: Probabilities, end: date
) -> ProbabilityDays | None:
    """Read the probability sums of a classifier, as `load` its errors; else None."""
    kept = _kept(session, model.id, version, source, end)
    if kept is None:
        return None
    names = Contract.from_json(model.contract).targets
    cells = np.zeros((kept.n_days, len(names), calibration_sums.WIDTH))
    for place, stored in kept.days.items():
        cells[place] = calibration_sums.from_bytes(stored)
    return ProbabilityDays(names=names, first_day=(kept.first - _EPOCH).days, cells=cells)


def load_segments(
    session: Session,
    model: Model,
    version: str | None,
    source: ErrorsBySegment,
    end: date,
) -> SegmentDays | None:
    """Read the errors of a version by segment, as `load` its errors."""
    kept = _kept(session, model.id, version, source, end)
    if kept is None:
        return None
    contract = Contract.from_json(model.contract)
    shape = (FIRST + MOST, len(contract.targets), 5)
    sums = np.zeros((kept.n_days, *shape[:2], 3))
    for place, stored in kept.days.items():
        cells = np.frombuffer(stored, "<f8").reshape(shape)
        sums[place] = cells[..., [EXPECTED, LABELLED, loss_column(contract)]]
    label = segments.label(session, model.id, contract)
    first_day = (kept.first - _EPOCH).days
    return of_segments(sums, contract.targets, label, first_day, n_classes(contract))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What is stored of the days of a version; `days` by their place since the first."""

    first: date
    n_days: int
    days: dict[int, bytes]


def _kept(
    session: Session, model_id: UUID, version: str | None, source: SelfReference, end: date
) -> _Kept | None:
    first = began(session, model_id, source).get(version or "")
    if first is None or first >= end:
        return None
    of = _STORED[type(source)]
    lately = end - source.look_back
    rows = session.execute(
        select(of.day, of.stored).where(
            of.table.model_id == model_id,
            of.table.version == version,
            of.condition,
            or_(of.day < first + source.reference_days * DAY, of.day >= lately),
            of.day >= first,
            of.day < end,
        )
    )
    days = {(at - first).days: stored for at, stored in rows if stored is not None}
    return _Kept(first=first, n_days=(end - first).days, days=days)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Of:
    """Where what a monitor reads is stored, of the days on which it is known."""

    table: type[AccuracyChunk] | type[SegmentAccuracy]
    day: InstrumentedAttribute[date]
    stored: InstrumentedAttribute[Any]
    condition: ColumnElement[bool]


_ERRORS = AccuracyChunk.shadow.is_(False)
_STORED: Mapping[type[SelfReference], _Of] = {
    ErrorsBySegment: _Of(
        table=SegmentAccuracy,
        day=SegmentAccuracy.day,
        stored=SegmentAccuracy.payload,
        condition=true(),
    ),
    Probabilities: _Of(
        table=AccuracyChunk,
        day=AccuracyChunk.day,
        stored=AccuracyChunk.calibration,
        condition=_ERRORS & AccuracyChunk.calibration.is_not(None),
    ),
    Residuals: _Of(
        table=AccuracyChunk,
        day=AccuracyChunk.day,
        stored=AccuracyChunk.residuals,
        condition=_ERRORS & AccuracyChunk.residuals.is_not(None),
    ),
}


def began(session: Session, model_id: UUID, source: SelfReference) -> dict[str, date]:
    """Return the first day of which what a monitor reads is known, of each version."""
    of = _STORED[type(source)]
    rows = session.execute(
        select(of.table.version, func.min(of.day))
        .where(of.table.model_id == model_id, of.condition)
        .group_by(of.table.version)
    )
    return dict(rows.all())


def references(session: Session, model: Model, source: SelfReference) -> list[Window]:
    """Return the days that the errors, or the claims, of versions are measured against."""
    firsts = [
        datetime.combine(first, datetime.min.time(), UTC)
        for first in began(session, model.id, source).values()
    ]
    return [Window(first, first + source.reference_days * DAY) for first in firsts]


def matured(context: EvaluationContext) -> date:
    """Return the first day whose predictions need not have all their labels yet."""
    return (context.as_of - reach(context.contract, context.policy)).date()


def reach(contract: Contract, policy: Policy) -> timedelta:
    """Return how many whole days pass until all labels of a day are due."""
    return ceil((contract.horizon * contract.step + policy.label_delay) / DAY) * DAY


def daily(session: Session, model: Model, context: EvaluationContext, n_days: int) -> DayErrors:
    """Read the champion's errors on the last `n_days` days whose labels are due.

    Those of other versions that served lie beside them: a challenger's errors are not the
    champion's. Before there is a champion, all that served count.
    """
    end = matured(context)
    days = tuple(end - timedelta(days=back) for back in range(n_days, 0, -1))
    shape = (n_days, context.contract.horizon)
    sums = np.zeros(shape)
    n_labelled = np.zeros(shape, dtype=np.int64)
    n_expected = np.zeros(shape, dtype=np.int64)
    others: dict[str, tuple[float, int, int]] = {}
    loss, n = loss_column(context.contract), n_classes(context.contract)
    rows = session.scalars(
        select(AccuracyChunk).where(
            AccuracyChunk.model_id == model.id,
            AccuracyChunk.day >= days[0],
            AccuracyChunk.day < end,
            AccuracyChunk.shadow.is_(False),
            AccuracyChunk.version != REFERENCE,
        )
    )
    for row in rows:
        cells = accuracy_cells(row, context.contract)
        if context.serving is not None and row.version != context.serving:
            before, own = others.get(row.version, (0.0, 0, 0)), cells.sum(axis=(0, 1))
            others[row.version] = (
                before[0] + n * float(own[loss]),
                before[1] + int(own[LABELLED]),
                before[2] + int(own[EXPECTED]),
            )
            continue
        at = days.index(row.day)
        sums[at] += n * cells[:, :, loss].sum(axis=1)
        n_labelled[at] += cells[:, :, LABELLED].sum(axis=1).astype(np.int64)
        n_expected[at] += cells[:, :, EXPECTED].sum(axis=1).astype(np.int64)
    return DayErrors(
        days=days,
        sums=sums,
        n_labelled=n_labelled,
        n_expected=n_expected,
        others={name: VersionErrors(*of) for name, of in sorted(others.items())},
        is_brier=context.contract.is_classifier,
    )


def accuracy_cells(row: AccuracyChunk, contract: Contract) -> NDArray[np.float64]:
    """Return the stored sums, shape (step, target, 5)."""
    flat = np.frombuffer(row.payload, dtype=np.float64)
    return flat.reshape(contract.horizon, len(contract.targets), 5)
