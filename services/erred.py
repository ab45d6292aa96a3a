"""In what direction a version erred, and what its claims came to, as monitors read it."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import numpy as np
from sqlalchemy import func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.contract import Contract
from core.window import Window
from db.tables import AccuracyChunk, Model
from monitors import calibration_sums, horizon, residual_sums
from monitors.calibration import CalibrationParams, ClaimDays
from monitors.own_past import LOOKS_BACK, OwnPastParams
from monitors.residual import ResidualParams
from monitors.residual_views import ErrorDays, hours_ahead

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
    names = horizon.names(contract.targets, contract.horizon)
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
    day, column = AccuracyChunk.day, _column(params)
    lately = end - (params.window_days + LOOKS_BACK) * DAY
    rows = session.execute(
        select(day, column).where(
            AccuracyChunk.model_id == model_id,
            AccuracyChunk.version == version,
            AccuracyChunk.shadow.is_(False),
            or_(day < first + params.reference_days * DAY, day >= lately),
            day >= first,
            day < end,
        )
    )
    days = {(at - first).days: stored for at, stored in rows if stored is not None}
    return _Kept(first=first, n_days=(end - first).days, days=days)


def _column(params: OwnPastParams) -> InstrumentedAttribute[bytes | None]:
    """Return where what a monitor reads is stored."""
    if isinstance(params, CalibrationParams):
        return AccuracyChunk.calibration
    return AccuracyChunk.residuals


def began(session: Session, model_id: UUID, params: OwnPastParams) -> dict[str, date]:
    """Return the first day of which what a monitor reads is known, of each version."""
    rows = session.execute(
        select(AccuracyChunk.version, func.min(AccuracyChunk.day))
        .where(
            AccuracyChunk.model_id == model_id,
            AccuracyChunk.shadow.is_(False),
            _column(params).is_not(None),
        )
        .group_by(AccuracyChunk.version)
    )
    return dict(rows.all())


def references(session: Session, model_id: UUID, params: OwnPastParams) -> list[Window]:
    """Return the days that the errors, or the claims, of versions are measured against."""
    firsts = [
        datetime.combine(first, datetime.min.time(), UTC)
        for first in began(session, model_id, params).values()
    ]
    return [Window(first, first + params.reference_days * DAY) for first in firsts]
