"""Segments of a model: input and errors of each."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np
from sqlalchemy.orm import Session

from core.schema import task
from core.schema.contract import Contract
from core.schema.task import EXPECTED, LABELLED, LOSS, NAIVE
from core.window import Window
from db.queries import segments as stored
from db.queries import summaries, summary_layouts
from db.tables import Model
from lake.lists import Floats
from monitors.baselines.segments import (
    FIRST,
    INPUT_BY_SEGMENT,
    MOST,
    NONE,
    OTHER,
    of_place,
)
from monitors.finding import as_json
from monitors.summaries.summary import N_MISSING, N, Summary, widen
from monitors.summaries.totals import totals
from services.aggregation.segments import Names
from services.labels import error_days
from services.labels.error_days import ERRORS_BY_SEGMENT
from tasks.sums import width

DAYS = 7
_COLUMNS = 8
_ERRORS_WITHIN = timedelta(days=60)  # labels may come late: the last days that have any


class Sort(StrEnum):
    """What stands at a place: one value, rows without any, or all that came too late."""

    NAMED = "named"
    NONE = "none"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureNow:
    """One number of the input: how many values, and how they lie. None where there are none."""

    n: int
    n_missing: int
    mean: float | None
    sd: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorNow:
    """Of one target, over all steps: mean absolute errors in units of the version's scaler.

    Of a classifier, the part of one class in the Brier score; over all targets, the score.
    `naive` is that of the seasonal naive forecast.
    """

    n_expected: int
    n_labelled: int
    error: float | None
    naive: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentNow:
    """One segment.

    Attributes
    ----------
    sort, number, name
        A named segment has a number, from 1, by which findings may call it;
        its name is None once it was erased.
    features, errors
        By name.
    error
        Over all targets.
    """

    sort: Sort
    number: int | None
    name: str | None
    features: dict[str, FeatureNow]
    errors: dict[str, ErrorNow]
    error: ErrorNow


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """All segments of a model, those that are wrong most first.

    Attributes
    ----------
    by
        The field that defines them; None when the contract has none.
    days
        Event days of input up to `until`; and days with labels, the last there are.
    """

    by: str | None
    until: datetime | None
    days: int
    segments: tuple[SegmentNow, ...]

    @property
    def features(self) -> tuple[str, ...]:
        """The numbers that any segment sent, the first few: for a table."""
        names = dict.fromkeys(name for one in self.segments for name in one.features)
        return (*names,)[:_COLUMNS]


def segments(
    session: Session, model: Model, days: int = DAYS, version: str | None = None
) -> Segments:
    """Describe the segments of a model.

    Parameters
    ----------
    session
        Only read.
    model
        Whose.
    days
        How many days to read.
    version
        Only rows of this one; of all by default.
    """
    contract = model.contract
    if not contract.segment_by or model.watermark is None:
        by = contract.segment_by or None
        return Segments(by=by, until=model.watermark, days=days, segments=())
    names = stored.names(session, model.id)
    until = model.watermark
    window = Window(until - timedelta(days=days), until + timedelta(hours=1))
    versions = [] if version is None else [version]
    apart = summaries.read(session, INPUT_BY_SEGMENT, model.id, [window], versions)
    edges = summary_layouts.edges(session, model.id)
    known = edges.names if edges is not None else ()
    wrong = _errors(session, model, contract, days, version)
    found = [
        _segment(place, names, _features(apart, place, known, contract), wrong[place], contract)
        for place in (*names, NONE, OTHER)
    ]
    some = [one for one in found if one.sort is Sort.NAMED or _is_there(one)]
    ordered = sorted(some, key=lambda one: -(one.error.error or -1.0))
    return Segments(by=contract.segment_by, until=until, days=days, segments=tuple(ordered))


def _is_there(one: SegmentNow) -> bool:
    return one.error.n_expected > 0 or any(f.n + f.n_missing for f in one.features.values())


def _segment(
    place: int,
    names: Names,
    features: dict[str, FeatureNow],
    sums: Floats,
    contract: Contract,
) -> SegmentNow:
    sort = {NONE: Sort.NONE, OTHER: Sort.OTHER}.get(place, Sort.NAMED)
    n_summed = task.of(contract).n_summed(contract)
    return SegmentNow(
        sort=sort,
        number=place - FIRST + 1 if sort is Sort.NAMED else None,
        name=names.get(place),
        features=features,
        errors={name: _error(of) for name, of in zip(contract.targets, sums, strict=False)},
        error=_error(sums.sum(axis=0), n_summed),
    )


def _features(
    apart: Summary | None, place: int, names: tuple[str, ...], contract: Contract
) -> dict[str, FeatureNow]:
    if apart is None:
        return {}
    hours = widen(of_place(apart, place), len(names))
    own, n = totals(hours), hours.moments.sum(axis=0)
    return {
        name: FeatureNow(
            n=int(n[i, N]),
            n_missing=int(n[i, N_MISSING]),
            mean=as_json(own.mean[i]),
            sd=as_json(own.sd[i]),
        )
        for i, name in enumerate(names)
        if name in contract.measured
    }


def _errors(
    session: Session, model: Model, contract: Contract, days: int, version: str | None
) -> Floats:
    """Return the sums of the last days with labels, shape (place, target, sum)."""
    assert model.watermark is not None
    of = task.of(contract)
    shape = (FIRST + MOST, of.cells(contract)[1], width(of))
    recent = Window(model.watermark - _ERRORS_WITHIN, model.watermark + timedelta(days=1))
    versions = [] if version is None else [version]
    rows = summaries.rows(session, [ERRORS_BY_SEGMENT], model.id, [recent], versions)
    sums, counted = np.zeros(shape), set()
    for row in reversed(rows):
        cells = error_days.from_bytes(row.payload).cells.reshape(shape)
        if not cells[..., LABELLED].any():
            continue
        counted.add(row.start)
        if len(counted) > days:
            break
        sums += cells
    return sums


def _error(sums: Floats, n_summed: int = 1) -> ErrorNow:
    n = sums[LABELLED]
    return ErrorNow(
        n_expected=int(sums[EXPECTED]),
        n_labelled=int(n),
        error=as_json(n_summed * sums[LOSS] / n) if n else None,
        naive=as_json(n_summed * sums[NAIVE] / n) if n else None,
    )
