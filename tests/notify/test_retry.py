from datetime import UTC, datetime, timedelta

import pytest

from notify.retry import DELAYS, AfterFailure, GiveUp, RetryAt, after_failure

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [
        pytest.param(1, RetryAt(NOW + timedelta(seconds=5)), id="soon"),
        pytest.param(3, RetryAt(NOW + timedelta(minutes=2)), id="the delay grows"),
        pytest.param(11, RetryAt(NOW + timedelta(hours=24)), id="up to one day"),
        pytest.param(12, GiveUp("no success in 12 attempts"), id="the schedule ends"),
    ],
)
def test_after_failure(attempts: int, expected: AfterFailure) -> None:
    assert after_failure(attempts, NOW) == expected


@pytest.mark.parametrize(
    ("asked", "waits"),
    [
        pytest.param(0, 30, id="never sooner than the schedule"),
        pytest.param(45, 45, id="as the receiver asks"),
        pytest.param(3600, 60, id="never more than twice the schedule"),
    ],
)
def test_the_receiver_may_slow_us_down(asked: int, waits: int) -> None:
    expected = RetryAt(NOW + timedelta(seconds=waits))
    assert after_failure(2, NOW, timedelta(seconds=asked)) == expected


@pytest.mark.parametrize(("jitter", "share"), [(-1.0, 0.8), (0.0, 1.0), (1.0, 1.2)])
def test_jitter_is_a_fifth_either_way(jitter: float, share: float) -> None:
    assert after_failure(4, NOW, jitter=jitter) == RetryAt(NOW + DELAYS[3] * share)
