"""Drift of outputs: fitted on the first days of a version, at the false alarm rate of drift."""

import math
from datetime import timedelta

import numpy as np
import pytest

from core.durations import DAY
from core.errors import Unprocessable
from core.window import Window
from monitors.baselines.first_days import reference_of
from monitors.drift.prediction_drift import PredictionDriftParams, evaluate
from monitors.false_alarms.threshold import episodes
from monitors.finding import Finding, Outcome
from monitors.registry import parse
from monitors.summaries.hourly import HOURS
from monitors.summaries.summary import Floats
from tasks import horizon_buckets
from tests.monitors.streams import START, ar1, day, days, etth1, grid

PARAMS = PredictionDriftParams()
HORIZON = 24


def forecasts(values: Floats) -> Floats:
    """Forecast hourly values by the same hour of the last seven days, and what is unusual now.

    Parameters
    ----------
    values : (hour, channel)

    Returns
    -------
    (hour, part and channel)
        Means over the parts of the horizon; the first seven days are not forecast from.
    """
    n_days, n_channels = len(values) // HOURS, values.shape[1]
    by_day = values[: n_days * HOURS].reshape(n_days, HOURS, n_channels)
    baseline = np.stack([by_day[at - 7 : at].mean(axis=0) for at in range(7, n_days)])
    unusual = (by_day[7:] - baseline).reshape(-1, n_channels)
    hour = np.arange(len(unusual))
    ahead = [
        baseline[hour // HOURS, (hour + step) % HOURS] + 0.95**step * unusual
        for step in range(1, HORIZON + 1)
    ]
    parts = [np.mean(ahead[part], axis=0) for part in horizon_buckets.parts(HORIZON)]
    return np.concatenate(parts, axis=1)


def noise(n_days: int, seed: int, phi: float = 0.9) -> Floats:
    """Forecast two channels with a daily season and memory."""
    n = (n_days + 7) * HOURS
    season = 2 * np.sin(2 * np.pi * np.arange(n) / HOURS)[:, None]
    return forecasts(season + ar1(phi, (n, 2), seed))


def evaluated(outputs: Floats, on: int, params: PredictionDriftParams = PARAMS) -> Finding:
    """Evaluate at the end of a day a version whose first prediction was on day 0."""
    reference = reference_of(params, day(0), day(on))
    hours = grid(outputs[: on * HOURS])
    before = days(hours, 0, (reference.end - START).days)
    return evaluate(before, days(hours, max(on - 36, 0), on), params, day(on))


def test_it_learns_until_it_has_19_windows_of_its_own() -> None:
    outputs = noise(60, seed=1)
    early = [evaluated(outputs, on) for on in range(1, 60)]
    causes = [finding.cause for finding in early if finding.outcome is Outcome.NO_DATA]
    assert causes[0] == "warming up: 0 of 19 windows of 2 days"
    assert causes[-1] == "warming up: 18 of 19 windows of 2 days"
    assert {finding.outcome for finding in early[len(causes) :]} == {Outcome.OK}
    # 38 evaluations a day apart; before the first of them a season of a week and a window, and
    # after the last the window on trial. The season is a day before there are three weeks.
    assert len(causes) == 38 + 7 + 1 + 1


@pytest.mark.parametrize(
    ("change", "word"),
    [
        pytest.param(lambda outputs: outputs + 3.0, "mean +", id="an offset"),
        pytest.param(lambda outputs: outputs * 3.0, "variability x ", id="another unit"),
        pytest.param(lambda outputs: 0.0 * outputs, "drifted: ", id="constant"),
    ],
)
def test_a_model_that_predicts_something_else_is_noticed_on_the_second_day(
    change: object, word: str
) -> None:
    outputs = noise(100, seed=2)
    assert callable(change)
    outputs[90 * HOURS :] = change(outputs[90 * HOURS :])
    found = [evaluated(outputs, on) for on in (90, 91, 92)]
    assert found[0].outcome is Outcome.OK
    assert Outcome.BREACH in {finding.outcome for finding in found[1:]}
    assert word in found[-1].cause


def test_the_reference_grows_to_its_full_length_and_stays() -> None:
    params = PredictionDriftParams(reference=60 * DAY)
    outputs = noise(200, seed=3)
    at_first, at_last = evaluated(outputs, 50, params), evaluated(outputs, 190, params)
    assert at_first.detail.reference == Window(day(0), day(48))
    assert at_last.detail.reference == Window(day(0), day(60))
    assert evaluated(outputs, 191, params).threshold == at_last.threshold


def test_a_model_that_predicts_once_a_day_is_not_evaluated() -> None:
    outputs = noise(80, seed=4)
    outputs[np.arange(len(outputs)) % HOURS != 6] = math.nan
    found = evaluated(outputs, 80)
    assert found.outcome is Outcome.NO_DATA
    assert found.cause == "fewer than half of the hours have outputs"


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({"reference": "P45D"}, id="19 windows do not fit"),
        pytest.param({"window": "P20D"}, id="nor longer ones into a year"),
        pytest.param({"window": "PT0S"}, id="no window"),
        pytest.param({"min_effect": -1.0}, id="as drift refuses it"),
    ],
)
def test_impossible_parameters_are_refused(params: dict[str, object]) -> None:
    with pytest.raises(Unprocessable, match="prediction_drift: "):
        parse("prediction_drift", params)


def alarms(outputs: Floats, params: PredictionDriftParams) -> tuple[int, int]:
    """Evaluate every day; return how many had a verdict, and how many episodes there were."""
    found = [
        evaluated(outputs, on, params).outcome for on in range(1, len(outputs) // HOURS + 1)
    ]
    verdicts = sum(outcome is not Outcome.NO_DATA for outcome in found)
    breaches = np.array([outcome is Outcome.BREACH for outcome in found])
    return verdicts, episodes(breaches, params.window_days)


@pytest.mark.slow
@pytest.mark.parametrize("phi", [0.6, 0.95])
def test_false_alarms_are_no_more_frequent_than_promised(phi: float) -> None:
    """10 streams of 200 days, one in 30 promised; the windows while it learns count too."""
    params = PredictionDriftParams(days_between_false_alarms=30.0, reference=120 * DAY)
    found = [alarms(noise(200, seed=9_000 + seed, phi=phi), params) for seed in range(10)]
    n_days, n_alarms = np.sum(found, axis=0)
    expected = n_days / 30.0
    assert n_days == 10 * (200 - 47)
    assert 3 <= n_alarms <= expected + 3 * math.sqrt(expected)  # never firing keeps it too


@pytest.mark.slow
def test_forecasts_of_etth1_call_about_as_seldom_as_promised() -> None:
    """Two years of a real plant, nothing of which was used to choose a constant."""
    n_days, n_alarms = alarms(forecasts(etth1(None)), PARAMS)
    expected = n_days / 90.0
    assert timedelta(days=int(n_days)) > timedelta(days=600)
    assert n_alarms <= expected + 3 * math.sqrt(expected)
