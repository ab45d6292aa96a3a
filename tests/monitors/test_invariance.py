"""A stream in another unit, or on another level, gets the verdicts of the stream itself."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import pytest

from monitors.drift import input_drift, input_drift_baseline, mean_shift_evaluation
from monitors.drift.input_drift_baseline import InputDriftParams
from monitors.drift.mean_shift import MeanShiftParams
from monitors.drift.mean_shift import fit as fit_mean_shift
from monitors.finding import Finding, Outcome
from monitors.input_fault import input_fault
from monitors.input_fault.input_fault import InputFaultDetail, InputFaultParams
from monitors.summaries.hourly import HOURS
from monitors.summaries.summary import Floats
from monitors.temporal import panel, temporal_pattern
from monitors.temporal.panel import TemporalPatternParams
from tests.monitors.streams import day, grid, plant

N_REFERENCE, N_DAYS, ONSET = 200, 216, 208
Change: TypeAlias = Callable[[Floats], Floats]


def monitors(reference: Floats) -> dict[str, Callable[[Floats, int], Finding]]:
    """Learn from a reference; return what each monitor finds on a day of a stream."""
    hours = grid(reference)
    by_drift = input_drift_baseline.fit(hours, InputDriftParams())
    by_level = fit_mean_shift(hours, MeanShiftParams())
    by_order = panel.fit(hours, TemporalPatternParams())
    by_fault = input_fault.fit(hours, InputFaultParams())
    return {
        "input_drift": lambda seen, at: input_drift.evaluate(by_drift, grid(seen), day(at)),
        "mean_shift": lambda seen, at: mean_shift_evaluation.evaluate(
            by_level, grid(seen), day(at)
        ),
        "temporal_pattern": lambda seen, at: temporal_pattern.evaluate(
            by_order, grid(seen), day(at)
        ),
        "input_fault": lambda seen, at: input_fault.evaluate(by_fault, grid(seen), [], day(at)),
    }


def shifted(values: Floats) -> Floats:
    values[:, 2] += 4.0 * values.std(axis=0)[2]
    return values


def stuck(values: Floats) -> Floats:
    values[:, 2] = values[0, 2]
    return values


def missing(values: Floats) -> Floats:
    values[:, 2] = np.nan
    return values


def swapped(values: Floats) -> Floats:
    return values[:, [0, 1, 4, 3, 2, 5]]


def shuffled(values: Floats) -> Floats:
    values[:, 2] = np.random.default_rng(3).permutation(values[:, 2])
    return values


def scaled(values: Floats) -> Floats:
    values[:, 2] *= 1.8
    return values


FAULTS = {
    "none": lambda values: values,
    "shift": shifted,
    "stuck": stuck,
    "missing": missing,
    "swap": swapped,
    "shuffle": shuffled,
    "scale": scaled,
}
UNITS: Mapping[str, tuple[float, float]] = {"x 1e-12": (1e-12, 0.0), "+ 1e9": (1.0, 1e9)}


def stream(fault: str) -> Floats:
    values = plant(N_DAYS)
    values[ONSET * HOURS :] = FAULTS[fault](values[ONSET * HOURS :].copy())
    return values


@pytest.fixture(scope="module")
def learnt() -> dict[str, dict[str, Callable[[Floats, int], Finding]]]:
    reference = plant(N_DAYS)[: N_REFERENCE * HOURS]
    found = {"as it is": monitors(reference)}
    for name, (factor, offset) in UNITS.items():
        found[name] = monitors(reference * factor + offset)
    return found


def effects(finding: Finding) -> dict[str, float]:
    return {
        each.feature: each.effect
        for each in finding.detail.implicated_features
        if each.effect is not None
    }


def implicated(finding: Finding) -> object:
    detail = finding.detail
    faults = detail.faults if isinstance(detail, InputFaultDetail) else ()
    return (
        detail.top if finding.outcome is Outcome.BREACH else None,
        detail.moved,
        detail.since,
        [(fault.feature, fault.kind, fault.since) for fault in faults],
    )


@pytest.mark.parametrize("unit", [*UNITS])
@pytest.mark.parametrize("fault", [*FAULTS])
@pytest.mark.parametrize(
    "kind", ["input_drift", "mean_shift", "temporal_pattern", "input_fault"]
)
def test_a_unit_changes_no_verdict(
    learnt: dict[str, dict[str, Callable[[Floats, int], Finding]]],
    kind: str,
    fault: str,
    unit: str,
) -> None:
    if (kind, fault, unit) == ("input_fault", "scale", "+ 1e9"):
        pytest.skip("a factor is one about zero: elsewhere it is another fault")
    factor, offset = UNITS[unit]
    values = stream(fault)
    plain = learnt["as it is"][kind](values, N_DAYS)
    other = learnt[unit][kind](values * factor + offset, N_DAYS)
    assert other.outcome is plain.outcome
    assert implicated(other) == implicated(plain)
    assert effects(other) == pytest.approx(effects(plain), abs=1e-4, rel=1e-4)


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "none"])
def test_each_fault_is_found_by_a_monitor(
    learnt: dict[str, dict[str, Callable[[Floats, int], Finding]]], fault: str
) -> None:
    found = [find(stream(fault), N_DAYS).outcome for find in learnt["as it is"].values()]
    assert Outcome.BREACH in found
