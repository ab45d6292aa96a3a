"""Input health: is every input alive and plausible, grain by grain?

What a healthy input does is taken from the days before: how long it has gone without a
value, how long it has stood still, and between which bounds its mean and its spread moved.
A fault is what goes well beyond all of it for two grains or more, so that an outlier is
none. There is no null distribution in this: limits are multiples of the extremes that were
seen, and the rate of false alarms is measured (docs/monitors.md).
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

import numpy as np

from core.window import Window
from monitors.baselines.daily_evaluations import no_data
from monitors.detail import Detail, ImplicatedFeature, each_once
from monitors.finding import Finding, as_json, in_words
from monitors.summaries.grains import Grains
from monitors.summaries.summary import Bools, Floats, Ints

FEWEST = 60  # grains with rows, before absence and standstill mean anything
_SPREAD_FROM = 5  # values of a grain, before its spread means anything
_MAX_NAMED = 3  # in the sentence for people; the detail has all


class InputFaultKind(StrEnum):
    """What is wrong with an input."""

    MISSING = "missing"
    STUCK = "stuck"
    INCOMPLETE = "incomplete"
    OUT_OF_RANGE = "out_of_range"
    SPREAD = "spread"


_MESSAGES = {
    InputFaultKind.MISSING: "{name}: missing for {lasts}, longest before {longest}",
    InputFaultKind.STUCK: "{name}: stuck for {lasts}, longest before {longest}",
    InputFaultKind.INCOMPLETE: "{name}: {value:.0%} missing, at most {high:.0%} before",
    InputFaultKind.OUT_OF_RANGE: "{name}: mean {value:.4g} outside {low:.4g} to {high:.4g}",
    InputFaultKind.SPREAD: "{name}: SD {value:.3g} outside {low:.3g} to {high:.3g}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class InputHealthParams:
    """Parameters of `input_health`.

    Attributes
    ----------
    grains
        Consecutive grains after which a fault is one, at least 2.
    beyond
        How far a mean may lie outside of the range of the days before, as a multiple of it.
    spread_ratio
        How many times as large, or as small, as any before the spread may be.
    longer
        How many times as long as ever before an input may be absent or stand still.
    more_missing
        How much larger than ever before the share of missing values of a grain may be.
    """

    grains: int = 2
    beyond: float = 1.0
    spread_ratio: float = 3.0
    longer: float = 2.0
    more_missing: float = 0.2

    def __post_init__(self) -> None:
        if self.grains < 2:
            raise ValueError("grains must be at least 2")
        if not (self.beyond > 0 and self.spread_ratio > 1 and self.longer >= 1):
            raise ValueError("beyond must be positive, spread_ratio over 1, longer at least 1")
        if not self.more_missing > 0:
            raise ValueError("more_missing must be positive")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InputHealthBaseline:
    """What inputs did in the days before, each (feature,).

    Attributes
    ----------
    missing, still
        The longest runs of grains without a value, and without a movement.
    share
        The largest share of missing values of a grain; NaN where it is not known yet.
    low, high, sd_low, sd_high
        The extremes of mean and spread of a grain; NaN where they are not known yet.
    alive
        Features with a value, ever.
    """

    names: tuple[str, ...]
    missing: Ints
    still: Ints
    share: Floats
    low: Floats
    high: Floats
    sd_low: Floats
    sd_high: Floats
    alive: Bools


def fit(before: Grains, *, knows_a_day: bool = True) -> InputHealthBaseline | None:
    """Fit the baseline.

    Parameters
    ----------
    before
        Some days, without the grains that are evaluated.
    knows_a_day
        False leaves shares, mean and spread out: they move with the hours of the day.

    Returns
    -------
    InputHealthBaseline or None
        None while fewer than 60 grains have rows.
    """
    rows = _with_rows(before)
    if rows.size < FEWEST:
        return None
    there = before.n[rows] > 0
    unknown = np.full(len(before.names), np.nan)
    sd = np.where(before.n[rows] >= _SPREAD_FROM, before.sd[rows], np.nan)
    return InputHealthBaseline(
        names=before.names,
        missing=_longest(~there),
        still=_longest(_still(before, rows)),
        share=-_least(-_shares(before, rows)) if knows_a_day else unknown,
        low=_least(before.mean[rows]) if knows_a_day else unknown,
        high=-_least(-before.mean[rows]) if knows_a_day else unknown,
        sd_low=_least(sd) if knows_a_day else unknown,
        sd_high=-_least(-sd) if knows_a_day else unknown,
        alive=np.asarray(there.any(axis=0)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class InputHealthFault:
    """One input that is not healthy, since the start of a grain."""

    feature: str
    fact: InputFaultKind
    grains: int
    longest_before: int
    value: float | None = None
    low: float | None = None
    high: float | None = None

    def sentence(self, grain: timedelta) -> str:
        """Return what is wrong, for people."""
        return _MESSAGES[self.fact].format(
            name=self.feature,
            lasts=in_words(self.grains * grain),
            longest=in_words(self.longest_before * grain),
            value=self.value,
            low=self.low,
            high=self.high,
        )


class InputHealthDetail(Detail, frozen=True):
    """Inputs at fault."""

    input_faults: tuple[InputHealthFault, ...] = ()

    @property
    def implicated_features(self) -> tuple[ImplicatedFeature, ...]:
        """The inputs at fault."""
        return each_once((one.feature, one.fact.value) for one in self.input_faults)


def evaluate(
    baseline: InputHealthBaseline | None, recent: Grains, params: InputHealthParams
) -> Finding:
    """Evaluate the last grain, with those before it.

    Parameters
    ----------
    baseline
        From `fit`; None while it is warming up.
    recent
        The last of its grains is the one that is evaluated.
    params
        How much is too much.

    Returns
    -------
    Finding
        `value` is how many inputs are at fault, `threshold` 0. `NO_DATA` for a grain
        without rows, which is about no single input, and during the warm-up.
    """
    window = Window(recent.end - recent.grain, recent.end)
    rows = _with_rows(recent)
    if not recent.names:
        return no_data(window, "no input is a number")
    if baseline is None:
        return no_data(window, f"warming up: fewer than {FEWEST} grains")
    if not rows.size or rows[-1] != len(recent) - 1:
        return no_data(window, "no rows")
    faults = _faults(baseline, recent, rows, params)
    listed = "; ".join(fault.sentence(recent.grain) for fault in faults[:_MAX_NAMED])
    rest = len(faults) - _MAX_NAMED
    n = float(len({fault.feature for fault in faults}))
    cause = listed + (f"; and {rest} more" if rest > 0 else "")
    return Finding.of(n, 0.0, window, cause, InputHealthDetail(input_faults=tuple(faults)))


def _faults(
    known: InputHealthBaseline, recent: Grains, rows: Ints, params: InputHealthParams
) -> list[InputHealthFault]:
    there = recent.n[rows] > 0
    missing = _last_run(~there) * known.alive
    still = _last_run(_still(recent, rows))
    shares = _shares(recent, rows)
    incomplete = _last_run(shares > known.share + params.more_missing)
    mean, sd = recent.mean[rows], recent.sd[rows]
    reach = params.beyond * (known.high - known.low)
    beyond = (mean < known.low - reach) | (mean > known.high + reach)
    outside = _last_run(beyond & (known.high > known.low))
    sd_low, sd_high = known.sd_low / params.spread_ratio, known.sd_high * params.spread_ratio
    enough = recent.n[rows] >= _SPREAD_FROM
    anomalous = _last_run(((sd < sd_low) | (sd > sd_high)) & enough & (known.sd_high > 0))
    absent = np.maximum(params.grains, 1 + params.longer * known.missing)
    stands = np.maximum(params.grains, 1 + params.longer * known.still)
    found = []
    for i, name in enumerate(recent.names):
        longest, bounds = 0, (np.nan, np.nan, np.nan)
        if missing[i] >= absent[i]:
            fact, n, longest = InputFaultKind.MISSING, missing[i], int(known.missing[i])
        elif still[i] >= stands[i]:
            fact, n, longest = InputFaultKind.STUCK, still[i], int(known.still[i])
        elif incomplete[i] >= params.grains:
            fact, n = InputFaultKind.INCOMPLETE, incomplete[i]
            bounds = (shares[-1, i], 0.0, known.share[i])
        elif outside[i] >= params.grains:
            fact, n = InputFaultKind.OUT_OF_RANGE, outside[i]
            bounds = (mean[-1, i], known.low[i], known.high[i])
        elif anomalous[i] >= params.grains:
            fact, n = InputFaultKind.SPREAD, anomalous[i]
            bounds = (sd[-1, i], known.sd_low[i], known.sd_high[i])
        else:
            continue
        value, low, high = map(as_json, bounds)
        at = InputHealthFault(feature=name, fact=fact, grains=int(n), longest_before=longest)
        found.append(replace(at, value=value, low=low, high=high))
    return found


def _with_rows(grains: Grains) -> Ints:
    """Return the grains of which rows came: the silence of a whole model is no fault of one."""
    return np.flatnonzero(((grains.n + grains.n_missing) > 0).any(axis=1))


def _shares(grains: Grains, rows: Ints) -> Floats:
    """Return the share of missing values; NaN of too few values to tell, (grain, feature)."""
    n = (grains.n + grains.n_missing)[rows]
    enough, missing = n >= _SPREAD_FROM, grains.n_missing[rows]
    shares: Floats = np.divide(missing, n, out=np.full(n.shape, np.nan), where=enough)
    return shares


def _still(grains: Grains, rows: Ints) -> Bools:
    """Return which grains repeat the one value of the grain before, (grain, feature)."""
    low, high = grains.low[rows], grains.high[rows]
    same = np.zeros(low.shape, dtype=np.bool_)
    same[1:] = (low[1:] == high[1:]) & (low[1:] == high[:-1]) & (low[:-1] == high[:-1])
    return same


def _longest(flags: Bools) -> Ints:
    """Return the longest run of each column."""
    longest: Ints = np.max(_runs(flags), axis=0, initial=0)
    return longest


def _last_run(flags: Bools) -> Ints:
    """Return how long each column has been true at its end."""
    return _runs(flags)[-1] if len(flags) else np.zeros(flags.shape[1], dtype=np.int64)


def _runs(flags: Bools) -> Ints:
    """Return how long each column has been true, in each row."""
    place = np.arange(1, len(flags) + 1)[:, np.newaxis]
    last_false = np.maximum.accumulate(np.where(flags, 0, place), axis=0)
    runs: Ints = place - last_false
    return runs


def _least(values: Floats) -> Floats:
    """Return the least of each column, NaN of nothing."""
    least = np.min(values, axis=0, where=np.isfinite(values), initial=np.inf)
    return np.where(np.isfinite(least), least, np.nan)
