"""How a version erred, about whom, and what its claims came to, as monitors read it."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import ColumnElement, func, or_, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.schema.contract import Contract
from core.window import Window
from db.tables import AccuracyChunk, Model, SegmentAccuracy
from monitors.baselines.segments import FIRST, MOST
from monitors.baselines.self_reference import LOOKS_BACK, OwnPastParams
from monitors.performance import calibration_sums, residual_sums
from monitors.performance.calibration import CalibrationParams, ClaimDays
from monitors.performance.residual_statistics import ErrorDays, hours_ahead
from monitors.performance.residuals import ResidualParams
from monitors.performance.segment_accuracy import (
    SegmentAccuracyParams,
    SegmentDays,
    of_segments,
)
from monitors.summaries import horizon_buckets
from services.aggregation import segments
from services.aggregation.error_sums import EXPECTED, LABELLED, loss_column, n_classes

DAY = timedelta(days=1)
_EPOCH = date(1970, 1, 1)


def load(
    session: Session, model: Model, version: str | None, params: ResidualParams, end: date
) -> ErrorDays | None:
    """Read the errors of what a version served: those it is measured against, and the last.

    Parameters
    ----------
    session
        The open transaction.
    model, version
        Who forecast.
    params
        Say what it is measured against.
    end
        The first day whose labels need not be in yet.

    Returns
    -------
    ErrorDays or None
        Of all days up to `end`; empty where they are not needed. None when no
        error of the version is known by then.
    """
    kept = _kept(session, model.id, version, params, end)
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


def load_claims(
    session: Session, model: Model, version: str | None, params: CalibrationParams, end: date
) -> ClaimDays | None:
    """Read what a version claimed, as `load` does its errors; None of what is no classifier."""
    kept = _kept(session, model.id, version, params, end)
    if kept is None:
        return None
    names = Contract.from_json(model.contract).targets
    cells = np.zeros((kept.n_days, len(names), calibration_sums.WIDTH))
    for place, stored in kept.days.items():
        cells[place] = calibration_sums.from_bytes(stored)
    return ClaimDays(names=names, first_day=(kept.first - _EPOCH).days, cells=cells)


def load_segments(
    session: Session,
    model: Model,
    version: str | None,
    params: SegmentAccuracyParams,
    end: date,
) -> SegmentDays | None:
    """Read how wrong a version was about each segment, as `load` does its errors."""
    kept = _kept(session, model.id, version, params, end)
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
    session: Session, model_id: UUID, version: str | None, params: OwnPastParams, end: date
) -> _Kept | None:
    first = began(session, model_id, params).get(version or "")
    if first is None or first >= end:
        return None
    of = _of(params)
    lately = end - (params.window_days + LOOKS_BACK) * DAY
    rows = session.execute(
        select(of.day, of.stored).where(
            of.table.model_id == model_id,
            of.table.version == version,
            of.condition,
            or_(of.day < first + params.reference_days * DAY, of.day >= lately),
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


def _of(params: OwnPastParams) -> _Of:
    if isinstance(params, SegmentAccuracyParams):
        return _Of(
            table=SegmentAccuracy,
            day=SegmentAccuracy.day,
            stored=SegmentAccuracy.payload,
            condition=true(),
        )
    is_claims = isinstance(params, CalibrationParams)
    stored = AccuracyChunk.calibration if is_claims else AccuracyChunk.residuals
    return _Of(
        table=AccuracyChunk,
        day=AccuracyChunk.day,
        stored=stored,
        condition=AccuracyChunk.shadow.is_(False) & stored.is_not(None),
    )


def began(session: Session, model_id: UUID, params: OwnPastParams) -> dict[str, date]:
    """Return the first day of which what a monitor reads is known, of each version."""
    of = _of(params)
    rows = session.execute(
        select(of.table.version, func.min(of.day))
        .where(of.table.model_id == model_id, of.condition)
        .group_by(of.table.version)
    )
    return dict(rows.all())


def references(session: Session, model_id: UUID, params: OwnPastParams) -> list[Window]:
    """Return the days that the errors, or the claims, of versions are measured against."""
    firsts = [
        datetime.combine(first, datetime.min.time(), UTC)
        for first in began(session, model_id, params).values()
    ]
    return [Window(first, first + params.reference_days * DAY) for first in firsts]
