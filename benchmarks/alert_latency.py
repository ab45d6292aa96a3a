"""How long after the batch that makes its condition true is an alert at the receiver?

Run: `python -m benchmarks.alert_latency [--rate 5000 --seconds 120]`; in full `--rate 20000
--seconds 600`. API and worker run as in production, on SQLite; the client library sends 200
models with five SLOs each their rows, 100 in a batch. One model after another fails for a
minute. Of each SLO the batch is found, by the evaluation of what was acknowledged up to each,
with which it pages; the latency is from its acknowledgement to the request at the receiver.
"""

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, NamedTuple

import httpx
import numpy as np
from seqwatch import Monitor, Options

from benchmarks.bar import Bar, report
from benchmarks.ingest import FEATURES
from benchmarks.sustained import Platform, platform
from core.clock import utcnow
from monitors import registry
from monitors.finding import Severity
from monitors.slo import burn_rate
from monitors.slo.history import of_slices
from monitors.slo.objective import BurnRateParams
from monitors.slo.reading import SliReading

N_MODELS, BATCH = 200, 100
FAILS_FOR, LEAD = 60.0, 10.0  # seconds of a failure, and before the first one
REST = 60.0  # seconds from the last failure to the end
LONGEST = 20.0  # seconds, the bar
# Besides `availability` and `latency` at 99 %, which every model has.
SLOS: Mapping[str, dict[str, Any]] = {
    "availability_30": {"sli": "availability", "objective": 0.999, "period": "P30D"},
    "availability_90": {"sli": "availability", "objective": 0.9995, "period": "P90D"},
    "latency_30": {"sli": "latency", "objective": 0.9995, "period": "P30D"},
}


def wall() -> float:
    """Return the wall time in seconds: of three processes."""
    return utcnow().timestamp()


