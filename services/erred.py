"""In what direction a version erred, as monitors read it."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import numpy as np
from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from core.contract import Contract
from core.window import Window
from db.tables import AccuracyChunk, Model
from monitors import horizon, residual_sums
from monitors.residual import LOOKS_BACK, ResidualParams
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
    first = began(session, model.id).get(version or "")
    if first is None or first >= end:
        return None
    day, contract = AccuracyChunk.day, Contract.from_json(model.contract)
    lately = end - (params.window_days + LOOKS_BACK) * DAY
    rows = session.execute(
        select(day, AccuracyChunk.residuals).where(
            AccuracyChunk.model_id == model.id,
            AccuracyChunk.version == version,
            AccuracyChunk.shadow.is_(False),
            or_(day < first + params.reference_days * DAY, day >= lately),
            day < end,
        )
    )
    names = horizon.names(contract.targets, contract.horizon)
    cells = np.zeros(((end - first).days, len(names), residual_sums.WIDTH))
    for at, stored in rows:
        if stored is not None:
            cells[(at - first).days] = residual_sums.from_bytes(stored)
    return ErrorDays(
        names=names,
        ahead=hours_ahead(contract),
        first_day=(first - _EPOCH).days,
        cells=cells,
    )


def began(session: Session, model_id: UUID) -> dict[str, date]:
    """Return the first day of which errors of each version are known."""
    rows = session.execute(
        select(AccuracyChunk.version, func.min(AccuracyChunk.day))
        .where(
            AccuracyChunk.model_id == model_id,
            AccuracyChunk.shadow.is_(False),
            AccuracyChunk.residuals.is_not(None),
        )
        .group_by(AccuracyChunk.version)
    )
    return dict(rows.all())


def references(session: Session, model_id: UUID, params: ResidualParams) -> list[Window]:
    """Return the days that the errors of versions are measured against."""
    firsts = [
        datetime.combine(first, datetime.min.time(), UTC)
        for first in began(session, model_id).values()
    ]
    return [Window(first, first + params.reference_days * DAY) for first in firsts]
