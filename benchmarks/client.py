"""What does `log()` cost the host, while the threads behind it work?

A stub API in a process of its own takes the batches. Every row goes through
the spool on disk. `python -m benchmarks.client --help`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from seqwatch import Monitor, Options
from seqwatch.torch_states import StateSampler
from torch import nn

from benchmarks.bar import Bar, report

N_STEPS, N_FEATURES, HORIZON = 24, 8, 24
PEER = Path(".peers/whylogs/bin/python")
PEER_SCRIPT = Path(__file__).parent / "peers" / "whylogs_log.py"
BARS = {"one step": 3.0, "24 x 8": 10.0}  # microseconds, at the median
UNSAMPLED_BAR = 5.0  # microseconds
CONTRACT = {
    "features": [{"name": f"feature_{i}"} for i in range(N_FEATURES)],
    "targets": ["load"],
    "step": "PT1M",
    "input_length": N_STEPS,
    "horizon": HORIZON,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One way to call `log`."""

    name: str
    bar: float
    call: Callable[[Monitor], object]


def cases() -> list[Case]:
    """Return the ways to log that are measured."""
    window = np.random.default_rng(7).uniform(size=(N_STEPS, N_FEATURES))
    output = window[:, 0].copy()
    arrays = {f"feature_{i}": window[:, i].copy() for i in range(N_FEATURES)}
    lists = {name: values.tolist() for name, values in arrays.items()}
    step = {"features": {"load": [1.5]}, "output": {"load": [2.5]}, "session_id": "s-1"}
    whole = {**step, "prediction_id": "p-1", "version": "v1", "at": "2026-01-01T00:00:00Z"}
    one, many = BARS["one step"], BARS["24 x 8"]
    forecast: dict[str, object] = {"load": output}
    return [
        Case(name="one step, a row", bar=one, call=lambda m: m.log(whole)),
        Case(name="one step, fields", bar=one, call=lambda m: m.log(**step)),
        Case(
            name="24 x 8, one array",
            bar=many,
            call=lambda m: m.log(session_id="s-1", features=window, output=output),
        ),
        Case(
            name="24 x 8, eight arrays",
            bar=many,
            call=lambda m: m.log(session_id="s-1", features=arrays, output=forecast),
        ),
        Case(
            name="24 x 8, eight lists",
            bar=many,
            call=lambda m: m.log(session_id="s-1", features=lists, output=forecast),
        ),
    ]


def flat_out(monitor: Monitor, case: Case, n_calls: int) -> list[int]:
    """Call as fast as possible; return nanoseconds."""
    took = []
    for _ in range(n_calls):
        started = time.perf_counter_ns()
        case.call(monitor)
        took.append(time.perf_counter_ns() - started)
    return took


def paced(monitor: Monitor, case: Case, n_calls: int, per_second: float) -> list[int]:
    """Call at a rate, while the host computes in between; return nanoseconds."""
    weights = np.random.default_rng(8).uniform(size=(64, 64))
    took = []
    due = time.perf_counter()
    for _ in range(n_calls):
        due += 1 / per_second
        while time.perf_counter() < due:
            weights @ weights
        started = time.perf_counter_ns()
        case.call(monitor)
        took.append(time.perf_counter_ns() - started)
    return took


