"""Explanation by features: changes of the implicated features, from summaries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import numpy as np

from core.schema.contract import Contract
from core.schema.feature import Dtype, Feature, Sensitivity
from core.window import Window
from monitors.baselines.segments import feature_of, segment_of
from monitors.detail import ImplicatedFeature
from monitors.explanation import contributions
from monitors.explanation.contributions import Parts
from monitors.finding import as_json
from monitors.statistics import all_distances
from monitors.summaries.hourly import HOURS
from monitors.summaries.input_history import InputHistory
from monitors.summaries.summary import N_MISSING, Floats, N, Summary, chunk_at, chunk_start
from monitors.summaries.totals import totals

SHOWN = 3  # features with their distribution, hours and days; the others have figures
LISTED = 40  # features of one finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar of a distribution: shares of the values, None of an empty window.

    `low` and `high` are None for a category, whose name is `label`.
    """

    label: str = ""
    low: float | None = None
    high: float | None = None
    current: float | None
    reference: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """One hour of the day (UTC): means, values per day, and its part in what the mean moved."""

    hour: int
    mean: float | None
    reference_mean: float | None
    per_day: float | None
    reference_per_day: float | None
    moved: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One event day, and its part in what the mean moved; None outside of the window."""

    day: date
    n: int
    mean: float | None
    moved: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureMoved:
    """One feature in the window of a finding, and in the reference.

    Attributes
    ----------
    unit
        Of everything that has one, as the contract declares it.
    sensitivity
        What became of its values before anything was stored.
    score, effect, view, views, message
        From the finding; `views` holds the score in each view.
    moved, moved_sd
        The difference of the means, in the unit and in standard deviations of
        the reference.
    distances
        As those of drift.
    """

    name: str
    unit: str = ""
    is_category: bool = False
    sensitivity: Sensitivity = Sensitivity.NONE
    score: float | None = None
    effect: float | None = None
    view: str | None = None
    views: dict[str, float | None] = field(default_factory=dict)
    message: str = ""
    n: int = 0
    n_reference: int = 0
    missing: float | None = None
    reference_missing: float | None = None
    mean: float | None = None
    reference_mean: float | None = None
    moved: float | None = None
    moved_sd: float | None = None
    sd: float | None = None
    reference_sd: float | None = None
    low: float | None = None
    high: float | None = None
    reference_low: float | None = None
    reference_high: float | None = None
    distances: dict[str, float | None] = field(default_factory=dict)
    bars: tuple[Bar, ...] = ()
    hours: tuple[Hour, ...] = ()
    days: tuple[Day, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What there is to compare; all on one set of edges.

    Attributes
    ----------
    window
        That of the finding.
    lead
        From some time before the change to the end of the window.
    recent
        Summaries of the lead.
    reference
        Summaries of the reference; None where there is none.
    by_hour
        Whether the summaries distinguish the hours of a day.
    """

    contract: Contract
    window: Window
    lead: Window
    recent: InputHistory
    reference: InputHistory | None
    by_hour: bool = True


def moves(material: Material, names: Sequence[ImplicatedFeature]) -> tuple[FeatureMoved, ...]:
    """Return what moved, in the order of the names; the first of them in full."""
    known = {feature.name: feature for feature in material.contract.kept}
    for each in names:
        whole = feature_of(each.feature)
        if each.feature not in known and whole in known:
            known[each.feature] = known[whole]
    declared = [_declared(each, known.get(each.feature)) for each in names[:LISTED]]
    edges = material.recent.edges
    if edges.values.shape[-1] == 0:  # no input was ever summarised
        return tuple(declared)
    current = material.recent.within(material.window).summary
    baseline = None if material.reference is None else material.reference.summary
    if baseline is None:
        baseline = replace(current, chunks=current.chunks[:0], moments=current.moments[:0],
                        counts=current.counts[:0])  # fmt: skip
    pair = _Pair(material, current, baseline)
    places = {name: i for i, name in enumerate(edges.names)}
    return tuple(
        pair.measured(each, places[each.name], in_full=rank < SHOWN)
        if each.name in places and each.name in known
        else each
        for rank, each in enumerate(declared)
    )


def farthest(
    now: InputHistory, baseline: InputHistory | None, segment: str = ""
) -> tuple[ImplicatedFeature, ...]:
    """Name the numbers of the input, those first whose values moved farthest.

    Parameters
    ----------
    now, baseline
        The window, and the reference if there is one.
    segment
        Only those of this segment; all if empty.
    """
    if baseline is None or now.edges.values.shape[-1] == 0:
        return ()
    known = {name: i for i, name in enumerate(baseline.edges.names)}
    names = {now.edges.names[i]: i for i in now.measured if now.edges.names[i] in known}
    places = {n: i for n, i in names.items() if not segment or segment_of(n) == segment}
    edges, current = now.of([*places.values()])
    _, before = baseline.of([known[name] for name in places])
    apart = all_distances.between(totals(current), totals(before), edges).wasserstein_normed
    far = np.where(np.isfinite(apart), apart, -1.0)
    return tuple(
        ImplicatedFeature(feature=edges.names[i]) for i in np.argsort(-far, kind="stable")
    )


