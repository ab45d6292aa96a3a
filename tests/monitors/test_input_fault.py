import math
import re
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from monitors.false_alarms.warm_up import WarmingUp
from monitors.finding import Finding, Outcome
from monitors.input_fault.cross_feature_model import InputFaultBaseline
from monitors.input_fault.fault_types import FaultKind
from monitors.input_fault.input_fault import (
    InputFault,
    InputFaultDetail,
    InputFaultParams,
    evaluate,
    fit,
)
from monitors.summaries.summary import Floats
from tests.monitors.streams import CHANNELS, day, days, etth1, grid, plant

REFERENCE_DAYS, ONSET = 230, 260 * 24 + 9


@pytest.fixture(scope="module")
def stream() -> Floats:
    return plant(300)


@pytest.fixture(scope="module")
def baseline(stream: Floats) -> InputFaultBaseline:
    return learned(stream[: REFERENCE_DAYS * 24])


def learned(mean: Floats, names: tuple[str, ...] | None = None) -> InputFaultBaseline:
    found = fit(grid(mean, names=names), InputFaultParams())
    assert isinstance(found, InputFaultBaseline)
    return found


def watch(
    baseline: InputFaultBaseline, mean: Floats, evaluations: Sequence[int]
) -> dict[int, Finding]:
    """Look at the end of each day, remembering what is open as a service would."""
    found: dict[int, Finding] = {}
    faults: list[InputFault] = []
    hours = grid(mean, names=baseline.names)
    for n in evaluations:
        found[n] = evaluate(baseline, days(hours, n - 14, n), faults, day(n))
        faults = faults_of(found[n])
    return found


def faults_of(finding: Finding) -> list[InputFault]:
    assert isinstance(finding.detail, InputFaultDetail)
    return [*finding.detail.faults]


def open_faults(finding: Finding) -> list[InputFault]:
    return [fault for fault in faults_of(finding) if fault.until is None]


def test_an_unchanged_stream_has_no_fault(stream: Floats, baseline: InputFaultBaseline) -> None:
    found = watch(baseline, stream, range(REFERENCE_DAYS + 14, 300))
    assert {finding.outcome for finding in found.values()} == {Outcome.OK}


@pytest.mark.parametrize("feature", range(6))
@pytest.mark.parametrize(
    ("change", "kind", "amount"),
    [
        pytest.param(lambda x: x * 1.8, FaultKind.SCALE, 1.8, id="times 1.8"),
        pytest.param(lambda x: x * 0.5, FaultKind.SCALE, 0.5, id="halved"),
        pytest.param(lambda x: x - 8, FaultKind.OFFSET, -8.0, id="less eight"),
    ],
)
def test_a_broken_sensor_is_named_with_its_cause(
    stream: Floats,
    baseline: InputFaultBaseline,
    feature: int,
    change: Callable[[Floats], Floats],
    kind: FaultKind,
    amount: float,
) -> None:
    broken = stream.copy()
    broken[ONSET:, feature] = change(broken[ONSET:, feature])
    found = watch(baseline, broken, range(255, 280))
    first = min(n for n, finding in found.items() if finding.outcome is Outcome.BREACH)
    assert 260 < first <= 264
    (fault,) = open_faults(found[first])
    assert (fault.feature, fault.kind) == (f"f{feature}", kind)
    assert fault.amount == pytest.approx(amount, rel=0.1)
    assert abs((fault.since - day(260)).total_seconds() / 3600 - 9) <= 1
    assert all(found[n].outcome is Outcome.BREACH for n in range(first, 280))
    (still,) = open_faults(found[279])
    assert (still.feature, still.kind, still.since) == (fault.feature, kind, fault.since)


def test_the_cause_reads_like_a_sentence(stream: Floats, baseline: InputFaultBaseline) -> None:
    broken = stream.copy()
    broken[ONSET:, 1] *= 1.8
    found = watch(baseline, broken, range(255, 265))
    cause = r"f1 scaled by 1\.(7[5-9]|8[0-5]) since 2017-03-18T09:00Z"
    assert re.fullmatch(cause, found[264].cause)


def test_a_repaired_sensor_closes_its_fault_and_opens_none(
    stream: Floats, baseline: InputFaultBaseline
) -> None:
    broken = stream.copy()
    broken[ONSET : 270 * 24 + 5, 1] *= 1.8
    found = watch(baseline, broken, range(255, 295))
    assert [n for n in found if found[n].outcome is Outcome.BREACH] == [262, *range(263, 271)]
    (fault,) = faults_of(found[272])
    assert fault.until is not None
    assert abs((fault.until - day(270)).total_seconds() / 3600 - 5) <= 2
    assert faults_of(found[294]) == []


