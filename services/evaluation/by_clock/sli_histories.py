"""Counts of the SLIs of all models, kept in memory as prefix sums for the clock.

They are read from the summaries when a process begins. Every ten seconds the rows of the
hours that changed are read, of many models in one statement: the hour of the newest event, and
those that a fold has marked as changed late. Nothing is lost with the process.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from time import monotonic
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session

from core.durations import DAY, HOUR
from core.schema.rows import Kind
from core.window import Window
from db.queries import slo_corrections, summary_rows
from db.queries.log import late_hours, unfolded
from db.queries.log.late_hours import ALL_HOURS
from db.tables import Model
from monitors.slo import sli
from monitors.slo.cells import SLICE, CellCounts, merged
from monitors.slo.history import EMPTY, MEDIUM, History, slice_at
from monitors.slo.objective import Method
from monitors.slo.reading import SliReading
from monitors.slo.sli import SliUnit
from monitors.sources import SliSlices
from monitors.summaries.summary import chunk_at, chunk_start
from services.aggregation import segments
from services.evaluation.by_clock.sli_rows import (
    Rows,
    by_model,
    counting,
    history,
    open_hour,
    pins,
    streams,
)
from services.platform_faults.outage import is_outage

log = logging.getLogger(__name__)

MODELS_AT_ONCE = 500  # in one statement
# In one call, then others get their turn: for how long whole histories are read, of how many.
LOADED_FOR, LOADED_AT_LEAST = timedelta(seconds=0.5), 5
_PARTS = 3 * DAY + HOUR  # how long versions and segments are kept apart
_OF_PARTS = _PARTS // SLICE
_GROWN = 360  # parts since a history was last coarsened


@dataclass(slots=True)
class _Kept:
    """Histories by one SLI with its parameters.

    Attributes
    ----------
    segments
        By place, which `label` names.
    n
        Parts of the total when it was last coarsened.
    n_failed
        Predictions of the hours read last on which the SLI failed.
    error
        Why it cannot be counted.
    """

    source: SliSlices
    total: History = EMPTY
    versions: dict[str, History] = field(default_factory=dict)
    segments: dict[int, History] = field(default_factory=dict)
    n: int = 0
    n_failed: int = 0
    label: Callable[[int], str] = str
    error: Exception | None = None


@dataclass(slots=True)
class _OfModel:
    """What is kept of one model.

    Attributes
    ----------
    folded
        The last folded group when it was read.
    open_hour
        That of the newest event then: it is read again.
    rev
        Another one after each change.
    late
        Hours that changed late, each with its revision.
    corrections
        By monitor.
    """

    wanted: frozenset[SliSlices]
    corrections: Mapping[UUID, list[Window]]
    late: dict[datetime, int]
    folded: int = -1
    open_hour: datetime | None = None
    kept: dict[SliSlices, _Kept] = field(default_factory=dict)
    pins: tuple[int, ...] = ()
    rev: int = 0

    def is_outdated(
        self,
        model: Model,
        wanted: Iterable[SliSlices],
        corrections: Mapping[UUID, list[Window]],
        late: Mapping[datetime, int],
    ) -> bool:
        """Return whether the whole history must be read again."""
        is_failed = any(kept.error is not None for kept in self.kept.values())
        return (
            self.wanted != frozenset(wanted)
            or self.corrections != corrections
            or self.late.get(ALL_HOURS) != late.get(ALL_HOURS)
            or (self.open_hour is None and model.watermark is not None)
            or (is_failed and self.open_hour != open_hour(model))
        )

    def changed(self, late: Mapping[datetime, int]) -> list[datetime]:
        """Return the hours before the open one that changed since they were read."""
        assert self.open_hour is not None
        return [
            at for at, rev in late.items() if at < self.open_hour and self.late.get(at) != rev
        ]


class SliHistories:
    """Counts by SLI of the models that this process evaluates."""

    def __init__(self) -> None:
        self._models: dict[UUID, _OfModel] = {}
        self._revs = count()

    @property
    def n_bytes(self) -> int:
        """Of memory, of all histories; one that several SLOs share counts once."""
        own = {
            id(one): one.n_bytes
            for model in self._models.values()
            for kept in model.kept.values()
            for one in (kept.total, *kept.versions.values(), *kept.segments.values())
        }
        return sum(own.values())

    def keep(self, model_ids: Iterable[UUID]) -> None:
        """Forget all models but these."""
        wanted = {*model_ids}
        self._models = {of: one for of, one in self._models.items() if of in wanted}

    def refresh(
        self,
        session: Session,
        models: Mapping[UUID, Model],
        wanted: Mapping[UUID, set[SliSlices]],
    ) -> set[UUID]:
        """Read what has changed since the last call, of these models.

        Of those that are new, or that ask for more, the whole history is read, for half a
        second in each call.

        Parameters
        ----------
        session
            The open transaction.
        models
            By id.
        wanted
            What the SLOs of each read.

        Returns
        -------
        set
            The models that are left, to be read in the next call.
        """
        positions = unfolded.folded(session, [(of, kind) for of in wanted for kind in Kind])
        folded = {of: sum(positions[of, kind] for kind in Kind) for of in wanted}
        late = late_hours.of_models(session, wanted)
        corrections = slo_corrections.of_models(session, wanted)
        hours: dict[datetime, list[UUID]] = defaultdict(list)
        whole: list[UUID] = []
        for model_id, sources in wanted.items():
            known, n = self._models.get(model_id), folded[model_id]
            if known is None or known.is_outdated(
                models[model_id], sources, corrections[model_id], late[model_id]
            ):
                whole.append(model_id)
            elif known.folded != n and known.open_hour is not None:
                for hour in {known.open_hour, *known.changed(late[model_id])}:
                    hours[hour].append(model_id)
                known.late = late[model_id]
        self._update(session, models, hours)
        until, read = monotonic() + LOADED_FOR.total_seconds(), list[UUID]()
        left = set(whole)
        for model_id in whole:
            if len(read) >= LOADED_AT_LEAST and monotonic() > until:
                break
            left.discard(model_id)
            one = _OfModel(frozenset(wanted[model_id]), corrections[model_id], late[model_id])
            try:
                _load(session, models[model_id], one)
            except Exception as error:  # the other models are read all the same
                if is_outage(error):
                    raise
                log.exception("model %s: the counts of its SLIs cannot be read", model_id)
                continue
            self._models[model_id] = one
            read.append(model_id)
        for model_id in {*read, *(of for own in hours.values() for of in own)}:
            self._models[model_id].folded = folded[model_id]
            self._models[model_id].open_hour = open_hour(models[model_id])
            self._models[model_id].rev = next(self._revs)
        return left

    def is_read(self, model_id: UUID, source: SliSlices) -> bool:
        """Return whether the history of a source is there."""
        known = self._models.get(model_id)
        return known is not None and source in known.kept

    def reading(
        self, model: Model, monitor_id: UUID, source: SliSlices, now: datetime
    ) -> SliReading:
        """Return what an SLO reads; whatever its SLI raised, it raises.

        Parameters
        ----------
        model, source
            Of which a history is there.
        monitor_id
            Whose corrections count.
        now
            Wall time.
        """
        one = self._models[model.id]
        kept = one.kept[source]
        if kept.error is not None:
            raise kept.error
        newest = None if model.watermark is None else model.watermark + timedelta.resolution
        return SliReading(
            total=kept.total,
            newest=None if newest is None else min(newest, now),
            now=now,
            versions=kept.versions,
            segments={kept.label(place): own for place, own in kept.segments.items()}
            if source.by_segment
            else {},
            corrections=one.corrections.get(monitor_id, ()),
            n_failed=kept.n_failed,
            rev=one.rev,
        )

    def _update(
        self,
        session: Session,
        models: Mapping[UUID, Model],
        hours: Mapping[datetime, list[UUID]],
    ) -> None:
        """Read hours again: of the newest event also what has come since."""
        for hour, of_hour in hours.items():
            is_open = [of for of in of_hour if self._models[of].open_hour == hour]
            is_late = [of for of in of_hour if self._models[of].open_hour != hour]
            for ids, end in ((is_open, None), (is_late, hour + HOUR)):
                for first in range(0, len(ids), MODELS_AT_ONCE):
                    some = ids[first : first + MODELS_AT_ONCE]
                    sources = (one for of in some for one in self._models[of].wanted)
                    found = summary_rows.since(session, some, streams(sources), hour, end)
                    rows = by_model(found)
                    bounds = slice_at(hour), None if end is None else slice_at(end)
                    for model_id in some:
                        own = rows.get(model_id, Rows())
                        _replace(session, models[model_id], self._models[model_id], own, bounds)


def _load(session: Session, model: Model, one: _OfModel) -> None:
    """Read the whole history of a model."""
    rows = Rows()
    if model.watermark is not None and one.wanted:
        back = max(source.back for source in one.wanted) + HOUR
        first = chunk_start(chunk_at(model.watermark - back))
        found = summary_rows.since(session, [model.id], streams(one.wanted), first)
        rows = by_model(found).get(model.id, rows)
        one.pins = pins(model, one.wanted, one.corrections)
    alike: dict[SliSlices, list[SliSlices]] = defaultdict(list)
    for source in one.wanted:
        alike[counting(source)].append(source)
    for sources in alike.values():
        longest = max(source.back for source in sources)
        by_segment = any(source.by_segment for source in sources)
        kept = _Kept(replace(sources[0], back=longest, by_segment=by_segment))
        _replace_one(session, model, one, kept, rows, None)
        one.kept |= dict.fromkeys(sources, kept)


def _replace(
    session: Session,
    model: Model,
    one: _OfModel,
    rows: Rows,
    bounds: tuple[int, int | None],
) -> None:
    for kept in {id(kept): kept for kept in one.kept.values()}.values():
        if kept.error is None:
            _replace_one(session, model, one, kept, rows, bounds)


def _replace_one(
    session: Session,
    model: Model,
    one: _OfModel,
    kept: _Kept,
    rows: Rows,
    bounds: tuple[int, int | None] | None,
) -> None:
    """Put what rows hold in the place of what is between two slices, or of all."""
    try:
        kind = sli.find(kept.source.sli)
        if bounds is not None or not _fill_by_hour(model, one, kept, rows):
            _fill(kept, rows.of(kind), bounds)
        if kept.source.by_segment:
            kept.label = segments.label(session, model.id, model.contract)
        if kept.total.ends.size > kept.n + _GROWN:
            _coarsen(one, kept)
    except Exception as error:
        if is_outage(error):
            raise
        log.exception("model %s: SLI %s cannot be counted", model.id, kept.source.sli)
        kept.error = error


def _fill_by_hour(model: Model, one: _OfModel, kept: _Kept, rows: Rows) -> bool:
    """Read a long history whose old hours are whole from the start, as it is kept in the end.

    Returns
    -------
    bool
        False where that would be another history: slices of time count by what is in each, a
        short history keeps all its slices, and its newest event may be old.
    """
    kind, source = sli.find(kept.source.sli), kept.source
    is_summed = source.method is Method.OCCURRENCES and kind.unit is not SliUnit.TIME_SLICES
    if not is_summed or model.watermark is None:
        return False
    until = slice_at(chunk_start(chunk_at(model.watermark - MEDIUM - HOUR)))
    _fill(kept, rows.by_hour(kind, until, one.pins), None)
    total = kept.total
    return total.ends.size > _GROWN and total.end - (MEDIUM + HOUR) // SLICE >= until


def _fill(
    kept: _Kept, counts: Mapping[str, CellCounts], bounds: tuple[int, int | None] | None
) -> None:
    source = kept.source

    def put(before: History, new: History) -> History:
        if bounds is None:
            return new
        first, end = bounds
        return before.replaced(first, max(before.end, first) + 1 if end is None else end, new)

    new = {version: history(own, source) for version, own in counts.items()}
    every = merged([*counts.values()])
    together = next(iter(new.values())) if len(new) == 1 else history(every, source)
    kept.total = put(kept.total, together)
    names = {*kept.versions, *new}
    if len(names) == 1:
        kept.versions = dict.fromkeys(names, kept.total)
    else:
        kept.versions = {
            name: put(kept.versions.get(name, EMPTY), new.get(name, EMPTY)) for name in names
        }
    if source.by_segment:
        for place in {*kept.segments, *np.unique(every.places).tolist()}:
            part = history(every.of_place(place), source)
            kept.segments[place] = put(kept.segments.get(place, EMPTY), part)
    if every.keys.size:
        every = every.within(Window(every.last + SLICE - DAY, every.last + SLICE))
    kept.n_failed = every.n_failed


def _coarsen(one: _OfModel, kept: _Kept) -> None:
    total = kept.total.coarsened(kept.source.back + HOUR, one.pins)
    kept.versions = {
        name: total if own is kept.total else own.coarsened(_PARTS)
        for name, own in kept.versions.items()
    }
    kept.versions = {
        name: own for name, own in kept.versions.items() if own.end > total.end - _OF_PARTS
    }
    kept.segments = {place: own.coarsened(_PARTS) for place, own in kept.segments.items()}
    kept.total, kept.n = total, total.ends.size
