"""Traffic of a small fleet at a fixed rate, with event time that moves on.

A batch in ten is JSON, the others are Arrow. Labels follow for one prediction
in a hundred. Bodies are patched templates: to make them must cost less than
to take them.
"""

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection as Pipe

import msgspec
import numpy as np
import uvloop

from benchmarks.ingest import AS_ARROW, AS_JSON, FEATURES, N_ROWS, START, arrow_body, rows
from benchmarks.load import MARKER, Paced, connect, head

JSON_EVERY = 10  # batches of a model
LABELS_PER_BATCH = N_ROWS // 100
LABELS_AT_ONCE = 500
N_CONNECTIONS = 48
N_TEMPLATES = 4
PATIENCE = 180.0  # seconds for the last answers
TICK = 0.002  # seconds between two polls of what is due
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to send.

    Attributes
    ----------
    rate
        Predictions a second, of all models together.
    seconds
        How long.
    start
        Event time of the first prediction.
    speed
        Seconds of event time in one second.
    report_every
        Seconds between two reports.
    """

    models: tuple[str, ...]
    rate: float
    seconds: float
    start: datetime
    speed: float
    report_every: float
    port: int
    token: str


@dataclass(slots=True, kw_only=True)
class Report:
    """What was answered since the last report."""

    at: float
    accepted: Counter[str] = field(default_factory=Counter)  # rows, by feed
    latencies: list[float] = field(default_factory=list)
    n_refused: int = 0
    first_refusal: str = ""
    n_in_line: int = 0
    is_last: bool = False


class ArrowTemplate:
    """One batch as Arrow, in which ids and times are patched."""

    def __init__(self, seed: int) -> None:
        body = arrow_body(N_ROWS, seed)
        first = (START - EPOCH) // timedelta(microseconds=1)
        times = first + np.arange(N_ROWS, dtype=np.int64) * 1_000_000
        self._body = np.frombuffer(body, np.uint8).copy()
        at = body.index(times.tobytes())
        self._times = self._body[at : at + times.nbytes].view(np.int64)
        self._values = []
        for name in FEATURES:
            column = np.array([row["features"][name] for row in rows(N_ROWS, seed)])
            at = body.index(column.tobytes())
            place = self._body[at : at + column.nbytes].view(np.float64)
            self._values.append((place, column))
        starts, at = [], body.find(MARKER)
        while at >= 0:
            starts.append(at)
            at = body.find(MARKER, at + len(MARKER))
        self._places = np.add.outer(np.array(starts), np.arange(len(MARKER)))

    def fill(self, serial: int, times: np.ndarray[tuple[int], np.dtype[np.int64]]) -> bytes:
        self._body[self._places] = np.frombuffer(b"%012d" % serial, np.uint8)
        self._times[:] = times
        for place, column in self._values:  # never the same twice: they would compress
            place[:] = column + serial * 1e-9
        return self._body.tobytes()


class JsonTemplate:
    """One batch as JSON."""

    def __init__(self, seed: int) -> None:
        self._rows = rows(N_ROWS, seed)

    def fill(self, serial: int, times: np.ndarray[tuple[int], np.dtype[np.int64]]) -> bytes:
        texts = np.datetime_as_string(times.view("datetime64[us]"))
        for i, (row, at) in enumerate(zip(self._rows, texts.tolist(), strict=True)):
            row["prediction_id"] = f"{serial:012d}-{i:04d}"
            row["at"] = at + "Z"
        return msgspec.json.encode({"rows": self._rows})


class Traffic:
    """Makes the requests of a plan, one batch after the other."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._arrow = [ArrowTemplate(seed) for seed in range(N_TEMPLATES)]
        self._json = JsonTemplate(99)
        self._first = (plan.start - EPOCH) // timedelta(microseconds=1)
        # Of event time, in microseconds, between two predictions of one model.
        self._gap = 1e6 * plan.speed * len(plan.models) / plan.rate
        self._labels: dict[str, list[dict[str, object]]] = {name: [] for name in plan.models}

    def batch(self, no: int) -> list[bytes]:
        """Return request number `no`, and labels once enough have come together."""
        turn, which = divmod(no, len(self._plan.models))
        name = self._plan.models[which]
        times = self._first + (
            (turn * N_ROWS + np.arange(N_ROWS, dtype=np.float64)) * self._gap
        ).astype(np.int64)
        if turn % JSON_EVERY == 0:
            made = [self._request(name, "predictions", AS_JSON, self._json.fill(no, times))]
        else:
            body = self._arrow[no % N_TEMPLATES].fill(no, times)
            made = [self._request(name, "predictions", AS_ARROW, body)]
        waiting = self._labels[name]
        if len(waiting) >= LABELS_AT_ONCE:
            body = msgspec.json.encode({"batch_id": f"labels-{no}", "rows": waiting})
            made.append(self._request(name, "labels", AS_JSON, body))
            waiting.clear()
        waiting += [
            {"prediction_id": f"{no:012d}-{i:04d}", "actual": {"load": [0.5]}}
            for i in range(0, N_ROWS, N_ROWS // LABELS_PER_BATCH)
        ]
        return made

    def _request(self, name: str, feed: str, content_type: str, body: bytes) -> bytes:
        path = f"/v1/models/{name}/{feed}"
        return head(path, self._plan.token, content_type, len(body)) + body


def reference_body(start: datetime, days: int) -> bytes:
    """Return past input, a row each five minutes."""
    rng = np.random.default_rng(5)
    made = [
        {
            "prediction_id": f"reference-{i}",
            "at": (start + i * timedelta(minutes=5)).isoformat(),
            "features": dict(
                zip(FEATURES, rng.uniform(size=len(FEATURES)).round(6).tolist(), strict=True)
            ),
        }
        for i in range(days * 288)
    ]
    return json.dumps({"rows": made}).encode()


async def _send(plan: Plan, pipe: Pipe) -> None:
    traffic, paced = Traffic(plan), Paced()
    n_answered, report = 0, Report(at=plan.report_every)
    every = N_ROWS / plan.rate
    began = time.monotonic() + 0.5

    def note(due: float, status: bytes, body: bytes) -> None:
        nonlocal n_answered
        n_answered += 1
        if status == b"200":
            answer = json.loads(body)
            report.accepted["all"] += answer["accepted"]
            report.latencies.append(time.monotonic() - due)
        else:
            report.n_refused += 1
            report.first_refusal = report.first_refusal or body[:300].decode()

    await connect(plan.port, N_CONNECTIONS, lambda _: paced.on_free, note)
    no = 0
    while (now := time.monotonic() - began) < plan.seconds:
        while (due := no * every) <= now:
            for request in traffic.batch(no):
                paced.send(request, began + due)
            no += 1
            await asyncio.sleep(0)  # answers are read between two bodies
        if now >= report.at:
            report.n_in_line = paced.n_in_line
            done, report = report, Report(at=report.at + plan.report_every)
            pipe.send(done)
        await asyncio.sleep(TICK)
    async with asyncio.timeout(PATIENCE):
        while n_answered < paced.n_sent:
            await asyncio.sleep(0.01)
    report.at, report.is_last = plan.seconds, True
    pipe.send(report)
    paced.close()


def send(plan: Plan, pipe: Pipe) -> None:
    """Send what is planned, and report now and then; for a process of its own."""
    uvloop.run(_send(plan, pipe))
