"""Rows a second, beside Evidently's legacy collector: same rows, same generator, one run.

Run: `make bench-peers`. Ours keeps every row on disk, checked against the
contract, before it answers; theirs keeps what it is sent in a list in memory,
unread. Both servers are up at the same time and take turns, so that a machine
whose speed drifts is as slow for the one as for the other.
"""

import argparse
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from benchmarks.ingest import AS_JSON, rows, server, shape
from benchmarks.load import Shape, load

PEER = Path(".peers/evidently/bin/python")
SCRIPT = Path(__file__).parent / "peers" / "evidently_collector.py"
IMPORTS_SECONDS = 120  # the peer's imports, on a slow disk
# Rows in a request, and connections: few where a request is large.
SIZES = {1: 128, 100: 48, 1000: 8}


@dataclass(slots=True, kw_only=True)
class Side:
    """One server under one kind of load."""

    shape: Shape
    port: int
    token: str
    rates: list[float] = field(default_factory=list)

    def run(self, seconds: float) -> None:
        """Measure once more."""
        measured = load(self.shape, self.port, self.token, warm_up=0.3, seconds=seconds)
        if measured.n_refused:
            raise RuntimeError(f"{self.shape.name}: refused: {measured.first_refusal}")
        self.rates.append(len(measured.latencies) * self.shape.n_rows / seconds)


NAMES = ("prediction_id", "version", "at", "entity")


def peer_body(n: int, seed: int, names: tuple[str, ...]) -> bytes:
    """Return the same rows as the peer's own client sends them.

    That is `DataFrame.to_dict()`: columns of index and value.
    """
    columns: dict[str, dict[int, object]] = {}
    for i, row in enumerate(rows(n, seed)):
        for name in names:
            columns.setdefault(name, {})[i] = row[name]
        for name, value in row["features"].items():
            columns.setdefault(name, {})[i] = value
        columns.setdefault("output", {})[i] = row["output"]["load"][0]
        columns.setdefault("latency_seconds", {})[i] = row["latency_seconds"]
    return json.dumps(columns).encode()


def peer_shape(n: int, n_connections: int, names: tuple[str, ...] = ()) -> Shape:
    """Return the peer's requests: with names, or with numbers alone.

    A report on columns of numbers has no use for ids and times; to find a
    prediction again, or to join a label, one has to send them.
    """
    return Shape(
        name=f"Evidently, {n} rows",
        path="/bench/data",
        content_type=AS_JSON,
        bodies=tuple(peer_body(n, seed, names) for seed in range(n_connections)),
        n_rows=n,
        n_connections=n_connections,
    )


@contextmanager
def peer(folder: Path) -> Iterator[int]:
    """Run the legacy collector in its own environment; yield its port."""
    if not PEER.exists():
        raise SystemExit("no .peers/evidently: run `make bench-peers`")
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [PEER, SCRIPT, str(port), str(folder)],
        env={**os.environ, "DO_NOT_TRACK": "1"},
        stdout=subprocess.DEVNULL,
    )
    try:
        give_up = time.monotonic() + IMPORTS_SECONDS
        while process.poll() is None and time.monotonic() < give_up:
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=30)


def compare(ours: Side, theirs: list[Side], n_rounds: int, seconds: float) -> str:
    """Let both take turns; return a line of the table."""
    for _ in range(n_rounds):
        for side in (ours, *theirs):
            side.run(seconds)
    best = max(theirs, key=lambda side: median(side.rates))
    ratios = [a / b for a, b in zip(ours.rates, best.rates, strict=True)]
    return (
        f"{ours.shape.name:<20} {max(ours.rates):>12,.0f} {median(ours.rates):>12,.0f} "
        f"{max(best.rates):>12,.0f} {median(best.rates):>12,.0f} {median(ratios):>7.2f} "
        f"{min(ratios):>7.2f} {max(ratios):>7.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of one turn")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        server(Path(folder)) as (port, token, _),
    ):
        print(f"rows/s, {options.rounds} turns of {options.seconds:g} s each")
        print(
            f"{'ours':<27} {'beside theirs with':<20} {'ours, best':>12} {'median':>12} "
            f"{'theirs, best':>12} {'median':>12} {'ratio':>7} {'least':>7} {'most':>7}"
        )
        endpoints = port, token, Path(folder)
        for n, n_connections in SIZES.items():
            for form in ("rows", "columns")[: 1 if n == 1 else 2]:
                mine = shape(f"JSON {form}, {n:,} a body", n, n_connections)
                # Theirs gets the connections with which it is faster.
                for what, names in (("the same rows", NAMES), ("their numbers", ())):
                    others = [peer_shape(n, few, names) for few in (1, n_connections)]
                    line = _line(replace(mine, name=what), others, endpoints, options)
                    print(f"{mine.name if names else '':<27} {line}", flush=True)
        arrow = shape("Arrow, 1,000 a body", 1000, 16)
        for what, names in (("the same rows", NAMES), ("their numbers", ())):
            others = [peer_shape(1000, few, names) for few in (1, 8)]
            line = _line(replace(arrow, name=what), others, endpoints, options)
            print(f"{arrow.name if names else '':<27} {line}", flush=True)


def _line(
    mine: Shape,
    others: list[Shape],
    endpoints: tuple[int, str, Path],
    given: argparse.Namespace,
) -> str:
    port, token, folder = endpoints
    # A new one each time: it keeps all rows, and was once killed for holding 23 GB.
    with peer(folder) as peer_port:
        ours = Side(shape=mine, port=port, token=token)
        theirs = [Side(shape=other, port=peer_port, token="-") for other in others]
        return compare(ours, theirs, given.rounds, given.seconds)


if __name__ == "__main__":
    main()
