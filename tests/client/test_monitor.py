import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from seqwatch import Monitor, Options
from seqwatch.delivery.batch import Kind, pack

from tests.client.api import Answer, Api

FAST = Options(linger_seconds=0.01, timeout_seconds=2.0)


def _row(name: str) -> dict[str, object]:
    return {"prediction_id": name, "version": "v1", "at": "2026-01-01T00:00:00Z"}


def test_rows_arrive_in_order_under_the_key_and_the_model(api: Api) -> None:
    monitor = Monitor(api.url, "sw_key", "load", options=FAST)
    for i in range(3):
        monitor.log(_row(f"p-{i}"))
    monitor.label({"entity": "e-1", "target_at": "2026-01-01T00:00:00Z", "actual": {"x": [1]}})
    monitor.log_many({"prediction_id": ["p-3", "p-4"], "version": ["v1", "v1"]})
    assert monitor.flush()
    monitor.close()
    assert {seen.path for seen in api.seen} == {
        "/v1/models/load/predictions",
        "/v1/models/load/labels",
    }
    assert {seen.headers["authorization"] for seen in api.seen} == {"Bearer sw_key"}
    rows = [row for seen in api.seen for row in seen.rows]
    named = [row["prediction_id"] for row in rows if "prediction_id" in row]
    assert (named, len(rows)) == (["p-0", "p-1", "p-2", "p-3", "p-4"], 6)
    counts = monitor.counts()
    assert (counts.logged, counts.acknowledged, counts.waiting) == (6, 6, 0)
    assert counts.dropped == {}


def test_a_retry_carries_the_same_batch_id(api: Api) -> None:
    api.script = [Answer(status=500), Answer(status=503, headers={"Retry-After": "0"})]
    monitor = Monitor(api.url, "k", "load", options=FAST)
    monitor.log(_row("p-1"))
    assert monitor.flush()
    monitor.close()
    assert len(api.seen) == 3
    assert len({seen.batch_id for seen in api.seen}) == 1
    assert monitor.counts().sent == 3
    assert monitor.counts().acknowledged == 1


@pytest.mark.parametrize(
    ("answer", "acknowledged", "rejected", "dropped", "confirmed"),
    [
        pytest.param(
            Answer(
                status=422,
                body=b'{"type":"urn:seqwatch:error:BadRows","detail":"","accepted":1,'
                b'"errors":[{"row":0,"field":"at","reason":"?"}]}',
            ),
            1, 1, {}, ["p-1"],
            id="bad rows are delivered with rejects",
        ),
        pytest.param(
            Answer(status=409), 0, 0, {"refused_409": 2}, [], id="a refused batch is dropped"
        ),
        pytest.param(
            Answer(status=200, body=b'{"accepted":1,"duplicate":true,"quarantined":1}'),
            1, 1, {}, [],
            id="of an earlier delivery with rejects no id is confirmed",
        ),
    ],
)  # fmt: skip
def test_what_became_of_rows_is_counted_and_confirmed(
    api: Api,
    answer: Answer,
    acknowledged: int,
    rejected: int,
    dropped: dict[str, int],
    confirmed: list[str],
) -> None:
    api.script = [answer]
    ids: list[str] = []
    options = Options(linger_seconds=0.01, on_acknowledged=ids.extend)
    monitor = Monitor(api.url, "k", "load", options=options)
    monitor.log_many({"prediction_id": ["p-0", "p-1"]})
    assert monitor.flush()
    monitor.close()
    counts = monitor.counts()
    assert (counts.acknowledged, counts.rejected) == (acknowledged, rejected)
    assert counts.dropped == dropped
    assert ids == confirmed


def test_a_batch_that_crashes_the_api_does_not_hold_up_the_others(api: Api) -> None:
    api.poison = b"poison"
    options = Options(linger_seconds=0.01, batch_rows=1)
    monitor = Monitor(api.url, "k", "load", options=options)
    for name in ("poison", "p-1", "p-2"):
        monitor.log(_row(name))
    while monitor.counts().acknowledged < 2:
        time.sleep(0.01)
    assert api.kept_ids == ["p-1", "p-2"]
    assert monitor.counts().waiting == 1
    api.poison = None
    assert monitor.flush()
    monitor.close()
    assert api.kept_ids[-1] == "poison"


