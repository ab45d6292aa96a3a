"""A few short rounds; `make chaos` plays the long ones."""

import pytest

from tests.chaos import clock, surroundings
from tests.chaos.audit import Check

pytestmark = pytest.mark.slow


def wrong(checks: list[Check]) -> list[Check]:
    return [check for check in checks if not check.is_ok]


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_every_slot_is_evaluated_once_whatever_is_taken_away(database: str) -> None:
    assert wrong(surroundings.run(database, [8.0] * 4, seed=2)) == []


@pytest.mark.skipif(clock.library() is None, reason="libfaketime is not installed")
def test_every_slot_is_evaluated_once_however_the_clock_moves() -> None:
    assert wrong(clock.run("sqlite", seconds=3.0, day_seconds=5.0)) == []