def serve(ready: Any) -> None:
    """Take whatever is posted, until killed."""

    class Endpoint(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:  # the base class's word
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    ready.put(server.server_address[1])
    server.serve_forever()


def measure_log(url: str, folder: Path, n_calls: int, seconds: float) -> bool:
    """Print a line for each case; True when every median is within its bar."""
    print(f"{'log()':<24} {'bar':>5} {'flat out':>22} {'at 1,000/s':>22} {'dropped':>8}")
    print(f"{'':<24} {'µs':>5} {'p50 µs':>11} {'p99 µs':>10} {'p50 µs':>11} {'p99 µs':>10}")
    is_met = True
    for case in cases():
        options = Options(defaults={"version": "v1"})
        monitor = Monitor(url, "k", "bench", folder, options, contract=CONTRACT)
        figures = []
        for took in (
            flat_out(monitor, case, n_calls),
            paced(monitor, case, int(1000 * seconds), 1000.0),
        ):
            figures += [float(value) / 1000 for value in np.percentile(took, [50, 99])]
            monitor.flush(60.0)
        dropped = sum(monitor.counts().dropped.values())
        monitor.close()
        is_met = is_met and max(figures[0], figures[2]) <= case.bar
        name = f"client: log() {case.name}"
        report(Bar(name=name, figure=figures[0], unit="µs", at_most=case.bar))
        print(
            f"{case.name:<24} {case.bar:>5.0f} {figures[0]:>11.2f} {figures[1]:>10.2f} "
            f"{figures[2]:>11.2f} {figures[3]:>10.2f} {dropped:>8}"
        )
    return is_met


def measure_peer() -> None:
    """Print what whylogs takes for the same, in its own environment."""
    if not PEER.exists():
        print("\nwhylogs: not there (make bench-peers makes its environment)")
        return
    done = subprocess.run(
        [str(PEER), str(PEER_SCRIPT)], check=True, capture_output=True, text=True, timeout=300
    )
    print(f"\n{'why.log(row=...)':<24} {'p50 µs':>11} {'p99 µs':>10}")
    for name, (median, late) in json.loads(done.stdout).items():
        print(f"{name:<24} {median:>11.1f} {late:>10.1f}")


class _Model(nn.Module):
    def __init__(self, rnn: nn.LSTM) -> None:
        super().__init__()
        self.rnn = rnn

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.rnn(windows)[0]
        return hidden


def quiet(model: nn.Module, windows: torch.Tensor, n_calls: int) -> float:
    """Return what a call takes when nothing else disturbs it, in microseconds."""
    took = []
    for _ in range(1000):
        started = time.perf_counter_ns()
        for _ in range(n_calls):
            model(windows)
        took.append((time.perf_counter_ns() - started) / n_calls)
    return float(np.percentile(took, 5)) / 1000


def measure_states() -> bool:
    """Print what the torch hook adds to a call; True when it is within its bar."""
    torch.set_num_threads(1)
    windows = torch.randn(N_STEPS, 1, N_FEATURES)
    with torch.no_grad():
        # A kernel that costs nothing, so that what the hooks add can be seen.
        free = _Model(nn.LSTM(N_FEATURES, 1)).eval()
        free.rnn.__dict__["forward"] = lambda windows: (windows, None)
        plain = quiet(free, windows, 20)
        del free.rnn.__dict__["forward"]
        StateSampler(free, every=10**9)
        free(windows)  # the first call is sampled
        free.rnn.__dict__["forward"] = lambda windows: (windows, None)
        between = quiet(free, windows, 20) - plain
        real = _Model(nn.LSTM(N_FEATURES, 64)).eval()
        alone = quiet(real, windows, 1)
        StateSampler(real, every=1)
        sampled = quiet(real, windows, 1) - alone
    print(f"\ntorch hook on a call of {alone:.0f} µs (LSTM, 64 units, 24 steps)")
    print(
        f"adds {between:.1f} µs when not sampled (bar {UNSAMPLED_BAR:.0f}), "
        f"{sampled:.0f} µs when sampled"
    )
    name = "client: torch hook, not sampled"
    return report(Bar(name=name, figure=between, unit="µs", at_most=UNSAMPLED_BAR))


def main() -> int:
    """Measure, and print whether the bars were met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=30_000, help="calls flat out")
    parser.add_argument("--seconds", type=float, default=5.0, help="of the paced run")
    arguments = parser.parse_args()
    context = get_context("spawn")
    ready = context.Queue()
    server = context.Process(target=serve, args=(ready,), daemon=True)
    server.start()
    try:
        url = f"http://127.0.0.1:{ready.get(timeout=30)}"
        with tempfile.TemporaryDirectory() as folder:
            is_met = measure_log(url, Path(folder), arguments.calls, arguments.seconds)
    finally:
        server.kill()
    with suppress(subprocess.SubprocessError):
        measure_peer()
    is_met = measure_states() and is_met
    print(f"\nbars {'met' if is_met else 'MISSED'}")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
