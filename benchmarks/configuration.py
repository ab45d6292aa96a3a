"""How long does a configuration of many models take, and do requests wait meanwhile?

Run: `python -m benchmarks.configuration [--models 400]`. A real server on SQLite and the real
command: all models from YAML, the same again, and a changed default of all. Meanwhile a client
sends single rows to another model, and the longest of its requests is reported.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from benchmarks.bar import Bar, report
from cli.database import make_key, migrate
from cli.processes import Supervisor, listening, platform_command
from core.settings import Settings

APPLIED, CHANGED, AGAIN, WAITED = 60, 10, 10, 2  # seconds at most
DEFAULTS = """
kind: Defaults
name: hourly
tags: [hourly]
contract:
  features: [{name: load}, {name: temperature}, {name: wind}, {name: sun}]
  targets: [load]
  step: PT1H
  input_length: 96
  horizon: 24
policy: {lateness: PT2H}
monitors:
  accuracy: {params: {objective: 0.40}}
slos:
  availability: {objective: 0.995}
"""
MODEL = """
kind: Model
name: model-{i:04}
tags: [hourly, site-{site}]
group: energy
description: Load of site {i}
"""
ROW = {
    "prediction_id": "p",
    "at": "2026-01-01T00:00:00Z",
    "version": "v1",
    "features": {"load": 1.0, "temperature": 1.0, "wind": 1.0, "sun": 1.0},
    "output": {"load": [1.0] * 24},
}


def write(folder: Path, n_models: int, defaults: str = DEFAULTS) -> None:
    """Write the files of so many models."""
    (folder / "models").mkdir(parents=True, exist_ok=True)
    (folder / "defaults.yaml").write_text(defaults)
    for i in range(n_models):
        text = MODEL.format(i=i, site=i % 10)
        (folder / "models" / f"{i:04}.yaml").write_text(text)


@contextmanager
def platform(folder: Path) -> Iterator[dict[str, str]]:
    """Serve an empty installation; yield the environment of its commands."""
    environment = {
        "SEQWATCH_DATABASE_URL": f"sqlite:///{folder}/seqwatch.sqlite",
        "SEQWATCH_LAKE": f"{folder}/lake",
    }
    settings = Settings(database_url=environment["SEQWATCH_DATABASE_URL"], lake=folder / "lake")
    migrate(settings)
    key = make_key(settings, "benchmark", ["admin"], None)
    listener = listening("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    supervisor = Supervisor(logs=folder / "logs", environment=environment, listener=listener)
    try:
        supervisor.start("api", platform_command("api", listener))
        supervisor.wait_until_healthy("api", f"{url}/health")
        yield environment | {"SEQWATCH_KEY": key, "SEQWATCH_PUBLIC_URL": url}
    finally:
        supervisor.stop()


def run(environment: dict[str, str], *arguments: str) -> tuple[float, str]:
    """Return the wall time of a command in seconds, and the last line that it printed."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return time.monotonic() - began, done.stdout.splitlines()[-1]


class Sender:
    """Sends single rows until it is stopped; keeps the longest time of one."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.longest = 0.0
        self._environment = environment
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> "Sender":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _send(self) -> None:
        headers = {"Authorization": f"Bearer {self._environment['SEQWATCH_KEY']}"}
        base = self._environment["SEQWATCH_PUBLIC_URL"]
        with httpx.Client(base_url=base, headers=headers, timeout=60) as client:
            n = 0
            while not self._stop.wait(0.05):
                n += 1
                began = time.monotonic()
                row = ROW | {"prediction_id": f"p{n}"}
                answer = client.post("/v1/models/model-0000/predictions", json={"rows": [row]})
                if answer.status_code != 404:  # the model is not there at first
                    answer.raise_for_status()
                    self.longest = max(self.longest, time.monotonic() - began)


def main() -> int:
    """Measure, and hold the figures against the bars."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=400)
    n_models = parser.parse_args().models
    with tempfile.TemporaryDirectory() as made:
        folder, files = Path(made), Path(made) / "files"
        write(files, n_models)
        command = ("apply", "-f", str(files))
        with platform(folder) as environment, Sender(environment) as sender:
            applied, created = run(environment, *command)
            again, unchanged = run(environment, *command)
            write(files, n_models, DEFAULTS.replace("0.40", "0.45"))
            changed, altered = run(environment, *command)
        print(f"{created}\n{unchanged}\n{altered}")
        assert created.startswith(f"{n_models} created"), created
        assert unchanged.endswith(f"{n_models} unchanged"), unchanged
        assert altered.startswith(f"0 created, {n_models} changed"), altered
    of = f"configuration: {n_models} models"
    report(Bar(name=f"{of} applied", figure=applied, unit="s", at_most=APPLIED))
    report(Bar(name=f"{of} again, unchanged", figure=again, unit="s", at_most=AGAIN))
    report(Bar(name=f"{of}, a default changed", figure=changed, unit="s", at_most=CHANGED))
    of_rows = "configuration: longest request of single rows meanwhile"
    report(Bar(name=of_rows, figure=sender.longest, unit="s", at_most=WAITED))
    return 0


if __name__ == "__main__":
    sys.exit(main())
