"""Inputs that the reference does not hold, or holds as a constant."""

from collections.abc import Callable

import numpy as np
import pytest

from monitors.baselines import self_reference
from monitors.baselines.self_reference import Evaluated, SelfReferenceParams
from monitors.drift import (
    input_drift,
    input_drift_baseline,
    mean_shift_evaluation,
    prediction_drift,
)
from monitors.drift.input_drift_baseline import InputDriftBaseline, InputDriftParams
from monitors.drift.mean_shift import MeanShiftBaseline, MeanShiftParams
from monitors.drift.mean_shift import fit as fit_mean_shift
from monitors.drift.prediction_drift import PredictionDriftParams
from monitors.false_alarms.warm_up import WarmingUp
from monitors.finding import Finding, Outcome
from monitors.input_fault import input_fault
from monitors.input_fault.input_fault import InputFaultParams
from monitors.performance.residual_statistics import VIEWS
from monitors.summaries.hourly import HOURS
from monitors.summaries.summary import Floats
from monitors.temporal import panel, temporal_pattern
from monitors.temporal.panel import TemporalPatternParams
from tests.monitors.streams import ar1, day, grid, plant

N_REFERENCE, N_DAYS = 200, 240


def with_late_input() -> Floats:
    """Six sensors, and a seventh that is stationary and only there after the reference."""
    values = plant(N_DAYS)
    late = 50.0 + ar1(0.5, (len(values), 1), 9)
    late[: N_REFERENCE * HOURS] = np.nan
    return np.concatenate([values, late], axis=1)


def finder(
    kind: str, values: Floats, n_reference: int = N_REFERENCE
) -> Callable[[int], Finding]:
    """Fit one monitor to the reference; return what it finds on a day."""
    hours, reference = grid(values), grid(values[: n_reference * HOURS])
    if kind == "input_drift":
        by_drift = input_drift_baseline.fit(reference, InputDriftParams())
        return lambda at: input_drift.evaluate(by_drift, hours, day(at))
    if kind == "mean_shift":
        by_level = fit_mean_shift(reference, MeanShiftParams())
        return lambda at: mean_shift_evaluation.evaluate(by_level, hours, day(at))
    if kind == "temporal_pattern":
        by_order = panel.fit(reference, TemporalPatternParams())
        return lambda at: temporal_pattern.evaluate(by_order, hours, day(at))
    if kind == "input_fault":
        by_fault = input_fault.fit(reference, InputFaultParams())
        return lambda at: input_fault.evaluate(by_fault, hours, [], day(at))
    params = PredictionDriftParams()
    return lambda at: prediction_drift.evaluate(reference, hours, params, day(at))


@pytest.mark.parametrize(
    "kind", ["input_drift", "mean_shift", "temporal_pattern", "input_fault", "prediction_drift"]
)
def test_an_input_without_a_reference_changes_no_finding(kind: str) -> None:
    values = with_late_input()
    whole, without = finder(kind, values), finder(kind, values[:, :6])
    for at in range(N_REFERENCE + 3, N_DAYS, 6):
        found, expected = whole(at), without(at)
        assert (found.outcome, found.cause) == (expected.outcome, expected.cause)
        assert (found.value, found.threshold) == pytest.approx(
            (expected.value, expected.threshold), rel=1e-9
        )
        assert found.detail.to_json().keys() == expected.detail.to_json().keys()


@pytest.mark.parametrize(
    "kind", ["input_drift", "mean_shift", "temporal_pattern", "input_fault", "prediction_drift"]
)
def test_a_model_without_a_number_among_its_inputs_has_no_data(kind: str) -> None:
    found = finder(kind, with_late_input()[:, :0])(N_DAYS)
    assert found.outcome is Outcome.NO_DATA


@pytest.mark.parametrize(
    "kind", ["input_drift", "mean_shift", "temporal_pattern", "input_fault", "prediction_drift"]
)
def test_with_no_reference_for_any_input_there_is_no_data(kind: str) -> None:
    found = finder(kind, with_late_input()[:, 6:])(N_DAYS)
    assert found.outcome is Outcome.NO_DATA
    assert "0 of 19" in found.cause or "half of the hours" in found.cause


def test_an_input_is_evaluated_once_the_reference_holds_enough_of_it() -> None:
    values = with_late_input()
    values[30 * HOURS :, 6] = 50.0 + ar1(0.5, (len(values) - 30 * HOURS,), 9)
    values[230 * HOURS :, 6] += 5.0
    found = finder("input_drift", values)(234)
    assert (found.outcome, found.detail.top) == (Outcome.BREACH, "f6")


def test_a_target_without_labels_in_the_reference_is_not_evaluated() -> None:
    rng = np.random.default_rng(5)
    seen = [rng.normal(size=(200, 2, len(of))) for of in VIEWS.values()]
    plain = self_reference.evaluate_views(
        [own[:, :1] for own in seen], [*VIEWS.values()], SelfReferenceParams(), 0
    )
    for own in seen:
        own[:190, 1] = np.nan
        own[190:, 1] += 100.0
    both = self_reference.evaluate_views(seen, [*VIEWS.values()], SelfReferenceParams(), 0)
    assert isinstance(plain, Evaluated)
    assert isinstance(both, Evaluated)
    assert (both.value, both.alarm_threshold) == (plain.value, plain.alarm_threshold)


def with_constant(change: float, at: int = 230) -> Floats:
    values = plant(N_DAYS)
    values[:, 5] = 5.0
    values[at * HOURS :, 5] += change
    return values


def test_a_constant_that_stays_has_no_effect() -> None:
    for kind in ("input_drift", "mean_shift"):
        found = finder(kind, with_constant(0.0))(234)
        assert found.outcome is Outcome.OK
        assert found.detail.to_json()["features"]["f5"]["effect"] == 0.0
        assert found.detail.to_json()["features"]["f5"]["reference_sd"] == 0.0


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        pytest.param(
            "input_drift", "f5 was constant at 5 in the reference, mean 5.", id="input_drift"
        ),
        pytest.param("mean_shift", "(constant before) since", id="mean_shift"),
    ],
)
@pytest.mark.parametrize("factor", [1e-12, 1.0])
@pytest.mark.parametrize("offset", [0.0, -5.0])
def test_a_constant_that_changes_is_reported_without_standard_deviations(
    kind: str, words: str, factor: float, offset: float
) -> None:
    found = finder(kind, (with_constant(1.0) + offset) * factor)(234)
    assert (found.outcome, found.detail.top) == (Outcome.BREACH, "f5")
    assert found.detail.to_json()["features"]["f5"]["effect"] is None
    assert found.value is not None
    assert found.value < 1e7
    if (factor, offset) == (1.0, 0.0):
        assert words in found.cause


def test_the_baseline_holds_only_what_is_evaluated() -> None:
    reference = grid(with_late_input()[: N_REFERENCE * HOURS])
    names = reference.names[:6]
    by_drift = input_drift_baseline.fit(reference, InputDriftParams())
    by_level = fit_mean_shift(reference, MeanShiftParams())
    assert isinstance(by_drift, InputDriftBaseline)
    assert isinstance(by_level, MeanShiftBaseline)
    assert by_drift.names == by_level.names == names
    by_fault = input_fault.fit(reference, InputFaultParams())
    assert not isinstance(by_fault, WarmingUp)
    assert by_fault.names == names
