"""Sending waits as long as it is asked to, and reports how far it is."""

import sys
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from cli.importing.progress import Progress
from cli.importing.sending import ImportRefused, Journal, Parcel, Platform, Tally
from services.ingest import Feed


def test_busy_is_waited_for_as_long_as_the_platform_asks() -> None:
    answers: list[httpx.Response | Exception] = [
        httpx.Response(
            503, json={"error": "Busy", "detail": "full"}, headers={"Retry-After": "7"}
        ),
        httpx.Response(
            429, json={"error": "TooMany", "detail": "slow"}, headers={"Retry-After": "2"}
        ),
        httpx.ConnectError("gone"),
        httpx.Response(200, json={"accepted": 3, "duplicate": False, "quarantined": 0}),
    ]
    ids = []

    def answer(request: httpx.Request) -> httpx.Response:
        ids.append(request.headers["idempotency-key"])
        outcome = answers[len(ids) - 1]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    paused: list[float] = []
    platform = Platform("http://x", "k", "m", lambda _: None, paused.append)
    platform._http = httpx.Client(base_url="http://x", transport=httpx.MockTransport(answer))
    tally = Tally()
    parcel = Parcel(feed=Feed.PREDICTIONS, first=0, end=3, table=pa.table({"a": [1, 2, 3]}))
    assert platform.send(parcel, "one", tally) == (3, 0)
    assert paused == [7.0, 2.0, 0.5]
    assert ids == ["one"] * 4


@pytest.mark.parametrize(
    ("states", "seconds", "expected"),
    [
        pytest.param(["queued", "running", "done"], 60.0, "v1", id="done"),
        pytest.param(["queued", "failed"], 60.0, "disk full", id="failed"),
        pytest.param(["queued"], 0.0, "not done within 0 s", id="no worker"),
    ],
)
def test_a_backtest_is_asked_for_and_waited_for(
    states: list[str], seconds: float, expected: str
) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        state = states[len(asked)]
        asked.append(f"{request.method} {request.url.path}")
        document: dict[str, Any] = {"id": "b", "state": state, "error": None, "result": None}
        document |= {"result": {"version": "v1"}} if state == "done" else {}
        document |= {"error": "disk full"} if state == "failed" else {}
        return httpx.Response(202 if request.method == "POST" else 200, json=document)

    platform = Platform("http://x", "k", "m", lambda _: None, lambda _: None)
    platform._http = httpx.Client(base_url="http://x", transport=httpx.MockTransport(answer))
    try:
        found = platform.backtest({}, seconds)["version"]
    except ImportRefused as error:
        found = str(error)
    assert expected in found
    again = ["GET /v1/models/m/backtests/b"] * (len(states) - 1)
    assert asked == ["POST /v1/models/m/backtests", *again]


def test_progress_in_a_log_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = iter([0.0, 1.0, 6.0, 6.0, 10.0])
    progress = Progress(sys.stderr, 1000, lambda: next(seconds))
    progress.add(100, sent=True)
    progress.add(200, sent=True)
    progress.done()
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "██████··············  30%  300 of 1,000 rows, 50 a second, 14 s left",
        "██████··············  30%  300 of 1,000 rows, 30 a second, 23 s left",
    ]


def test_a_journal_that_was_torn_by_a_kill_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "state" / "one.jsonl"
    Journal(path).add("a", 3, 1)
    with path.open("a") as file:
        file.write('{"batch": "b", "acc')
    journal = Journal(path)
    assert journal.get("b") is None
    entry = journal.get("a")
    assert entry is not None
    assert (entry["accepted"], entry["quarantined"]) == (3, 1)
    journal.add("c", 1, 0)
    assert Journal(path).get("c") is not None
