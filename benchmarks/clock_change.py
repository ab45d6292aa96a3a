"""Breach days after a clock change, of a series that follows local time.

Run: `python -m benchmarks.clock_change`. The reference is the 150 days before the change, 69
days after it are evaluated. `docs/time.md` shows a run.
"""

import argparse
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from scipy.signal import lfilter

from benchmarks.quality import tables
from core.durations import DAY
from core.schema.zone import Zone, changes
from monitors.drift import input_drift, input_drift_baseline, mean_shift, mean_shift_evaluation
from monitors.drift.input_drift_baseline import InputDriftParams
from monitors.drift.mean_shift import MeanShiftParams
from monitors.finding import Outcome
from monitors.input_fault import input_fault
from monitors.input_fault.input_fault import InputFaultParams
from monitors.summaries.hourly import HOURS, Hourly, hourly
from monitors.summaries.local_time import in_local_time, local_hours
from monitors.summaries.moments import CENTRED, MAX, MIN, N_MOMENTS, SUM, N
from monitors.summaries.summary import Floats, Summary, chunk_at
from monitors.temporal import panel, temporal_pattern
from monitors.temporal.panel import TemporalPatternParams

N_REFERENCE, N_AFTER = 150, 69  # days
SEEDS = (1, 2, 3)
CASES = (  # midnights of days on which clocks are changed, and are not in the 150 days before
    ("Europe/Berlin", datetime(2026, 3, 29, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 25, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, tzinfo=UTC)),
    ("Australia/Sydney", datetime(2026, 10, 4, tzinfo=UTC)),
)
N_FEATURES, NOISE = 3, 0.3


def plant(first: int, n_hours: int, seed: int) -> Floats:
    """Return three sensors of one plant, (hour, feature), with a daily cycle and noise.

    Parameters
    ----------
    first, n_hours
        The hours that a clock shows there, counted since 1970.
    seed
        Of the noise.
    """
    hours = first + np.arange(n_hours)
    turn = 2 * np.pi * (hours % HOURS) / HOURS
    day = np.sin(turn - 2.0) + 0.4 * np.sin(2 * turn + 1.0)
    weekend = np.where((hours // HOURS + 3) % 7 >= 5, 0.7, 1.0)
    chance = np.random.default_rng(seed)
    steps = chance.normal(size=(hours.size + 500, N_FEATURES + 1))
    slow = lfilter([np.sqrt(1 - 0.7**2)], [1, -0.7], steps, axis=0)[500:]
    values: Floats = (
        10
        + (day * weekend)[:, np.newaxis] * np.array([4.0, 3.0, 2.0])
        + NOISE * (slow[:, :1] + slow[:, 1:])
    )
    return values


def summarised(values: Floats, first: int) -> Summary:
    """Return the summary of one value an hour (of UTC)."""
    moments = np.zeros((*values.shape, N_MOMENTS))
    moments[..., N] = 1.0
    moments[..., SUM] = moments[..., MIN] = moments[..., MAX] = values
    moments[..., CENTRED] = 0.0
    return Summary(
        chunks=first + np.arange(len(values)),
        moments=moments,
        counts=np.zeros((*values.shape, 0), dtype=np.uint32),
    )


def breaches(kind: str, hours: Hourly, change: datetime) -> int:
    """Return on how many of the days after a change a monitor finds a breach.

    Parameters
    ----------
    kind
        Of `MONITORS`.
    hours
        From the start of the reference to the last day.
    change
        The first midnight after the reference, in the time of `hours`.
    """
    fit, evaluate = MONITORS[kind]
    end = chunk_at(change)
    baseline: Any = fit(hours.until(end, N_REFERENCE * HOURS))
    days = [change + (1 + n) * DAY for n in range(N_AFTER)]
    found = [evaluate(baseline, hours.until(chunk_at(day), 180 * HOURS), day) for day in days]
    return sum(one.outcome is Outcome.BREACH for one in found)


MONITORS: Mapping[str, Any] = {
    "temporal_pattern": (
        lambda reference: panel.fit(reference, TemporalPatternParams()),
        temporal_pattern.evaluate,
    ),
    "input_drift": (
        lambda reference: input_drift_baseline.fit(reference, InputDriftParams()),
        input_drift.evaluate,
    ),
    "mean_shift": (
        lambda reference: mean_shift.fit(reference, MeanShiftParams()),
        mean_shift_evaluation.evaluate,
    ),
    "input_fault": (
        lambda reference: input_fault.fit(reference, InputFaultParams()),
        lambda baseline, hours, day: input_fault.evaluate(baseline, hours, (), day),
    ),
}


def case(zone: Zone, change: datetime, seed: int) -> tuple[Hourly, Hourly, Hourly]:
    """Return a series as it is in UTC, in its zone, and its twin where clocks do not change.

    `change` is the midnight, in local time, of the day on which clocks are changed.
    """
    start, end = change - N_REFERENCE * DAY, change + N_AFTER * DAY
    at = np.arange(chunk_at(zone.utc(start)) - HOURS, chunk_at(zone.utc(end)) + HOURS)
    shown = local_hours(at, zone)
    values = plant(int(shown[0]), at.size + HOURS, seed)
    names = tuple(f"f{i}" for i in range(N_FEATURES))
    local = summarised(values[shown - shown[0]], int(at[0]))
    twin = summarised(values, int(shown[0]))
    return (
        hourly(local, names, start, end),
        hourly(in_local_time(local, zone), names, start, end),
        hourly(twin, names, start, end),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--monitors", nargs="+", default=[*MONITORS], choices=[*MONITORS])
    asked = parser.parse_args()
    rows = []
    for name, change in CASES:
        zone = Zone(name)
        assert len(changes(zone, zone.utc(change), zone.utc(change + DAY))) == 2
        made = [case(zone, change, seed) for seed in SEEDS]
        for kind in asked.monitors:
            figures = [
                "/".join(str(breaches(kind, one[place], change)) for one in made)
                for place in range(3)
            ]
            rows.append([f"{name}, {change:%B}", kind, *figures])
    heads = ("clock change", "monitor", "contract in UTC", "contract in its zone", "no change")
    print(tables.table(heads, rows))


if __name__ == "__main__":
    main()
