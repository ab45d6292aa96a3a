"""A rate is held in the long run, whatever the batches look like."""

import random

import pytest

from core.errors import Unprocessable
from core.limits import AS_INSTALLED, Bucket, Limits
from core.settings import Settings
from services.access.rate_limits import allowed


def test_the_rate_is_held_in_the_long_run() -> None:
    rng = random.Random(7)
    bucket = Bucket(rate=100.0, burst=500.0, balance=500.0, at=0.0)
    at, sent = 0.0, 0
    while at < 1000.0:
        at += rng.expovariate(20.0)
        bucket = bucket.later(at)
        if bucket.balance >= 0:
            n_rows = rng.choice([1, 10, 700])
            bucket, sent = bucket.charged(n_rows), sent + n_rows
    # At most the burst and one batch beyond the rate; at least the rate, for it never rests.
    assert 100 * at - 700 <= sent <= 100 * at + 500 + 700


def test_time_never_runs_backwards_in_a_bucket() -> None:
    bucket = Bucket(rate=10.0, burst=20.0, balance=0.0, at=5.0)
    assert bucket.later(4.0) == bucket


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        pytest.param({"rowz": 1}, "limits: unknown rowz", id="a misspelt limit"),
        pytest.param({"rows": 0}, "limits: rows must be at least 1", id="nothing at all"),
        pytest.param({"rows": "many"}, "limits: Expected", id="of another type"),
        pytest.param({"burst_rows": 5}, "burst_rows needs rows_per_second", id="a burst alone"),
    ],
)
def test_wrong_limits_are_refused_by_name(stored: dict[str, object], message: str) -> None:
    with pytest.raises(Unprocessable, match=message):
        Limits.from_json(stored)


def test_only_declared_limits_are_stored() -> None:
    assert Limits(rows=5).to_json() == {"rows": 5}
    assert Limits.from_json({}) == AS_INSTALLED


def test_no_key_may_send_more_than_the_installation_takes() -> None:
    settings = Settings(max_body_bytes=2000, max_rows=10, max_waiting_bytes=2**20)
    wide = allowed(Limits(body_bytes=9000, rows=99, waiting_bytes=2**40), settings)
    assert (wide.body_bytes, wide.rows, wide.waiting_bytes) == (2000, 10, 2**20)
    narrow = allowed(Limits(body_bytes=900, rows=9, waiting_bytes=1000), settings)
    assert (narrow.body_bytes, narrow.rows, narrow.waiting_bytes) == (900, 9, 1000)


def test_a_body_that_never_has_room_is_refused_for_good() -> None:
    assert allowed(Limits(waiting_bytes=100), Settings()).body_bytes == 100


def test_a_rate_comes_from_the_key_or_else_from_the_installation() -> None:
    settings = Settings(max_rows_per_second=50)
    assert allowed(AS_INSTALLED, settings).rows_per_second == 50
    assert allowed(Limits(rows_per_second=7), settings).burst_rows == 70
    assert allowed(Limits(rows_per_second=7, burst_rows=8), settings).burst_rows == 8
