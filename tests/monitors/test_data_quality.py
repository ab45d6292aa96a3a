"""Facts about a day: each is seen, and quiet weeks are left in peace."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from core.window import Window
from monitors.data_quality import data_quality
from monitors.data_quality.baseline import DataQualityBaseline
from monitors.data_quality.flaws import DataQualityDetail, DataQualityParams, DayVolume
from monitors.false_alarms.warm_up import WarmingUp
from monitors.finding import Finding, Outcome
from monitors.registry import find
from monitors.summaries.daily import Daily, daily
from monitors.summaries.hourly import HOURS
from monitors.summaries.summary import Floats, chunk_at, freeze
from monitors.summaries.values import Column, summarise
from tests.monitors.streams import START, ar1, day, etth1, plant

PARAMS = DataQualityParams()
NAMES = ("load", "wind", "area")
N_DAYS = 28 * 7 + 5 * 7
TODAY = N_DAYS - 1  # a Tuesday


@dataclass(frozen=True, slots=True)
class Stream:
    """Values by hour and step, six a row: two numbers and a category."""

    values: Floats  # (feature, hour, step); NaN is missing, and so is an hour that is not sent
    sent: Floats  # (hour,) rows

    def days(self) -> Daily:
        """Summarise every day, as the way in does."""
        n_steps = self.values.shape[2]
        kept = np.repeat(self.sent > 0, n_steps)
        hours = np.repeat(np.arange(self.sent.size) + chunk_at(START), n_steps)[kept]
        flat = [feature.ravel()[kept] for feature in self.values]
        first = (np.arange(self.values[0].size) % n_steps == 0)[kept]
        edges = freeze(dict(zip(NAMES, flat, strict=False)), bins=30)
        columns = [
            Column(
                values=values,
                chunks=hours,
                repeats=np.r_[False, values[1:] == values[:-1]] & ~first,
            )
            for values in flat
        ]
        end = day(self.sent.size // HOURS)
        return daily(summarise(columns, edges), edges.names, START, end)


def ordinary(seed: int = 1, n_days: int = N_DAYS) -> Stream:
    """Office hours only for the area; one value in fifty is missing."""
    rng = np.random.default_rng(seed)
    n = n_days * HOURS
    season = np.sin(2 * np.pi * np.arange(n) / 24)[:, np.newaxis]
    values = np.empty((3, n, 6))
    values[0] = 400 + 100 * season + 20 * ar1(0.9, (n, 6), seed)
    values[1] = 8 + 2 * season + ar1(0.9, (n, 6), seed + 1)
    values[2] = rng.integers(0, 3, (n, 6))
    values[rng.random(values.shape) < 0.02] = np.nan
    hour = np.arange(n)
    closed = (hour % 24 < 8) | (hour % 24 > 17) | (hour // 24 % 7 > 4)
    values[2, closed] = np.nan
    return Stream(values=values, sent=np.ones(n))


def learnt(days: Daily, params: DataQualityParams = PARAMS) -> DataQualityBaseline:
    reference = days.until(days.first_day + 28 * 7, 28 * 7)
    found = data_quality.fit(reference, ("load", "wind"), params)
    assert isinstance(found, DataQualityBaseline)
    return found


def evaluated(stream: Stream, number: int = TODAY, volume: DayVolume | None = None) -> Finding:
    days = stream.days()
    window = Window(day(number), day(number + 1))
    rows = volume or DayVolume(n_rows=24, baseline=(24,) * 5)
    return data_quality.evaluate(
        learnt(days), days.until(days.first_day + number + 1, 36), rows, PARAMS, window
    )


def facts(finding: Finding) -> set[tuple[str, str | None]]:
    assert isinstance(finding.detail, DataQualityDetail)
    return {(flaw.fact, flaw.feature) for flaw in finding.detail.flaws}


@pytest.fixture(scope="module")
def quiet() -> Stream:
    return ordinary()


Change = Callable[[Stream, slice], None]
LAST = slice(TODAY * HOURS, N_DAYS * HOURS)


def _gone(stream: Stream, hours: slice) -> None:
    stream.values[0, hours][:, ::2] = np.nan


def _stopped(stream: Stream, hours: slice) -> None:
    stream.values[1, hours.start + 10 : hours.stop] = np.nan


def _silent(stream: Stream, hours: slice) -> None:
    stream.sent[hours.start + 8 : hours.start + 14] = 0


def _still(stream: Stream, hours: slice) -> None:
    stream.values[1, hours] = np.where(np.isnan(stream.values[1, hours]), np.nan, 7.5)


def _far(stream: Stream, hours: slice) -> None:
    stream.values[0, hours.start + 3, 2] = -9999.0


def _moon(stream: Stream, hours: slice) -> None:
    stream.values[2, hours.start + 8 : hours.start + 12] = 7.0


FAULTS = [
    pytest.param(_gone, ("missing", "load"), "load: 5", id="half of the values are missing"),
    pytest.param(_stopped, ("gap", "wind"), "in 14 h", id="a feature stops"),
    pytest.param(_silent, ("gap", "load"), "in 6 h", id="no row for six hours"),
    pytest.param(
        _still, ("constant", "wind"), "wind: constant all day", id="a sensor that is stuck"
    ),
    pytest.param(
        _far, ("beyond", "load"), "times the reference range", id="one value far away"
    ),
    pytest.param(
        _moon, ("new_category", "area"), "unknown to the reference", id="a category that is new"
    ),
]


@pytest.mark.parametrize(("change", "fact", "words"), FAULTS)
def test_a_fault_of_one_day_is_named(change: Change, fact: tuple[str, str], words: str) -> None:
    stream = ordinary()
    change(stream, LAST)
    finding = evaluated(stream)
    assert finding.outcome is Outcome.BREACH
    assert fact in facts(finding)
    assert words in finding.cause
    assert finding.value is not None
    assert finding.value > 1


def test_a_day_like_the_others_is_no_fault(quiet: Stream) -> None:
    finding = evaluated(quiet)
    assert (finding.outcome, finding.cause, facts(finding)) == (Outcome.OK, "", set())
    assert finding.value is not None
    assert 0 < finding.value <= 1


ARRIVALS = [
    pytest.param({}, None, id="as the baseline"),
    pytest.param({"n_rows": 2_000}, None, id="doubled volume"),
    pytest.param({"n_rows": 500}, None, id="half of it, on a holiday"),
    pytest.param({"n_rows": 4_100}, "4100 rows, baseline 1002", id="four times as many"),
    pytest.param({"n_rows": 200}, "200 rows, baseline 1002", id="a fifth"),
    pytest.param(
        {"n_rows": 9_000, "baseline": (1_000, 0, 0)}, None, id="too few weeks for a baseline"
    ),
    pytest.param({"n_duplicates": 5}, None, id="few that came twice"),
    pytest.param({"n_duplicates": 30}, "3.0% of the rows are duplicates", id="many"),
    pytest.param({"refused": {"range": 30}}, "2.9% of the rows refused: out", id="range"),
    pytest.param({"refused": {"vocabulary": 30}}, "unknown category", id="vocabulary"),
    pytest.param({"refused": {"type": 30}}, "wrong type", id="type"),
    pytest.param({"refused": {"missing": 8, "not_finite": 8}}, "missing", id="absent or NaN"),
    pytest.param({"refused": {"range": 6, "type": 6}}, None, id="few of each"),
    pytest.param({"refused": {"contract": 500}}, None, id="taken, under another contract"),
]


@pytest.mark.parametrize(("change", "words"), ARRIVALS)
def test_rows_are_held_to_numbers(
    quiet: Stream, change: dict[str, object], words: str | None
) -> None:
    baseline = {"n_rows": 1_000, "baseline": (1_000, 990, 1_010, 1_005, 0)}
    finding = evaluated(quiet, volume=DayVolume(**(baseline | change)))  # type: ignore[arg-type]
    if words is None:
        assert finding.outcome is Outcome.OK, finding.cause
    else:
        assert finding.outcome is Outcome.BREACH
        assert words in finding.cause


def test_a_day_without_rows_is_a_fault_where_rows_are_normal(quiet: Stream) -> None:
    quiet = replace(quiet, sent=quiet.sent.copy())
    quiet.sent[LAST] = 0
    finding = evaluated(quiet, volume=DayVolume(n_rows=0, baseline=(24,) * 5))
    assert finding.outcome is Outcome.BREACH
    assert "0 rows, baseline 24" in finding.cause
    assert ("gap", "load") in facts(finding)


def test_a_feature_that_died_stays_dead_however_long() -> None:
    """Weeks of silence do not become a habit."""
    died = N_DAYS - 30
    stream = ordinary()
    stream.values[1, died * HOURS :] = np.nan
    days = stream.days()
    baseline = learnt(days)
    for number in range(died, N_DAYS):
        recent = days.until(days.first_day + number + 1, 36)
        window = Window(day(number), day(number + 1))
        rows = DayVolume(n_rows=24, baseline=(24,) * 5)
        finding = data_quality.evaluate(baseline, recent, rows, PARAMS, window)
        assert ("gap", "wind") in facts(finding), number


def test_a_stream_that_now_keeps_office_hours_is_soon_taken_as_such() -> None:
    stream = ordinary()
    began = 28 * 7
    hour = np.arange(N_DAYS * HOURS)
    stream.sent[(hour >= began * HOURS) & ((hour % 24 < 8) | (hour % 24 > 17))] = 0
    first = evaluated(stream, began)
    assert ("gap", "load") in facts(first)
    later = evaluated(stream, began + 8)
    assert later.outcome is Outcome.OK, later.cause


def test_without_enough_reference_features_are_not_evaluated(quiet: Stream) -> None:
    days = quiet.days()
    short = days.until(days.first_day + 18, 18)
    found = data_quality.fit(short, ("load",), PARAMS)
    assert found == WarmingUp(n_windows=18, window_days=1)
    window = Window(day(TODAY), day(N_DAYS))
    for baseline, words in ((found, "18 of 19 windows"), (None, "no reference")):
        calm = data_quality.evaluate(baseline, days, DayVolume(n_rows=24), PARAMS, window)
        assert calm.outcome is Outcome.NO_DATA
        assert words in calm.cause
        twice = DayVolume(n_rows=24, n_duplicates=20)
        loud = data_quality.evaluate(baseline, days, twice, PARAMS, window)
        assert loud.outcome is Outcome.BREACH


def test_retraining_heals_no_data() -> None:
    kind = find("data_quality")
    assert (kind.may_retrain, kind.severity) == (False, "ticket")


def as_stream(values: Floats) -> Daily:
    """One value an hour of each feature; NaN is missing."""
    n, names = len(values), tuple(f"f{i}" for i in range(values.shape[1]))
    hours = np.arange(n) + chunk_at(START)
    edges = freeze(dict(zip(names, values.T, strict=True)))
    still = np.zeros(n, dtype=np.bool_)
    columns = [Column(values=v, chunks=hours, repeats=still) for v in values.T]
    return daily(summarise(columns, edges), names, START, START + timedelta(hours=n))


def breaches(days: Daily, reference_days: int) -> list[tuple[int, str]]:
    """Evaluate every day after the reference."""
    reference = days.until(days.first_day + reference_days, reference_days)
    baseline = data_quality.fit(reference, days.names, PARAMS)
    found = []
    for number in range(reference_days, len(days)):
        recent = days.until(days.first_day + number + 1, 36)
        window = Window(day(number), day(number + 1))
        finding = data_quality.evaluate(baseline, recent, DayVolume(n_rows=1), PARAMS, window)
        if finding.outcome is Outcome.BREACH:
            found.append((number, finding.cause))
    return found


def with_holes(values: Floats, rate: float, seed: int) -> Floats:
    """Lose values, and whole stretches of three hours now and then."""
    rng = np.random.default_rng(seed)
    holes = rng.random(values.shape) < rate
    starts = np.flatnonzero(rng.random(len(values)) < rate / 6)
    for start in starts:
        holes[start : start + 3, rng.integers(values.shape[1])] = True
    return np.where(holes, np.nan, values)


def in_quiet_years(rate: float, n_streams: int) -> int:
    """Count the false alarms in 52 quiet weeks after 52, for each of some streams."""
    n = 0
    for seed in range(n_streams):
        values = with_holes(plant(104 * 7, seed=seed), rate, seed)
        n += len(breaches(as_stream(values), 52 * 7))
    return n


def test_quiet_weeks_keep_the_promise() -> None:
    """One false alarm in 365 days is promised; five in two years have a chance of 5 %."""
    assert in_quiet_years(0.05, n_streams=2) <= 4


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.0, 0.01, 0.05, 0.2])
def test_quiet_years_keep_the_promise(rate: float) -> None:
    """Where ten alarms are promised, sixteen have a chance of 5 %."""
    assert in_quiet_years(rate, n_streams=10) <= 15


def test_what_is_real_and_quiet_is_left_in_peace() -> None:
    """ETTh1 has no missing hours: 130 days after 350, in which the world did change."""
    found = breaches(as_stream(etth1()), 350)
    assert len(found) <= 1, found


@pytest.mark.parametrize("share", [0.35, 0.6])
def test_missing_values_are_found_the_day_they_go(share: float) -> None:
    n_found = 0
    for seed in range(10):
        values = with_holes(plant(371, seed=seed), 0.02, seed)
        rng = np.random.default_rng(100 + seed)
        values[-HOURS:, 2][rng.random(HOURS) < share] = np.nan
        n_found += any(at == 370 for at, _ in breaches(as_stream(values), 364))
    assert n_found >= 9


def test_a_limit_of_none_is_no_limit() -> None:
    for name in ("min_missing", "max_refused", "days_between_false_alarms"):
        of_none: dict[str, Any] = {name: 0.0}
        with pytest.raises(ValueError, match=f"{name} must be positive"):
            DataQualityParams(**of_none)
    with pytest.raises(ValueError, match="more than 1"):
        DataQualityParams(max_volume_ratio=0.5)
    with pytest.raises(ValueError, match="must be positive"):
        DataQualityParams(max_beyond=math.nan)
