"""A service that serves, logs and labels, and may be killed at any moment.

Run: `python -m tests.chaos.host URL KEY FOLDER NAME RATE ORIGIN [drain]`. What was
acknowledged is written to a file of its own, and flushed to disk, in the moment in which it
is known.
"""

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import httpx
from seqwatch import Monitor, Options

START = datetime(2026, 1, 5, tzinfo=UTC)
SPEED = 1_000  # event seconds in one second of the wall
LABEL_BATCH = 200
QUIET = 3.0  # seconds without anything that waits: then all is delivered


class Notes:
    """Ids of what is known to be kept; an id is there when its line is whole."""

    def __init__(self, folder: Path, kind: str, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / f"{kind}-{name}.txt").open("ab")

    def __call__(self, ids: Sequence[str]) -> None:
        self._file.write("".join(f"{each}\n" for each in ids).encode())
        self._file.flush()
        os.fsync(self._file.fileno())


def noted(folder: Path, kind: str) -> set[str]:
    """Read the ids back; a torn last line was not known to anybody."""
    ids: set[str] = set()
    for path in folder.glob(f"{kind}-*.txt"):
        ids.update(path.read_text().split("\n")[:-1])
    return ids


class Labels:
    """Labels by a sender of our own: plain HTTP, tried again under the same id."""

    def __init__(self, url: str, key: str, name: str, note: Callable[[Sequence[str]], None]):
        self._name, self._note = name, note
        self._http = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=5
        )
        self.queue: Queue[dict[str, Any]] = Queue(20_000)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        n = 0
        while True:
            rows = [self.queue.get()]
            try:
                while len(rows) < LABEL_BATCH:
                    rows.append(self.queue.get(timeout=0.05))
            except Empty:
                pass
            n += 1
            body = {"batch_id": f"{self._name}-{n}", "rows": rows}
            while not self._is_kept(body):
                time.sleep(0.3)
            self._note([row["prediction_id"] for row in rows])

    def _is_kept(self, body: dict[str, Any]) -> bool:
        try:
            answer = self._http.post("/v1/models/load/labels", json=body)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200


def row(rng: random.Random, prediction_id: str, at: datetime) -> dict[str, Any]:
    level = rng.gauss(10.0, 3.0)
    return {
        "prediction_id": prediction_id,
        "version": "v2" if rng.random() < 0.1 else "v1",
        "at": at,
        "entity": f"e{rng.randrange(20)}",
        "session_id": f"s{rng.randrange(500)}",
        "features": {
            "load": level,
            "wind": [rng.random(), None if rng.random() < 0.1 else rng.random(), 1.0],
        },
        "output": {"load": [level + rng.gauss(0, 1), level, level]},
        "status": "error" if rng.random() < 0.02 else "ok",
        "latency_seconds": rng.expovariate(50.0),
    }


def main(url: str, key: str, folder: str, name: str, rate: str, origin: str, *mode: str) -> int:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    place, rng = Path(folder), random.Random(name)
    acknowledge = Notes(place / "notes", "predictions", name)
    options = Options(
        on_acknowledged=acknowledge, adopt_seconds=1.0, timeout_seconds=5.0, linger_seconds=0.05
    )
    monitor = Monitor(url, key, "load", place / "spool", options)
    labels = Labels(url, key, name, Notes(place / "notes", "labels", name))
    n, began = 0, time.monotonic()
    while not stop.is_set() and not mode:
        elapsed = time.monotonic() - began
        # The hosts of one storm share one clock, so that later ones serve later days.
        now = START + timedelta(seconds=SPEED * (time.monotonic() - float(origin)))
        for _ in range(min(int(elapsed * float(rate)) - n, 500)):
            each = f"{name}:{n}"
            monitor.log(row(rng, each, now + timedelta(microseconds=n % 1000)))
            if n % 5 < 2:
                label = {
                    "prediction_id": each,
                    "actual": {"load": [rng.gauss(10, 3), 9.0, 8.0]},
                }
                if n % 5 == 0:
                    monitor.label(label)
                elif not labels.queue.full():
                    labels.queue.put(label)
            n += 1
        time.sleep(0.01)
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < QUIET:
        if monitor.counts().waiting or not labels.queue.empty():
            quiet_since = time.monotonic()
        time.sleep(0.05)
    monitor.close()
    counts = monitor.counts()
    sys.stdout.write(f"{name}: {counts}\n")
    return 1 if counts.waiting or counts.rejected else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
