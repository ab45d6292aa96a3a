"""History of errors, segment errors and probability sums of a version."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session

from core.durations import DAY
from core.policy import Policy
from core.schema import task
from core.schema.contract import Contract
from core.schema.task import EXPECTED, LABELLED, LOSS
from core.schema.zone import Zone
from core.streams import Stream
from core.window import Window, midnight
from db.queries import models, summaries
from db.tables import Model
from monitors.baselines.segments import FIRST, MOST
from monitors.kind import EvaluationContext
from monitors.performance.accuracy import DayErrors, LabelledError
from monitors.performance.calibration import ProbabilityDays
from monitors.performance.residual_statistics import ErrorDays, hours_ahead
from monitors.performance.segment_accuracy import (
    SegmentDays,
    of_segments,
)
from monitors.sources import (
    ErrorsBySegment,
    Probabilities,
    Residuals,
    SelfReference,
    labels_due,
)
from services.aggregation import segments
from services.labels.error_days import ERRORS_BY_SEGMENT, ErrorDay
from tasks import calibration_sums, horizon_buckets, residual_sums
from tasks.calibration_sums import CALIBRATION
from tasks.residual_sums import RESIDUALS

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
    contract = model.contract
    names = horizon_buckets.names(contract.targets, contract.horizon)
    cells = np.zeros((kept.n_days, len(names), residual_sums.WIDTH))
    for place, stored in kept.days.items():
        cells[place] = stored
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
    names = model.contract.targets
    cells = np.zeros((kept.n_days, len(names), calibration_sums.WIDTH))
    for place, stored in kept.days.items():
        cells[place] = stored
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
    contract = model.contract
    of = task.of(contract)
    shape = (FIRST + MOST, of.cells(contract)[1])
    sums = np.zeros((kept.n_days, *shape, 3))
    for place, stored in kept.days.items():
        cells = stored.cells.reshape(*shape, -1)
        sums[place] = cells[..., [EXPECTED, LABELLED, LOSS]]
    label = segments.label(session, model.id, contract)
    first_day = (kept.first - _EPOCH).days
    return of_segments(sums, contract.targets, label, first_day, of.n_summed(contract))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What is stored of the days of a version; `days` by their place since the first."""

    first: date
    n_days: int
    days: dict[int, Any]


def _kept(
    session: Session, model_id: UUID, version: str | None, source: SelfReference, end: date
) -> _Kept | None:
    first = began(session, model_id, source).get(version or "")
    if first is None or first >= end:
        return None
    stream = _STREAMS[type(source)]
    reference = Window(midnight(first), midnight(first + source.reference_days * DAY))
    recent = Window(max(midnight(end - source.look_back), reference.start), midnight(end))
    rows = summaries.rows(session, [stream], model_id, [reference, recent], [version or ""])
    days = {
        (row.start.date() - first).days: stream.from_bytes(row.payload)
        for row in rows
        if row.start < recent.end
    }
    return _Kept(first=first, n_days=(end - first).days, days=days)


_STREAMS: Mapping[type[SelfReference], Stream[Any]] = {
    ErrorsBySegment: ERRORS_BY_SEGMENT,
    Probabilities: CALIBRATION,
    Residuals: RESIDUALS,
}


def began(session: Session, model_id: UUID, source: SelfReference) -> dict[str, date]:
    """Return the first day of which what a monitor reads is known, of each version."""
    firsts = summaries.firsts(session, _STREAMS[type(source)], model_id)
    return {version: first.date() for version, first in firsts.items()}


def references(session: Session, model: Model, source: SelfReference) -> list[Window]:
    """Return the days that the errors, or the claims, of versions are measured against."""
    zone = models.zone_of(model)
    firsts = [midnight(first) for first in began(session, model.id, source).values()]
    return [
        zone.instants(Window(first, first + source.reference_days * DAY)) for first in firsts
    ]


def matured(context: EvaluationContext) -> date:
    """Return the first day whose predictions need not have all their labels yet."""
    return matured_at(context.as_of, context.zone, context.contract, context.policy)


def matured_at(as_of: datetime, zone: Zone, contract: Contract, policy: Policy) -> date:
    """Return the first day whose predictions need not have all their labels at a moment."""
    return (zone.local(as_of) - labels_due(contract, policy)).date()


def daily(errors: Sequence[ErrorDay], context: EvaluationContext, n_days: int) -> DayErrors:
    """Sum up the champion's errors on the last `n_days` days whose labels are due.

    Those of other versions that served lie beside them: a challenger's errors are not the
    champion's. Before there is a champion, all that served count.
    """
    end = matured(context)
    days = tuple(end - timedelta(days=back) for back in range(n_days, 0, -1))
    of = task.of(context.contract)
    shape = (n_days, of.cells(context.contract)[0])
    sums = np.zeros(shape)
    n_labelled = np.zeros(shape, dtype=np.int64)
    n_expected = np.zeros(shape, dtype=np.int64)
    others: dict[str, tuple[float, int, int]] = {}
    n = of.n_summed(context.contract)
    for row in errors:
        if not row.is_forecast or not days[0] <= row.day < end:
            continue
        if context.serving is not None and row.version != context.serving:
            before, own = others.get(row.version, (0.0, 0, 0)), row.cells.sum(axis=(0, 1))
            others[row.version] = (
                before[0] + n * float(own[LOSS]),
                before[1] + int(own[LABELLED]),
                before[2] + int(own[EXPECTED]),
            )
            continue
        at = days.index(row.day)
        sums[at] += n * row.cells[:, :, LOSS].sum(axis=1)
        n_labelled[at] += row.cells[:, :, LABELLED].sum(axis=1).astype(np.int64)
        n_expected[at] += row.cells[:, :, EXPECTED].sum(axis=1).astype(np.int64)
    return DayErrors(
        days=days,
        sums=sums,
        n_labelled=n_labelled,
        n_expected=n_expected,
        others={name: LabelledError.of(*of) for name, of in sorted(others.items())},
        measure=of.measure,
    )
