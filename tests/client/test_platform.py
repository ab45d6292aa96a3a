"""The client against the real API and a real database."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from seqwatch import Monitor, Options
from sqlalchemy.orm import Session, sessionmaker

from core.durations import HOUR
from core.schema.contract import Contract
from core.schema.feature import Feature
from core.settings import Settings
from tests.client.platform import START, Platform

CONTRACT = Contract(
    features=(Feature(name="load"),),
    targets=("load",),
    step=HOUR,
    input_length=4,
    horizon=2,
)

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def platform(settings: Settings, sessions: sessionmaker[Session]) -> Iterator[Platform]:
    platform = Platform(settings, sessions, CONTRACT)
    platform.start()
    yield platform
    platform.stop()


def _row(i: int) -> dict[str, object]:
    return {
        "prediction_id": f"p-{i}",
        "version": "v1",
        "at": START + i * timedelta(hours=1),
        "features": {"load": [float(i), float("nan")]},
        "output": {"load": [1.0, 2.0]},
    }


def test_what_is_confirmed_is_kept_exactly_once_over_an_outage(
    platform: Platform, tmp_path: Path
) -> None:
    confirmed: list[str] = []
    options = Options(batch_rows=10, linger_seconds=0.01, on_acknowledged=confirmed.extend)
    monitor = Monitor(platform.url, platform.key, "load", tmp_path / "spool", options)
    for i in range(100):
        monitor.log(_row(i))
    platform.stop()
    for i in range(100, 200):
        monitor.log(_row(i))
    platform.start()
    assert monitor.flush(timeout=30.0)
    monitor.close()
    assert platform.kept_ids() == [f"p-{i}" for i in range(200)]
    assert confirmed == platform.kept_ids()


def test_a_row_that_breaks_the_contract_is_the_only_one_not_confirmed(
    platform: Platform,
) -> None:
    confirmed: list[str] = []
    monitor = Monitor(
        platform.url, platform.key, "load", options=Options(on_acknowledged=confirmed.extend)
    )
    rows = [_row(0), _row(1) | {"features": {"oil": [1.0]}}, _row(2)]
    monitor.log_many({name: [row[name] for row in rows] for name in rows[0]})
    assert monitor.flush()
    monitor.close()
    assert confirmed == platform.kept_ids() == ["p-0", "p-2"]
    assert platform.n_quarantined() == 1
    counts = monitor.counts()
    assert (counts.acknowledged, counts.rejected, counts.waiting) == (2, 1, 0)


@pytest.mark.parametrize(
    "nasty",
    [
        pytest.param({"entity": "\ud800"}, id="half a surrogate pair"),
        pytest.param({"entity": "a\0b"}, id="a NUL character"),
        pytest.param({"latency_seconds": float("inf")}, id="an infinity"),
        pytest.param({"step_index": 10**30}, id="a number of 100 bits"),
        pytest.param({"prediction_id": 7}, id="an id that is a number"),
        pytest.param({"features": {"load": [float("-inf")]}}, id="an infinity in a list"),
        pytest.param({"features": 7}, id="features that are none"),
        pytest.param({"at": "yesterday"}, id="a time in words"),
        pytest.param({"x": [[[[[[[[[[1]]]]]]]]]]}, id="a deep field that nobody knows"),
    ],
)
def test_a_row_that_nobody_can_read_does_not_cost_its_neighbours(
    platform: Platform, nasty: dict[str, object]
) -> None:
    options = Options(linger_seconds=0.2)
    monitor = Monitor(platform.url, platform.key, "load", options=options)
    monitor.log(_row(0))
    monitor.log(_row(1) | nasty)
    monitor.log(_row(2))
    assert monitor.flush()
    monitor.close()
    assert platform.kept_ids() == ["p-0", "p-2"]
    counts = monitor.counts()
    assert (counts.acknowledged, counts.rejected + sum(counts.dropped.values())) == (2, 1)


def test_the_api_reads_compressed_batches(platform: Platform) -> None:
    options = Options(compress=True)
    monitor = Monitor(platform.url, platform.key, "load", options=options)
    for i in range(50):
        monitor.log(_row(i))
    assert monitor.flush()
    monitor.close()
    assert platform.kept_ids() == [f"p-{i}" for i in range(50)]


def test_an_unknown_key_loses_nothing(platform: Platform, tmp_path: Path) -> None:
    wrong = Monitor(platform.url, "sw_wrong", "load", tmp_path / "spool")
    wrong.log(_row(0))
    wrong.close(timeout=0.5)
    assert wrong.counts().spooled == 1
    right = Monitor(platform.url, platform.key, "load", tmp_path / "spool")
    assert right.flush()
    right.close()
    assert platform.kept_ids() == ["p-0"]