def test_a_batch_that_is_refused_is_halved_until_the_row_at_fault_stands_alone(
    api: Api,
) -> None:
    api.refuses = b'"p-5"'
    confirmed: list[str] = []
    options = Options(linger_seconds=0.2, on_acknowledged=confirmed.extend)
    monitor = Monitor(api.url, "k", "load", options=options)
    for i in range(8):
        monitor.log(_row(f"p-{i}"))
    assert monitor.flush()
    monitor.close()
    expected = [f"p-{i}" for i in range(8) if i != 5]
    assert api.kept_ids == confirmed == expected
    counts = monitor.counts()
    assert (counts.acknowledged, counts.dropped) == (7, {"refused_413": 1})


def test_bodies_are_compressed_until_an_api_does_not_read_them(api: Api) -> None:
    options = Options(linger_seconds=0.01, compress=True)
    monitor = Monitor(api.url, "k", "load", options=options)
    monitor.log(_row("p-1"))
    assert monitor.flush()
    api.script = [Answer(status=415)]
    for name in ("p-2", "p-3"):
        monitor.log(_row(name))
        assert monitor.flush()
    monitor.close()
    assert [seen.headers.get("content-encoding") for seen in api.seen] == [
        "gzip", "gzip", None, None,
    ]  # fmt: skip
    assert api.seen[1].batch_id == api.seen[2].batch_id
    assert api.kept_ids == ["p-1", "p-2", "p-3"]


def test_the_two_parts_of_a_batch_keep_their_ids_when_they_are_sent_again(api: Api) -> None:
    batch = pack(Kind.PREDICTIONS, [b'{"prediction_id":"p-%d"}' % i for i in range(3)], "c")
    first, second = batch.split()
    assert batch.split() == (first, second)
    assert (first.n_rows, second.n_rows, first.contract) == (1, 2, "c")
    assert first.batch_id != second.batch_id != batch.batch_id


class _Hostile:
    def tolist(self) -> object:
        raise RuntimeError("not today")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param({"x": object()}, "not_json", id="an object"),
        pytest.param({"x": _Hostile()}, "not_rows", id="an array that raises"),
        pytest.param({1j: 2}, "not_json", id="a key that JSON does not know"),
        pytest.param(7, "not_rows", id="no row at all"),
    ],
)
def test_a_row_that_cannot_be_sent_is_dropped_alone(
    api: Api, row: dict[str, object], reason: str
) -> None:
    monitor = Monitor(api.url, "k", "load", options=FAST)
    monitor.log(row)
    monitor.log(_row("good"))
    assert monitor.flush()
    monitor.close()
    assert api.kept_ids == ["good"]
    assert monitor.counts().dropped == {reason: 1}


def test_columns_that_differ_in_length_are_dropped_without_a_word_to_the_host(
    api: Api,
) -> None:
    monitor = Monitor(api.url, "k", "load", options=FAST)
    monitor.log_many({"prediction_id": ["a", "b"], "version": ["v1"]})
    monitor.close()
    assert monitor.counts().dropped == {"not_rows": 1}


def test_a_full_buffer_drops_and_counts() -> None:
    options = Options(max_rows=10, linger_seconds=60.0, batch_rows=1000)
    monitor = Monitor("http://127.0.0.1:9", "k", "load", options=options)
    for i in range(25):
        monitor.log(_row(f"p-{i}"))
    counts = monitor.counts()
    assert (counts.logged, counts.waiting) == (25, 10)
    assert counts.dropped == {"buffer_full": 15}
    monitor.close(timeout=0.0)
    monitor.log(_row("too late"))
    assert monitor.counts().dropped == {"buffer_full": 15, "closed": 1}


