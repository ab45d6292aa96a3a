from datetime import UTC, datetime, timedelta

import pytest

from notify.retry import DELAYS, AfterFailure, Disable, GiveUp, Retry, after_failure

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "attempts", "expected"),
    [
        pytest.param(None, 1, Retry(NOW + timedelta(seconds=5)), id="no answer"),
        pytest.param(503, 3, Retry(NOW + timedelta(minutes=2)), id="the delay grows"),
        pytest.param(503, 11, Retry(NOW + timedelta(hours=24)), id="up to one day"),
        pytest.param(302, 1, Retry(NOW + timedelta(seconds=5)), id="a redirect is a failure"),
        pytest.param(
            404, 1, Retry(NOW + timedelta(seconds=5)), id="not found may be a roll-out"
        ),
        pytest.param(
            410, 1, Disable("the receiver answered 410: gone"), id="gone ends the channel"
        ),
        pytest.param(500, 12, GiveUp("no success in 12 attempts"), id="patience ends"),
    ],
)
def test_after_failure(status: int | None, attempts: int, expected: AfterFailure) -> None:
    assert after_failure(status, attempts, NOW) == expected


@pytest.mark.parametrize(
    ("asked", "waits"),
    [
        pytest.param(0, 30, id="never sooner than the schedule"),
        pytest.param(45, 45, id="as the receiver asks"),
        pytest.param(3600, 60, id="never more than twice the schedule"),
    ],
)
def test_the_receiver_may_slow_us_down(asked: int, waits: int) -> None:
    expected = Retry(NOW + timedelta(seconds=waits))
    assert after_failure(429, 2, NOW, timedelta(seconds=asked)) == expected


@pytest.mark.parametrize(("jitter", "share"), [(-1.0, 0.8), (0.0, 1.0), (1.0, 1.2)])
def test_jitter_is_a_fifth_either_way(jitter: float, share: float) -> None:
    assert after_failure(500, 4, NOW, jitter=jitter) == Retry(NOW + DELAYS[3] * share)
