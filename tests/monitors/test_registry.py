"""One contract for every kind of monitor."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import TypeAlias

import msgspec
import numpy as np
import pytest

from core.durations import DAY
from core.errors import Unprocessable
from core.window import Window
from monitors.baselines import first_days
from monitors.baselines.segments import FIRST, MOST, Label
from monitors.data_quality import (
    contract_violations,
    data_quality,
    entity_health,
    input_health,
)
from monitors.data_quality.contract_violations import ContractViolationParams
from monitors.data_quality.entity_health import EntityHealthParams, EntityInputs
from monitors.data_quality.flaws import DataQualityParams, DayVolume
from monitors.data_quality.input_health import InputHealthParams
from monitors.detail import Detail
from monitors.drift import (
    input_drift,
    input_drift_baseline,
    mean_shift,
    mean_shift_evaluation,
    prediction_drift,
    short_term,
)
from monitors.drift.input_drift_baseline import InputDriftParams
from monitors.drift.mean_shift import MeanShiftParams
from monitors.drift.prediction_drift import PredictionDriftParams
from monitors.drift.short_term import ShortTermDriftParams
from monitors.false_alarms.decision import decide
from monitors.finding import Finding, Outcome
from monitors.input_fault import input_fault
from monitors.input_fault.input_fault import InputFaultParams
from monitors.performance import (
    accuracy,
    calibration,
    residuals,
    segment_accuracy,
)
from monitors.performance.accuracy import AccuracyParams, DayErrors
from monitors.performance.calibration import CalibrationParams, ProbabilityDays
from monitors.performance.residual_statistics import ErrorDays
from monitors.performance.residuals import ResidualParams
from monitors.performance.segment_accuracy import SegmentAccuracyParams, of_segments
from monitors.registry import KINDS, find, parse, where
from monitors.slo import burn_rate, silence, source_states
from monitors.slo.objective import BurnRateParams
from monitors.slo.silence import ArrivalHistory, SilenceParams, profile
from monitors.slo.source_states import SourceParams, SourceState
from monitors.summaries.daily import daily
from monitors.summaries.grains import Grains
from monitors.summaries.summary import Edges, Floats, chunk_at
from monitors.summaries.values import Column, summarise
from monitors.temporal import panel, temporal_pattern, window_profile
from monitors.temporal.panel import TemporalPatternParams
from monitors.temporal.window_profile import WindowProfileParams
from tasks import calibration_sums, residual_sums
from tests.monitors import slo_readings
from tests.monitors.streams import day, days, grid, plant
from tests.monitors.window_profiles import kept_of, layout_of

Evaluation: TypeAlias = Callable[[Floats], Finding]
N_DAYS = 230


def by_drift(values: Floats) -> Finding:
    baseline = input_drift_baseline.fit(grid(values[:-21]), InputDriftParams(window=3 * DAY))
    return input_drift.evaluate(baseline, days(grid(values), N_DAYS - 21, N_DAYS), day(N_DAYS))


def by_prediction_drift(values: Floats) -> Finding:
    before, recent = grid(values[: -2 * 24]), days(grid(values), N_DAYS - 21, N_DAYS)
    return prediction_drift.evaluate(before, recent, PredictionDriftParams(), day(N_DAYS))


def by_level(values: Floats) -> Finding:
    baseline = mean_shift.fit(grid(values[: -21 * 24]), MeanShiftParams())
    return mean_shift_evaluation.evaluate(baseline, grid(values), day(N_DAYS))


def by_input_fault(values: Floats) -> Finding:
    baseline = input_fault.fit(grid(values[:-21]), InputFaultParams())
    recent = days(grid(values), N_DAYS - 14, N_DAYS)
    return input_fault.evaluate(baseline, recent, [], day(N_DAYS))


def by_sequence(values: Floats) -> Finding:
    baseline = panel.fit(grid(values[:-21]), TemporalPatternParams(window=3 * DAY))
    return temporal_pattern.evaluate(
        baseline, days(grid(values), N_DAYS - 21, N_DAYS), day(N_DAYS)
    )


def by_accuracy(values: Floats) -> Finding:
    week = np.abs(values[-7 * 24 :].reshape(7, -1))
    there = np.isfinite(week)
    errors = DayErrors(
        days=tuple(day(n).date() for n in range(7)),
        sums=np.where(there, week, 0.0),
        n_labelled=there.astype(np.int64),
        n_expected=np.ones(week.shape, dtype=np.int64),
    )
    return accuracy.evaluate(errors, AccuracyParams(), 1.0)


def hours_of(values: Floats) -> Grains:
    there = np.isfinite(values).astype(float)
    return Grains(
        names=tuple(f"f{i}" for i in range(values.shape[1])),
        start=day(0),
        grain=timedelta(hours=1),
        n=there,
        n_missing=1 - there,
        mean=values,
        sd=np.where(there > 0, 0.0, np.nan),
        low=values,
        high=values,
    )


def by_input_health(values: Floats) -> Finding:
    whole = hours_of(values)
    return input_health.evaluate(input_health.fit(whole), whole, InputHealthParams())


def by_entity_health(values: Floats) -> Finding:
    there = np.isfinite(values).astype(np.int64)
    longest = there.sum(axis=0, keepdims=True).T
    known = EntityInputs(
        inputs=("load",) * values.shape[1],
        entities=("device",),
        first=np.array([0]),
        last=np.array([10**9]),
        absent=10**6 - longest,
        still=longest,
        longest_absent=longest,
        longest_still=longest // 2,
        n_values=longest,
        n_runs=longest,
    )
    return entity_health.evaluate(known, EntityHealthParams(), Window(day(0), day(1)))


def by_short_term_drift(values: Floats) -> Finding:
    minutes = hours_of(values)
    params = ShortTermDriftParams(grains=6)
    baseline = short_term.fit(minutes, params)
    if baseline is None:
        window = Window(minutes.start, minutes.end)
        cause = "warming up: less than a day of input"
        return Finding(
            outcome=Outcome.NO_DATA, value=None, threshold=None, window=window, cause=cause
        )
    return decide(short_term.evaluate(baseline, minutes, params), 90.0)


def by_silence(values: Floats) -> Finding:
    slices = np.flatnonzero(np.isfinite(values).any(axis=1))
    arrivals = ArrivalHistory(
        now=day(N_DAYS),
        age=timedelta(hours=3),
        profile=profile(slices, timedelta(hours=1)),
    )
    return silence.evaluate(arrivals, SilenceParams())


def by_source(values: Floats) -> Finding:
    hours = np.flatnonzero(np.isfinite(values).any(axis=1)).tolist()
    arrivals = tuple(day(0) + timedelta(hours=hour) for hour in hours)
    state = SourceState(
        name="s",
        every=timedelta(hours=1),
        expect_within=None,
        since=day(0),
        row_at=arrivals[-1] if arrivals else None,
        pulled_at=day(N_DAYS) + timedelta(days=1),
        arrivals=arrivals,
    )
    return source_states.evaluate([state], SourceParams(), day(N_DAYS) + timedelta(days=1))


def by_residual(values: Floats) -> Finding:
    by_day = values.reshape(-1, 24, 1, values.shape[1])
    due = np.ones(by_day.shape[1:], dtype=np.bool_)
    hours = np.arange(24)
    errors = ErrorDays(
        names=tuple(f"f{i}+1" for i in range(values.shape[1])),
        ahead=(1,) * values.shape[1],
        first_day=chunk_at(day(0)) // 24,
        cells=np.array([residual_sums.sums(error, due, hours) for error in by_day]),
    )
    return residuals.evaluate(errors, ResidualParams())


def by_segment_accuracy(values: Floats) -> Finding:
    by_day = values.reshape(-1, 24, values.shape[1])
    there = np.isfinite(by_day)
    sums = np.zeros((len(by_day), FIRST + MOST, 1, 3))
    own = sums[:, FIRST : FIRST + values.shape[1], 0]
    own[..., 0], own[..., 1] = 24, there.sum(axis=1)
    own[..., 2] = np.abs(np.where(there, by_day, 0.0)).sum(axis=1)
    names = {FIRST + i: f"s{i}" for i in range(values.shape[1])}
    label = Label(by="site", names=names)
    days = of_segments(sums, ["load"], label, chunk_at(day(0)) // 24)
    return segment_accuracy.evaluate(days, SegmentAccuracyParams())


def by_calibration(values: Floats) -> Finding:
    by_day = values.reshape(-1, 24, 1, values.shape[1])
    predicted = 0.5 + 0.5 * np.tanh(by_day)
    observed = np.where(np.isfinite(by_day), np.roll(by_day, 1, axis=1) > 0, math.nan)
    probabilities = ProbabilityDays(
        names=tuple(f"f{i}" for i in range(values.shape[1])),
        first_day=chunk_at(day(0)) // 24,
        cells=np.array([*map(calibration_sums.sums, predicted, observed)]),
    )
    return calibration.evaluate(probabilities, CalibrationParams())


def by_burn(values: Floats) -> Finding:
    bad = np.nan_to_num(np.abs(values[:, 0]), nan=0.0, posinf=0.0) % 7
    good = np.where(np.isfinite(values[:, 0]), 10, 0)
    made = slo_readings.history(good, bad.astype(np.int64), end=day(N_DAYS))
    reading = replace(slo_readings.reading(made), newest=day(N_DAYS), now=day(N_DAYS))
    return burn_rate.evaluate(reading, BurnRateParams(), day(N_DAYS))


def by_mismatch(values: Floats) -> Finding:
    counts = {"length": int((~np.isfinite(values)).sum()), "type": 0}
    return contract_violations.evaluate(
        counts, ContractViolationParams(), Window(day(0), day(1)), is_silent=False
    )


def by_quality(values: Floats) -> Finding:
    hours = np.arange(len(values)) + chunk_at(day(0))
    still = np.zeros(len(values), dtype=np.bool_)
    columns = [Column(values=v, chunks=hours, repeats=still) for v in values.T]
    names = tuple(f"f{i}" for i in range(len(columns)))
    edges = Edges(names=names, values=np.zeros((len(columns), 33)))
    every = daily(summarise(columns, edges), names, day(0), day(N_DAYS))
    params = DataQualityParams()
    baseline = data_quality.fit(every.until(every.first_day + 200, 200), names, params)
    window = Window(day(N_DAYS - 1), day(N_DAYS))
    return data_quality.evaluate(baseline, every, DayVolume(n_rows=1), params, window)


def by_shape(values: Floats) -> Finding:
    layout = layout_of(values.shape[1])
    params = WindowProfileParams()
    reference = first_days.reference_of(params, day(0), day(N_DAYS))
    return window_profile.evaluate(
        layout, kept_of(layout, values), reference, params, day(N_DAYS)
    )


MAX_EVALUATIONS: dict[str, Evaluation] = {
    "input_drift": by_drift,
    "prediction_drift": by_prediction_drift,
    "mean_shift": by_level,
    "input_fault": by_input_fault,
    "input_health": by_input_health,
    "entity_health": by_entity_health,
    "short_term_drift": by_short_term_drift,
    "silence": by_silence,
    "source": by_source,
    "temporal_pattern": by_sequence,
    "window_profile": by_shape,
    "accuracy": by_accuracy,
    "segment_accuracy": by_segment_accuracy,
    "residuals": by_residual,
    "calibration": by_calibration,
    "burn_rate": by_burn,
    "contract_violations": by_mismatch,
    "data_quality": by_quality,
}
PLANT = plant(N_DAYS)

STREAMS = [
    pytest.param(PLANT, id="ordinary"),
    pytest.param(np.full_like(PLANT, math.nan), id="empty"),
    pytest.param(np.ones_like(PLANT), id="constant"),
    pytest.param(np.zeros_like(PLANT), id="zero"),
    pytest.param(np.where(np.arange(len(PLANT))[:, None] % 5, PLANT, math.nan), id="gaps"),
    pytest.param(PLANT * 1e-120, id="tiny"),
    pytest.param(PLANT * 1e60, id="huge"),
    pytest.param(PLANT[:, :1], id="one feature"),
]


def test_every_kind_is_under_contract() -> None:
    assert set(MAX_EVALUATIONS) == set(KINDS.names())


@pytest.mark.parametrize("kind", KINDS.names())
@pytest.mark.parametrize("values", STREAMS)
def test_every_stream_gets_a_finding_that_fits_into_json(kind: str, values: Floats) -> None:
    finding = MAX_EVALUATIONS[kind](values)
    of_kind, stored = KINDS.find(kind), finding.detail.to_json()
    if type(finding.detail) is not Detail:
        assert of_kind.detail_of(json.loads(json.dumps(stored))) == finding.detail
    for number in (finding.value, finding.threshold):
        assert number is None or math.isfinite(number)
    if finding.outcome is Outcome.BREACH:
        assert finding.cause
        assert finding.value is not None


@cache
def ordinary(kind: str) -> Finding:
    return MAX_EVALUATIONS[kind](PLANT)


@pytest.mark.parametrize("kind", KINDS.names())
def test_the_same_stream_gets_the_same_finding(kind: str) -> None:
    assert MAX_EVALUATIONS[kind](PLANT) == ordinary(kind)


@pytest.mark.parametrize(
    "kind",
    [
        "input_drift",
        "prediction_drift",
        "mean_shift",
        "input_fault",
        "temporal_pattern",
        "segment_accuracy",
        "residuals",
        "calibration",
        "window_profile",
    ],
)
def test_the_order_of_features_changes_nothing_but_the_order(kind: str) -> None:
    plain, turned = ordinary(kind), MAX_EVALUATIONS[kind](PLANT[:, ::-1])
    assert turned.value == pytest.approx(plain.value)
    assert turned.threshold == pytest.approx(plain.threshold)


@pytest.mark.parametrize("kind", KINDS.names())
def test_defaults_survive_being_stored(kind: str) -> None:
    params = parse(kind, {})
    assert parse(kind, json.loads(json.dumps(msgspec.to_builtins(params)))) == params


def test_only_accuracy_asks_for_retraining() -> None:
    assert where(lambda kind: kind.may_retrain) == ["accuracy"]


@pytest.mark.parametrize(
    ("kind", "params", "message"),
    [
        pytest.param("smell", {}, "known: accuracy, burn_rate", id="no such kind"),
        pytest.param("input_drift", {"windw": 3}, "windw; known: window", id="misspelt"),
        pytest.param("input_drift", {"window": 3}, "window", id="of the wrong type"),
        pytest.param("input_drift", {"window": "PT0S"}, "at least P1D", id="out of range"),
        pytest.param("accuracy", {"window": "P999999999D"}, "window", id="too long"),
        pytest.param("residuals", {"window": "P106751992D"}, "residuals: ", id="overflow"),
        pytest.param("silence", {"at_least": "P999999D"}, "more than P36525D", id="long"),
        pytest.param("silence", {"longer": math.nan}, "must be finite", id="NaN"),
        pytest.param("burn_rate", {"sli": "joy"}, "known: availability, ", id="no such SLI"),
        pytest.param(
            "burn_rate",
            {"objective": 0.1, "period": "P1D"},
            "can never fire",
            id="cannot alert",
        ),
        pytest.param("contract_violations", {"max_per_day": -1}, "negative", id="negative"),
        pytest.param("accuracy", {"min_coverage": 2.0}, "min_coverage", id="a share above one"),
    ],
)
def test_a_wrong_configuration_is_refused_by_name(
    kind: str, params: dict[str, object], message: str
) -> None:
    with pytest.raises(Unprocessable, match=message):
        parse(kind, params)


def test_find_lists_what_there_is() -> None:
    assert find("burn_rate").params is BurnRateParams
