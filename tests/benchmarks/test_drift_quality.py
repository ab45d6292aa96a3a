"""The parts of the comparison: it must rank a good detector above a bad one."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import drift_quality
from benchmarks.quality import paths, scores, weeks
from benchmarks.quality.detectors import (
    Always,
    Coin,
    KolmogorovSmirnov,
    Never,
    Question,
    StabilityIndex,
    Weekly,
    peers_in_process,
)
from benchmarks.quality.faults import BENIGN, FAULTS, Fault, sensible, setting
from benchmarks.quality.ours import SeqwatchDrift, SeqwatchMeanShift, SeqwatchTemporalPattern
from benchmarks.quality.outside import outside
from benchmarks.quality.series import CONTEXT, DAY, LEAD, WEEK, ar1, bootstrap, plant
from monitors.summaries.summary import Floats

SERIES = plant(64, seed=3)
CHANGES = (*FAULTS, *BENIGN)
ALL_CHANGES = pytest.mark.parametrize("fault", CHANGES, ids=lambda fault: fault.name)


def changed(fault: Fault, strength: int, seed: int = 0) -> tuple[Floats, Floats]:
    """Return the hours of a sensor as they were, and with a fault in their last week."""
    around = setting(SERIES, 0, 0, LEAD, np.random.default_rng(seed))
    was = SERIES.values[:LEAD, 0]
    return was, fault.change(was, CONTEXT, fault.strengths[strength], around)


@ALL_CHANGES
@pytest.mark.parametrize("strength", [0, 1, 2])
def test_a_change_leaves_the_past_alone_and_changes_what_follows(
    fault: Fault, strength: int
) -> None:
    was, now = changed(fault, strength)
    assert now.shape == was.shape
    np.testing.assert_array_equal(now[:CONTEXT], was[:CONTEXT])
    assert not np.array_equal(now[CONTEXT:], was[CONTEXT:], equal_nan=True)


@ALL_CHANGES
def test_a_change_comes_from_its_seed_alone(fault: Fault) -> None:
    np.testing.assert_array_equal(changed(fault, 1, seed=5)[1], changed(fault, 1, seed=5)[1])


def test_shuffled_blocks_keep_every_value() -> None:
    (shuffle,) = (fault for fault in FAULTS if fault.name == "block shuffle")
    was, now = changed(shuffle, 1)
    np.testing.assert_array_equal(np.sort(now), np.sort(was))


def test_a_held_value_changes_every_third_hour_alone() -> None:
    (hold,) = (fault for fault in FAULTS if fault.name == "sample-and-hold")
    was, now = changed(hold, 1)
    np.testing.assert_array_equal(now[CONTEXT:], np.repeat(was[CONTEXT::3], 3))


def test_noise_has_no_faults_of_the_season() -> None:
    names = {fault.name for fault in sensible(ar1(0.5, WEEK, 1, 0))}
    assert "shift" in names
    assert not names & {"lag", "time zone", "season's amplitude"}


def test_redrawn_days_keep_their_hours_and_their_sensors_together() -> None:
    redrawn = bootstrap(SERIES, seed=1).values.reshape(-1, DAY, 3)
    days = SERIES.values.reshape(-1, DAY, 3)
    for at in (0, 100, len(days) - 1):
        same = np.flatnonzero((days == redrawn[at]).all(axis=(1, 2)))
        assert same.size == 1
        assert abs(int(same[0]) - at) <= 21


def test_a_week_left_out_is_no_part_of_its_own_reference() -> None:
    trials = weeks.one_week_out(SERIES, 1, corrupt_each=10**6, strengths=())
    for question in trials.questions[:6]:
        assert not (question.reference == question.trials[0]).all(axis=1).any()


@pytest.mark.parametrize(
    ("alarm", "n"),
    [
        pytest.param([True] * 30, 10, id="always is ten in thirty days"),
        pytest.param([False] * 30, 0, id="never is none"),
        pytest.param([True, True, False, False, True], 2, id="one silences two days"),
    ],
)
def test_counted_alarms(alarm: list[bool], n: int) -> None:
    assert scores.count(np.array(alarm)) == n


def test_a_delay_runs_from_the_hour_of_the_change() -> None:
    alarm = np.zeros((3, 14), dtype=bool)
    alarm[0, 0] = alarm[1, 2] = True
    late = scores.delays(alarm, np.array([12.0, 0.0, 6.0]))
    np.testing.assert_allclose(late, [0.5, 3.0, scores.D_MAX])


def test_the_area_of_an_oracle_is_small_and_of_a_blind_one_is_one() -> None:
    rng = np.random.default_rng(2)
    quiet, phase = [rng.random((1, 400))], [np.zeros(20)]
    curve = scores.operating(quiet)
    seen = [np.full((20, 14), 2.0)]
    blind = [np.full((20, 14), -1.0)]
    coin = [rng.random((20, 14))]
    areas = [scores.amoc(curve, one, phase) for one in (seen, coin, blind)]
    assert areas[0] == pytest.approx(1 / 14)
    assert areas[0] < areas[1] < areas[2]
    assert areas[2] == 1.0


def test_a_carried_threshold_keeps_its_budget() -> None:
    quiet = [np.random.default_rng(3).random((2, 600))]
    curve = scores.operating(quiet)
    for budget in (0.3, 1.0, 4.0):
        level = scores.tuned(curve, budget)
        assert 0.5 * budget < scores.per_30_days(quiet[0] > level) <= budget


def test_an_interval_holds_its_value_and_widens_where_weeks_go_together() -> None:
    rng = np.random.default_rng(4)
    alone = [rng.random(1) for _ in range(200)]
    together = [np.full(20, value) for value in rng.random(10)]
    mean, low, high = scores.interval(alone, 0)
    assert low < mean < high
    narrow = high - low
    mean, low, high = scores.interval(together, 0)
    assert low < mean < high
    assert high - low > 2 * narrow


@pytest.mark.parametrize(
    "detector",
    [SeqwatchDrift(), SeqwatchTemporalPattern(), KolmogorovSmirnov(), StabilityIndex()],
    ids=lambda one: one.name,
)
def test_each_detector_scores_a_gross_fault_above_a_quiet_week(detector: Weekly) -> None:
    windows = SERIES.windows(4, 30)
    gross = windows[29, :, 0].copy()
    gross[CONTEXT:] *= 1000.0
    trials = np.stack([windows[29, :, 0], gross])
    (found,) = detector.evaluate(
        [Question(weeks=windows, sensor=0, left_out=29, trials=trials, around=windows[29])]
    )
    assert found.score[1] > found.score[0]
    assert found.alarm[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "detector", [SeqwatchDrift(), SeqwatchTemporalPattern()], ids=lambda d: d.name
)
def test_ours_hold_their_size(detector: Weekly) -> None:
    """200 streams at 5 %: three standard errors are .046."""
    trials = weeks.streams([ar1(0.9, 45 * WEEK, 200, 6)], 39)
    found = weeks.ask(detector, trials)
    assert abs(found.alarm.mean() - 0.05) < 0.046
    assert weeks.ask(KolmogorovSmirnov(), trials).alarm.mean() > 0.5


def test_power_distinguishes_a_detected_fault_from_a_missed_one() -> None:
    trials = weeks.one_week_out(SERIES, 1, corrupt_each=10, strengths=(1,))
    for detector, rate in ((Always(), 1.0), (Never(), 0.0)):
        found = weeks.ask(detector, trials)
        table = weeks.power(found, found.alarm, 0)
        assert table["shift"]["1"][0] == rate
        assert {fault.name for fault in CHANGES} | {weeks.DOUBLED, weeks.SHARED} == set(table)
    sharp = weeks.ask(StabilityIndex(), trials)
    assert weeks.power(sharp, sharp.alarm, 0)["unit"]["1"][0] == 1.0
    assert 0.3 < weeks.localised(sharp) <= 1.0
    assert math.isclose(weeks.localised(weeks.ask(Always(), trials)), 0.0)


def test_a_holiday_of_all_leaves_nobody_out_of_step() -> None:
    trials = weeks.one_week_out(SERIES, 1, corrupt_each=10, strengths=(1,))
    shared = [
        question
        for question, cells in zip(trials.questions, trials.cells, strict=True)
        if cells == [weeks.Cell(fault=weeks.SHARED, strength=1)]
    ]
    assert len(shared) == 3 * (weeks.N_WEEKS // 10)
    for question in shared:
        assert question.around is not None
        np.testing.assert_array_equal(question.trials[0], question.around[:, question.sensor])
        was = question.weeks[question.left_out]
        off = slice(CONTEXT + 2 * DAY, CONTEXT + 4 * DAY)
        before = slice(off.start - WEEK, off.stop - WEEK)
        np.testing.assert_array_equal(question.around[off], was[before])
        np.testing.assert_array_equal(question.around[off.stop :], was[off.stop :])


def test_a_course_changes_after_its_quiet_lead_in() -> None:
    course = paths.course(SERIES, 1, n_injections=1)
    n_days = len(SERIES.values) // DAY - paths.HISTORY // DAY
    assert [watch.n_days for watch in course.quiet] == [n_days] * 3
    for watch, phase in zip(course.changed, course.phases, strict=True):
        assert watch.paths.shape == (len(FAULTS), LEAD + paths.AFTER * DAY)
        assert ((phase >= 0) & (phase < DAY)).all()
    run = paths.run(Always(), course)
    assert run.calls_quiet == pytest.approx(10.0, rel=0.05)
    assert run.calls_missed == 0.0
    blind = paths.run(Never(), course)
    assert (blind.calls_quiet, blind.calls_missed) == (0.0, 1.0)


def test_a_promise_is_counted_in_days() -> None:
    rule = paths.Promise(n_streams=2, reference_days=210, live_days=60)
    coin = paths.promise(Coin(2), rule, seed=1)
    between = coin["days between false alarms"]
    assert isinstance(between, list)
    # One look in twenty and six quiet days after each: 26 days; some five alarms are seen.
    assert 8 < between[0] < 120
    assert coin["achieved over promised"] == []


def test_every_detector_has_a_name_of_its_own() -> None:
    every = [SeqwatchDrift(), SeqwatchTemporalPattern(), *peers_in_process(1), *outside()]
    assert len({one.name for one in every}) == len(every)


def test_a_run_fills_every_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift_quality, "ett", lambda name: replace(SERIES, name=name))
    extent = replace(
        drift_quality.QUICK,
        corrupt_each=26,
        n_noise=20,
        rule=paths.Promise(n_streams=2, live_days=20),
    )
    bench = drift_quality.Bench(
        detectors=[StabilityIndex(), Never()],
        of_promises=[SeqwatchMeanShift()],
        extent=extent,
        seed=1,
        quick=True,
    )
    found = {
        "weeks": bench.over_weeks(),
        "noise": bench.over_noise(),
        "paths": bench.over_paths(),
        "promise": bench.over_promises(),
        "cost": bench.costs(),
    }
    assert found["weeks"]["size"]["ETTh1"]["never fires"][0] == 0.0
    assert found["noise"]["size"]["AR(1) 0.97"]["PSI > .2"][0] > 0.5
    assert found["paths"]["area"]["ETTh2"]["never fires"]["area"][0] == 1.0
    assert drift_quality.shown(found).count("| never fires |") >= 8
    assert found["promise"]["Seqwatch level"]["achieved over promised"][0] > 0.0
    json.dumps(found, allow_nan=True)


def test_a_later_finding_replaces_its_own_part_alone() -> None:
    before = {"weeks": {"a": 1, "b": {"c": 2}}, "seed": 4}
    after = {"weeks": {"b": {"c": 3, "d": 5}}}
    assert drift_quality.merged(before, after) == {
        "weeks": {"a": 1, "b": {"c": 3, "d": 5}},
        "seed": 4,
    }
