"""The promise: a clock change is no finding for a contract that names its zone."""

from datetime import datetime

import pytest

from benchmarks.clock_change import CASES, SEEDS, breaches, case
from core.schema.zone import Zone

MOST_MORE = 5  # days with a breach of the 69 after the change, beside the twin without one
LEAST_IN_UTC = 50  # days: what the zone is for


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "change"),
    [pytest.param(name, at, id=f"{name} in {at:%B}") for name, at in CASES],
)
def test_a_clock_change_is_no_change_of_the_order_of_values(
    name: str, change: datetime
) -> None:
    found = {}
    for seed in SEEDS:
        made = case(Zone(name), change, seed)
        found[seed] = [breaches("temporal_pattern", one, change) for one in made]
    for in_utc, in_zone, twin in found.values():
        assert in_zone <= twin + MOST_MORE, found
        assert in_utc >= LEAST_IN_UTC, found


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["input_drift", "mean_shift", "input_fault"])
def test_no_other_monitor_of_input_takes_a_clock_change_for_one(kind: str) -> None:
    for name, change in CASES[:2]:
        _, in_zone, twin = case(Zone(name), change, SEEDS[0])
        assert breaches(kind, in_zone, change) <= breaches(kind, twin, change) + MOST_MORE
