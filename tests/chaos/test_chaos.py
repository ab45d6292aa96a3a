"""A short storm and short outages; `make chaos` runs the long ones."""

import os

import pytest

from tests.chaos import outage, overload, storm
from tests.chaos.audit import Check

pytestmark = pytest.mark.slow


def wrong(checks: list[Check]) -> list[Check]:
    return [check for check in checks if not check.is_ok]


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_nothing_is_lost_or_doubled_however_often_it_is_killed(database: str) -> None:
    assert wrong(storm.run(database, kills=8, seed=5, every=0.5, rate=300)) == []


@pytest.mark.parametrize(
    ("scenario", "database"),
    [
        pytest.param(
            "disk",
            "sqlite",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount"),
        ),
        ("database", "sqlite"),
        ("database", "postgres"),
        ("store", "sqlite"),
        ("network", "sqlite"),
    ],
)
def test_nothing_is_lost_when_the_ground_is_taken_away(scenario: str, database: str) -> None:
    assert wrong(outage.run(scenario, database, seconds=6, rate=200)) == []


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_nothing_is_lost_when_twice_as_much_is_sent_as_can_be_kept(database: str) -> None:
    assert wrong(overload.run(database, seconds=15, rate=2_000)) == []