@pytest.mark.parametrize(
    ("kind", "broken_value", "cause"),
    [
        pytest.param(FaultKind.STUCK, 11.25, "f4 stuck at 11.25", id="stuck"),
        pytest.param(FaultKind.MISSING, math.nan, "f4 missing", id="missing"),
    ],
)
def test_a_silent_sensor_is_named_and_heard_again(
    stream: Floats,
    baseline: InputFaultBaseline,
    kind: FaultKind,
    broken_value: float,
    cause: str,
) -> None:
    broken = stream.copy()
    broken[ONSET : 266 * 24, 4] = broken_value
    found = watch(baseline, broken, range(255, 290))
    assert found[263].cause.startswith(cause)
    (fault,) = open_faults(found[263])
    assert (fault.feature, fault.kind) == ("f4", kind)
    assert found[265].outcome is Outcome.BREACH
    assert all(found[n].outcome is Outcome.OK for n in range(269, 290))


def regime(stream: Floats) -> Floats:
    """New consumers: level, daily amplitude and the relation of four of six sensors."""
    moved = stream.copy()
    hour = np.arange(len(moved) - ONSET)
    load = 2 + np.sin(2 * np.pi * (hour - 5) / 24) + np.cos(4 * np.pi * hour / 24)
    moved[ONSET:] += load[:, None] * np.array([2.0, 0.6, 1.5, 0.3, 1.0, 0.0])
    return moved


def flood(stream: Floats) -> Floats:
    """Every second sensor is scaled: too many to blame the sensors."""
    moved = stream.copy()
    moved[ONSET:, ::2] *= 1.8
    return moved


@pytest.mark.parametrize("change", [regime, flood])
def test_a_world_that_changed_is_no_broken_sensor(
    stream: Floats, baseline: InputFaultBaseline, change: Callable[[Floats], Floats]
) -> None:
    found = watch(baseline, change(stream), range(255, 290))
    assert {finding.outcome for finding in found.values()} == {Outcome.OK}


def test_two_of_eight_sensors_may_break_together() -> None:
    stream = np.concatenate([plant(280), plant(280, seed=9)[:, :2]], axis=1)
    baseline = learned(stream[: REFERENCE_DAYS * 24])
    stream[ONSET:, [1, 4]] *= 1.8
    found = watch(baseline, stream, range(255, 268))
    assert {fault.feature for fault in open_faults(found[267])} == {"f1", "f4"}


def test_a_short_reference_is_warming_up() -> None:
    found = fit(grid(plant(100)), InputFaultParams())
    assert found == WarmingUp(n_windows=10, window_days=10)
    open_fault = InputFault(feature="f0", kind=FaultKind.SCALE, amount=2.0, since=day(1))
    finding = evaluate(found, grid(plant(20)), [open_fault], day(20))
    assert finding.outcome is Outcome.NO_DATA
    assert faults_of(finding) == [open_fault]


def test_a_stream_that_stopped_is_no_data(stream: Floats, baseline: InputFaultBaseline) -> None:
    finding = evaluate(baseline, days(grid(stream), 230, 250), [], day(253))
    assert (finding.outcome, faults_of(finding)) == (Outcome.NO_DATA, [])


def test_sensors_of_etth1_scaled_by_1_8_are_named_in_time() -> None:
    """The four related loads, at 30 moments each: 5 days, 3 in 4, hardly ever another."""
    series = etth1()
    baseline = learned(series, CHANNELS)
    rng = np.random.default_rng(7)
    n_named = n_other = n_cases = 0
    for feature in range(4):
        for onset_day in range(20, 470, 15):
            onset = onset_day * 24 + int(rng.integers(24))
            broken = series[: (onset_day + 6) * 24].copy()
            broken[onset:, feature] *= 1.8
            found = watch(baseline, broken, range(onset_day + 1, onset_day + 6))
            named = {
                fault.feature for finding in found.values() for fault in open_faults(finding)
            }
            n_cases += 1
            n_named += CHANNELS[feature] in named
            n_other += bool(named - {CHANNELS[feature]})
    assert n_named / n_cases >= 0.75
    assert n_other / n_cases <= 0.05