def _declared(named: ImplicatedFeature, feature: Feature | None) -> FeatureMoved:
    declared = FeatureMoved(
        name=named.feature,
        score=named.score,
        effect=named.effect,
        view=named.view,
        views=dict(named.views),
        message=named.message,
    )
    if feature is None:
        return declared
    return replace(
        declared,
        unit=feature.unit,
        is_category=feature.dtype is Dtype.CATEGORY,
        sensitivity=feature.sensitivity,
    )


class _Pair:
    """Window and reference, side by side."""

    def __init__(self, material: Material, current: Summary, baseline: Summary) -> None:
        self._material = material
        self._current, self._baseline = current, baseline
        self._edges = material.recent.edges
        self._now, self._before = totals(current), totals(baseline)
        self._apart = all_distances.between(self._now, self._before, self._edges)

    def measured(self, declared: FeatureMoved, at: int, *, in_full: bool) -> FeatureMoved:
        """Add the figures of one feature; distribution, hours and days where it is shown."""
        n, missing = _counted(self._current, at)
        n_reference, reference_missing = _counted(self._baseline, at)
        found = replace(
            declared,
            n=n,
            n_reference=n_reference,
            missing=missing,
            reference_missing=reference_missing,
        )
        if not declared.is_category:
            found = self._with_moments(found, at)
        if not in_full:
            return found
        if declared.is_category:
            return replace(found, bars=self._categories(at))
        hours = self._hours(at) if self._material.by_hour else ()
        return replace(found, bars=self._bars(at), hours=hours, days=self._days(at))

    def _with_moments(self, found: FeatureMoved, at: int) -> FeatureMoved:
        now, before = self._now, self._before
        moved = as_json(now.mean[at] - before.mean[at])
        spread = before.sd[at]
        apart = self._apart.to_json(at) if found.n and found.n_reference else {}
        return replace(
            found,
            mean=as_json(now.mean[at]),
            reference_mean=as_json(before.mean[at]),
            moved=moved,
            moved_sd=None if moved is None or not spread > 0 else as_json(moved / spread),
            sd=as_json(now.sd[at]),
            reference_sd=as_json(before.sd[at]),
            low=as_json(now.low[at]),
            high=as_json(now.high[at]),
            reference_low=as_json(before.low[at]),
            reference_high=as_json(before.high[at]),
            distances={name: _float(value) for name, value in apart.items()},
        )

    def _bars(self, at: int) -> tuple[Bar, ...]:
        if not self._now.counts[at].any() and not self._before.counts[at].any():
            return ()
        both = contributions.bars(self._now, self._before, self._edges, at)
        return tuple(
            Bar(
                low=float(both.borders[i]),
                high=float(both.borders[i + 1]),
                current=as_json(both.current[i]),
                reference=as_json(both.reference[i]),
            )
            for i in range(len(both.current))
        )

    def _categories(self, at: int) -> tuple[Bar, ...]:
        codes, now, before = contributions.category_shares(self._now, self._before, at)
        name_of = _texts(self._material.contract, self._edges.names[at])
        return tuple(
            Bar(
                label=name_of.get(int(code), f"code {code}"),
                current=as_json(now[i]),
                reference=as_json(before[i]),
            )
            for i, code in enumerate(codes)
        )

    def _hours(self, at: int) -> tuple[Hour, ...]:
        now, before = (
            contributions.by_hour(one, at) for one in (self._current, self._baseline)
        )
        moved = contributions.parts_moved(now, before)
        return tuple(
            Hour(
                hour=hour,
                mean=as_json(now.mean[hour]),
                reference_mean=as_json(before.mean[hour]),
                per_day=_per_day(now, hour),
                reference_per_day=_per_day(before, hour),
                moved=as_json(moved[hour]),
            )
            for hour in range(HOURS)
        )

    def _days(self, at: int) -> tuple[Day, ...]:
        lead, window = self._material.lead, self._material.window
        first, n_days = _day_of(lead), (lead.end - lead.start) // timedelta(days=1)
        days = contributions.by_day(self._material.recent.summary, at, first, n_days)
        inside = slice(_day_of(window) - first, None)
        within = Parts(n=days.n[inside], total=days.total[inside], n_days=0)
        moved: Floats = np.full(n_days, np.nan)
        moved[inside] = contributions.days_moved(
            within, contributions.by_hour(self._baseline, at)
        )
        return tuple(
            Day(
                day=chunk_start((first + i) * HOURS).date(),
                n=int(days.n[i]),
                mean=as_json(days.mean[i]),
                moved=as_json(moved[i]),
            )
            for i in range(n_days)
        )


def _texts(contract: Contract, name: str) -> Mapping[int, str]:
    """Return the texts of a closed vocabulary by their codes; none of what is sensitive."""
    [feature] = [each for each in contract.features if each.name == name]
    if feature.sensitivity is not Sensitivity.NONE:
        return {}
    return dict(enumerate(feature.vocabulary))


def _counted(window: Summary, at: int) -> tuple[int, float | None]:
    n, n_missing = window.moments[:, at][:, [N, N_MISSING]].sum(axis=0)
    return int(n), float(n_missing / (n + n_missing)) if n + n_missing > 0 else None


def _per_day(window: Parts, hour: int) -> float | None:
    return float(window.n[hour] / window.n_days) if window.n_days else None


def _day_of(window: Window) -> int:
    return chunk_at(window.start) // HOURS


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
