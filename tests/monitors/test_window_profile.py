"""Window profile: what is found inside rows, and at which rate in noise."""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest

from core.durations import DAY
from core.window import Window
from monitors.baselines import first_days
from monitors.false_alarms.threshold import episodes
from monitors.finding import Finding, Outcome
from monitors.summaries.hourly import HOURS
from monitors.summaries.summary import Floats, Summary, merge
from monitors.temporal import window_profile, window_profile_sums
from monitors.temporal.window_profile import WindowProfileBaseline, WindowProfileParams
from monitors.temporal.window_profile_days import changes, parts_of
from monitors.temporal.window_profile_schema import Layout
from monitors.temporal.window_profile_sums import Lists
from tests.monitors.streams import ar1, day, plant
from tests.monitors.window_profiles import STEPS, SYMBOLS, kept_of, layout_of, sums, windows

Fault: TypeAlias = Callable[[Floats], Floats]
N_DAYS = 160
PLANT = plant(N_DAYS)
PARAMS = WindowProfileParams(window=2 * DAY)


def evaluated(fault: Fault, days: int = 3, layout: Layout | None = None) -> Finding:
    """Evaluate the last day, when the rows of the last days were broken."""
    layout = layout or layout_of(PLANT.shape[1])
    rows = windows(PLANT)
    hours = np.arange(len(rows))
    start = (N_DAYS - days) * HOURS
    broken = fault(rows[start:])
    kept = merge(sums(layout, rows[:start], hours[:start]), sums(layout, broken, hours[start:]))
    reference = first_days.reference_of(PARAMS, day(0), day(N_DAYS))
    return window_profile.evaluate(layout, kept, reference, PARAMS, day(N_DAYS))


def first_only(change: Fault) -> Fault:
    def fault(rows: Floats) -> Floats:
        return np.concatenate([change(rows[:, :1]), rows[:, 1:]], axis=1)

    return fault


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        pytest.param(lambda rows: rows[..., ::-1], "where in the row", id="reversed"),
        pytest.param(
            lambda rows: np.random.default_rng(2).permuted(rows, axis=-1),
            "f0: what follows what",
            id="shuffled",
        ),
        pytest.param(lambda rows: np.roll(rows, 4, axis=-1), "f0", id="turned"),
    ],
)
def test_what_is_wrong_inside_rows_is_found_and_named(fault: Fault, message: str) -> None:
    found = evaluated(first_only(fault))
    assert found.outcome is Outcome.BREACH
    assert message in found.cause
    assert found.cause.startswith("f0: ")
    assert found.detail.implicated_features[0].feature.startswith("f0: ")
    assert found.detail.since is not None
    assert found.detail.since >= day(N_DAYS - 3)