class Acknowledged(NamedTuple):
    """A batch of one model that the API has acknowledged: event times, and how many failed."""

    at: float
    seconds: tuple[float, ...]
    is_failed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is sent, and where."""

    url: str
    key: str
    models: tuple[str, ...]
    rate: float
    seconds: float

    @property
    def batch_seconds(self) -> float:
        """Between two batches of one model."""
        return BATCH * len(self.models) / self.rate

    def fails_at(self, number: int) -> float:
        """Return when a model begins to fail, in seconds from the start."""
        return LEAD + (self.seconds - LEAD - REST) * number / len(self.models)


@dataclass(slots=True)
class _Sender:
    """One model: its monitor, and what was sent and acknowledged, by batch."""

    monitor: Monitor
    sent: dict[str, tuple[tuple[float, ...], bool]] = field(default_factory=dict)
    acknowledged: list[Acknowledged] = field(default_factory=list)


def send(plan: Plan, pipe: Any) -> None:
    """Send each model its batches, evenly; then all that was acknowledged, by model."""
    senders = []
    for model in plan.models:
        acknowledged: list[tuple[float, str]] = []
        options = Options(
            batch_rows=BATCH,
            linger_seconds=60.0,
            on_acknowledged=lambda ids, own=acknowledged: own.append(  # type: ignore[misc]
                (wall(), ids[0].rpartition("-")[0])
            ),
        )
        senders.append(
            (_Sender(Monitor(plan.url, plan.key, model, None, options)), acknowledged)
        )
    every, n = plan.batch_seconds, len(senders)
    values = np.random.default_rng(0).uniform(size=(BATCH, len(FEATURES))).round(6).tolist()
    features = [dict(zip(FEATURES, row, strict=True)) for row in values]
    began, late = wall(), 0.0
    for number in range(int(plan.seconds / every * n)):
        batch, place = divmod(number, n)
        due = number * every / n
        time.sleep(max(0.0, began + due - wall()))
        sender, _ = senders[place]
        now = wall()
        late = max(late, now - began - due)
        is_failed = 0 <= due - plan.fails_at(place) < FAILS_FOR
        times = tuple((now - every + every * np.arange(1, BATCH + 1) / BATCH).tolist())
        sender.sent[str(batch)] = times, is_failed
        sender.monitor.log_many(
            {
                "prediction_id": [f"{batch}-{i}" for i in range(BATCH)],
                "version": ["v1"] * BATCH,
                "at": [datetime.fromtimestamp(at, UTC).isoformat() for at in times],
                "entity": [f"meter-{i}" for i in range(BATCH)],
                "features": features,
                "output": [{"load": [0.5]}] * BATCH,
                "latency_seconds": [0.004] * BATCH,
                "status": ["error" if is_failed else "ok"] * BATCH,
            }
        )
    found, n_lost = {}, 0
    for model, (sender, acknowledged) in zip(plan.models, senders, strict=True):
        sender.monitor.flush(30.0)
        n_lost += sender.monitor.counts().waiting + sum(
            sender.monitor.counts().dropped.values()
        )
        found[model] = [Acknowledged(at, *sender.sent[batch]) for at, batch in acknowledged]
    pipe.send((found, n_lost, late))
    os._exit(0)  # two hundred monitors are closed one after another


@contextmanager
def receiver() -> Iterator[tuple[int, dict[tuple[str, str], float]]]:
    """Run a receiver; yield its port, and when each SLO of a model first paged."""
    paged: dict[tuple[str, str], float] = {}

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the base class's word
            now = wall()
            content = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(204)
            self.end_headers()
            if content["type"] != "alert.firing":
                return
            data = content["data"]
            for one in data["alerts"] or [data]:
                if one["severity"] == "page" and one["status"] == "firing":
                    paged.setdefault((one["model"], one["monitor"]), now)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Hook)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port, paged
    finally:
        server.shutdown()
        server.server_close()


def first_page(batches: Sequence[Acknowledged], params: BurnRateParams) -> float | None:
    """Return when the batch was acknowledged with which an SLO pages; None: with none."""
    counts: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
    has_failed = False
    for batch in batches:
        for at in batch.seconds:
            counts[int(at // 10)][int(batch.is_failed)] += 1
        has_failed |= batch.is_failed
        if not has_failed:
            continue
        slices = np.array(sorted(counts))
        newest = datetime.fromtimestamp(max(batch.seconds), UTC)
        reading = SliReading(
            total=of_slices(slices, np.array([counts[one] for one in slices.tolist()])),
            newest=newest,
            now=newest,
        )
        finding = burn_rate.evaluate(reading, params, newest)
        if finding.severities is not None and Severity.PAGE in finding.severities:
            return batch.at
    return None


def prepare(running: Platform, names: Sequence[str], port: int) -> None:
    """Give each model its SLOs; notify one receiver."""
    with httpx.Client(
        base_url=f"http://127.0.0.1:{running.port}",
        headers={"Authorization": f"Bearer {running.token}"},
        trust_env=False,
        timeout=60,
    ) as api:
        config = {"url": f"http://127.0.0.1:{port}/"}
        api.put(
            "/v1/channels/on-call", json={"kind": "webhook", "config": config}
        ).raise_for_status()
        for name in names:
            for slo, params in SLOS.items():
                path = f"/v1/models/{name}/slos/{slo}"
                api.put(path, json={"params": params}).raise_for_status()


def measure(folder: Path, n_models: int, rate: float, seconds: float) -> list[Bar]:
    """Send, wait for the last pages, and print how long each took."""
    names = tuple(f"model-{number}" for number in range(n_models))
    os.environ["SEQWATCH_WEBHOOK_ALLOW"] = "127.0.0.0/8"
    with receiver() as (port, paged), platform(folder, names) as running:
        prepare(running, names, port)
        plan = Plan(
            url=f"http://127.0.0.1:{running.port}",
            key=running.token,
            models=names,
            rate=rate,
            seconds=seconds,
        )
        processes = {"api": running.api, "worker": running.worker}
        before = {name: sum(one.cpu_times()[:2]) for name, one in processes.items()}
        ours, theirs = get_context("spawn").Pipe()
        sender = get_context("spawn").Process(target=send, args=(plan, theirs))
        sender.start()
        found, n_lost, late = ours.recv()
        sender.join()
        cpu = {name: sum(one.cpu_times()[:2]) - before[name] for name, one in processes.items()}
        time.sleep(LONGEST)  # of those that fired last
    return _bars(found, paged, seconds, cpu, n_lost, late)


def _bars(
    found: Mapping[str, Sequence[Acknowledged]],
    paged: Mapping[tuple[str, str], float],
    seconds: float,
    cpu: Mapping[str, float],
    n_lost: int,
    late: float,
) -> list[Bar]:
    n_rows = BATCH * sum(map(len, found.values()))
    sys.stdout.write(
        f"{n_rows / seconds:,.0f} rows/s acknowledged, {n_lost} lost; at most {late:.1f} s "
        f"behind; CPU: {', '.join(f'{name} {of / seconds:.2f}' for name, of in cpu.items())}\n"
    )
    took, n_missing = list[float](), 0
    for slo, given in SLOS.items():
        params = registry.parse("burn_rate", given)
        for model, batches in found.items():
            due, at = first_page(batches, params), paged.get((model, slo))
            if due is not None:
                n_missing += at is None
                took += [] if at is None else [at - due]
    p50, p99, most = (float(np.percentile(took or [np.inf], of)) for of in (50, 99, 100))
    sys.stdout.write(
        f"{len(took)} pages after {p50:.1f} s at the median, {p99:.1f} s at p99, at most "
        f"{most:.1f} s, at least {min(took, default=np.inf):.1f} s; {n_missing} missing\n"
    )
    return [
        Bar(name="alert latency: p99", figure=p99, unit="s", at_most=LONGEST),
        Bar(name="alert latency: pages missing", figure=n_missing, unit="", at_most=0),
        Bar(name="alert latency: rows lost", figure=n_lost, unit="", at_most=0),
    ]


def main() -> int:
    """Print the figures; 0 when each bar is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=N_MODELS)
    parser.add_argument("--rate", type=float, default=5_000, help="predictions a second")
    parser.add_argument("--seconds", type=float, default=120.0)
    given = parser.parse_args()
    with TemporaryDirectory() as made:
        bars = measure(Path(made), given.models, given.rate, given.seconds)
    are_met = [report(bar) for bar in bars]
    return 0 if all(are_met) else 1


if __name__ == "__main__":
    raise SystemExit(main())