def test_a_callback_that_fails_does_not_stop_the_sending(api: Api) -> None:
    def fail(ids: Sequence[str]) -> None:
        raise RuntimeError(f"no room for {ids}")

    options = Options(linger_seconds=0.01, batch_rows=1, on_acknowledged=fail)
    monitor = Monitor(api.url, "k", "load", options=options)
    monitor.log(_row("p-0"))
    monitor.log(_row("p-1"))
    assert monitor.flush()
    monitor.close()
    assert api.kept_ids == ["p-0", "p-1"]


def test_a_service_outlives_an_outage_and_a_restart(api: Api, tmp_path: Path) -> None:
    api.stop()
    first = Monitor(api.url, "k", "load", tmp_path, FAST)
    for i in range(100):
        first.log(_row(f"p-{i}"))
    first.close(timeout=0.3)
    assert first.counts().waiting == 100
    api.start()
    confirmed: list[str] = []
    options = Options(linger_seconds=0.01, on_acknowledged=confirmed.extend)
    second = Monitor(api.url, "k", "load", tmp_path, options)
    assert second.counts().recovered == 100
    assert second.flush()
    second.close()
    assert api.kept_ids == [f"p-{i}" for i in range(100)]
    assert confirmed == api.kept_ids


HOST = """
import sys, time
from pathlib import Path
from seqwatch import Monitor, Options
from seqwatch.delivery.batch import Kind, pack
options = Options(linger_seconds=0.005, batch_rows=7)
monitor = Monitor(sys.argv[1], "k", "load", Path(sys.argv[2]), options)
for i in range(int(sys.argv[3])):
    monitor.log({"prediction_id": f"{sys.argv[4]}-{i}"})
while monitor.counts().buffered:
    time.sleep(0.001)
print("spooled", flush=True)
sys.stdin.read()
"""


def test_a_host_that_is_killed_loses_nothing_that_it_spooled(api: Api, tmp_path: Path) -> None:
    n_rows, n_kills = 200, 3
    for round_ in range(n_kills):
        api.script = [Answer(status=500)] * 2  # so that it dies with rows unsent
        arguments = [api.url, str(tmp_path), str(n_rows), f"r{round_}"]
        host = subprocess.Popen(
            [sys.executable, "-c", HOST, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with host:
            assert host.stdout is not None
            assert host.stdout.readline() == b"spooled\n"
            os.kill(host.pid, signal.SIGKILL)
    api.script = []
    last = Monitor(api.url, "k", "load", tmp_path, FAST)
    assert last.counts().recovered > 0
    assert last.flush()
    last.close()
    expected = {f"r{round_}-{i}" for round_ in range(n_kills) for i in range(n_rows)}
    assert set(api.kept_ids) == expected
    assert len(api.kept_ids) == len(expected)


def test_the_end_of_the_process_sends_what_is_left(api: Api) -> None:
    code = (
        "import sys; from seqwatch import Monitor; "
        "Monitor(sys.argv[1], 'k', 'load').log({'prediction_id': 'last words'})"
    )
    subprocess.run([sys.executable, "-c", code, api.url], check=True, timeout=30)
    assert api.kept_ids == ["last words"]


def test_logging_costs_the_host_little_while_the_api_hangs() -> None:
    # A port that accepts and never answers. Nothing here is a time limit of the
    # product; 200 us a row is ten times what was measured on two busy cores.
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        monitor = Monitor(url, "k", "load", options=Options(timeout_seconds=0.5))
        started = time.monotonic()
        for i in range(5_000):
            monitor.log(_row(f"p-{i}"))
        seconds = time.monotonic() - started
        monitor.close(timeout=0.0)
    assert seconds < 1.0


def test_a_label_between_two_predictions_does_not_part_their_batch(api: Api) -> None:
    options = replace(FAST, batch_rows=100, linger_seconds=10.0)
    monitor = Monitor(api.url, "sw_key", "load", options=options)
    for i in range(30):
        monitor.log(_row(f"p-{i}"))
        monitor.label({"prediction_id": f"p-{i}", "actual": {"x": [1]}})
    assert monitor.flush()
    monitor.close()
    assert len(api.seen) <= 4  # not sixty; the flush may come amid the packing