def test_half_a_window_is_another_length() -> None:
    found = evaluated(lambda rows: rows[..., STEPS // 2 :])
    assert found.outcome is Outcome.BREACH
    assert "length changed against the four weeks before" in found.cause


@pytest.mark.parametrize("n_days", [2, 10, 27, 29])
def test_fewer_days_than_four_weeks_are_warming_up(n_days: int) -> None:
    layout = layout_of(PLANT.shape[1])
    kept = kept_of(layout, PLANT[: n_days * HOURS])
    reference = first_days.reference_of(PARAMS, day(0), day(n_days))
    found = window_profile.evaluate(layout, kept, reference, PARAMS, day(n_days))
    assert found.outcome is Outcome.NO_DATA
    assert found.cause.startswith("warming up")


def test_quiet_rows_are_no_breach() -> None:
    assert evaluated(lambda rows: rows).outcome is Outcome.OK


def test_a_change_that_lasts_is_the_baseline_after_four_weeks() -> None:
    assert evaluated(lambda rows: rows[..., STEPS // 2 :], days=31).outcome is Outcome.OK


def test_features_that_part_company_change_only_the_sketch_of_both() -> None:
    rng = np.random.default_rng(4)
    shared = ar1(0.8, (N_DAYS * HOURS,), 3)
    values = (
        10 + 3 * np.column_stack([shared, shared]) + 0.3 * rng.normal(size=(len(shared), 2))
    )
    layout, params = layout_of(2), WindowProfileParams(window=5 * DAY)
    rows = windows(values)
    # The second feature's windows are those of other rows of the same day.
    apart = rows.copy()
    apart[:, 1] = apart[:, 1].reshape(N_DAYS, HOURS, -1)[:, ::-1].reshape(len(rows), -1)
    hours = np.arange(len(rows))
    start = (N_DAYS - 5) * HOURS
    kept = merge(
        sums(layout, rows[:start], hours[:start]), sums(layout, apart[start:], hours[start:])
    )
    reference = first_days.reference_of(params, day(0), day(N_DAYS))
    found = window_profile.evaluate(layout, kept, reference, params, day(N_DAYS))
    assert found.outcome is Outcome.BREACH
    assert found.cause.startswith("features together: ")


def chain(table: Floats, n: int, seed: int) -> Floats:
    """Return rows of twelve symbols of a Markov chain, (row, step)."""
    rng = np.random.default_rng(seed)
    rows = np.empty((n, STEPS), dtype=int)
    rows[:, 0] = rng.integers(0, 3, n)
    for step in range(1, STEPS):
        draw = rng.random(n)[:, None]
        rows[:, step] = (draw > np.cumsum(table, axis=1)[rows[:, step - 1]]).sum(axis=1)
    return rows.astype(float)


TURNING = np.array([[0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.8, 0.1, 0.1]])


def test_symbols_in_reverse_order_are_found() -> None:
    layout = Layout(blocks=(SYMBOLS,))
    rows = chain(TURNING, N_DAYS * HOURS, 1)
    first = int(day(0).timestamp()) // 86_400
    days = first + np.arange(len(rows)) // HOURS

    def evaluation(rows: Floats) -> Finding:
        lists = Lists(values=rows.ravel(), lengths=np.full(len(rows), STEPS))
        kept = window_profile_sums.of_symbols(SYMBOLS, lists, days)
        reference = first_days.reference_of(PARAMS, day(0), day(N_DAYS))
        return window_profile.evaluate(layout, kept, reference, PARAMS, day(N_DAYS))

    assert evaluation(rows).outcome is Outcome.OK
    start = (N_DAYS - 3) * HOURS
    found = evaluation(np.concatenate([rows[:start], rows[start:, ::-1]]))
    assert found.outcome is Outcome.BREACH
    assert "s: which text follows which" in found.cause


def test_a_scale_does_not_depend_on_the_unit() -> None:
    layout = layout_of(PLANT.shape[1])
    plain = kept_of(layout, PLANT)
    large = kept_of(layout_of(PLANT.shape[1], scale=1e60), PLANT * 1e60)
    np.testing.assert_allclose(large.moments, plain.moments, atol=1e-3)


def test_a_day_without_rows_is_unknown_and_the_others_are_evaluated() -> None:
    layout = layout_of(2)
    kept = kept_of(layout, PLANT[:, :2])
    first = int(kept.chunks[0]) // HOURS
    without = Summary(
        chunks=np.delete(kept.chunks, 50),
        moments=np.delete(kept.moments, 50, axis=0),
        counts=np.delete(kept.counts, 50, axis=0),
    )
    away = changes(layout, without, first, first + N_DAYS, 1)
    lost = [np.flatnonzero(~np.isfinite(each).any(axis=1)).tolist() for each in away]
    assert all(each == [*range(14), 50] for each in lost)
    assert len(away) == len(parts_of(layout))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        pytest.param({"days_between_false_alarms": 0.0}, "must be positive", id="no promise"),
        pytest.param({"window": 0 * DAY}, "at least P1D", id="no window"),
        pytest.param({"reference": 60 * DAY}, "at least P85D", id="too short a reference"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WindowProfileParams(**params)


@pytest.mark.slow
def test_the_promise_is_kept_on_noise_with_memory() -> None:
    # 12 streams of 400 days at one false alarm in 30. With the rate as promised, or lower, more
    # than 190 episodes of 160 have a chance below 1 % (Poisson).
    n_days, reference, promised = 765, 365, 30.0
    params = WindowProfileParams(days_between_false_alarms=promised)
    layout = layout_of(2)
    n_episodes = n_evaluations = 0
    for seed in range(12):
        values = 10 + 3 * ar1(0.9, (n_days * HOURS, 2), seed)
        kept = kept_of(layout, values)
        learnt = window_profile.fit(layout, kept, Window(day(0), day(reference)), params)
        assert isinstance(learnt, WindowProfileBaseline)
        first = int(kept.chunks[0]) // HOURS
        away = changes(layout, kept, first, first + n_days, params.window_days)
        live = window_profile.scored(learnt, away)[0][reference + params.window_days :]
        n_evaluations += int(np.isfinite(live).sum())
        n_episodes += episodes(live > learnt.alarm_threshold.value, 7)
    assert n_evaluations == 12 * (n_days - reference - params.window_days)
    assert (
        0 < n_episodes <= n_evaluations / promised + 2.33 * math.sqrt(n_evaluations / promised)
    )
