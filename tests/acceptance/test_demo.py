"""The whole platform, as a newcomer starts it: real processes, a real stream, real webhooks."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import select
from sqlalchemy.orm import sessionmaker

from core.clock import utcnow
from core.window import Window
from db.session import connect
from db.tables import Model, SessionScore
from lake.reading import Log
from services.aggregation.fold import fold_all
from services.retention.archive import archive_all

ROOT = Path(__file__).parents[2]
PORTS = count(21_000 + 200 * (os.getpid() % 50), 3)
MINUTES = 60
ROLES = ("api", "worker", "trainer")
MOST_KILLS = 4  # of each role: a trainer that dies five times over one rollout gives it up


class Demo:
    """One run of `seqwatch demo`, in a folder of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder / "demo"
        self.result_file = folder / "result.json"
        self.acknowledged_file = folder / "acknowledged.txt"
        self.log = folder / "demo.log"
        command = [sys.executable, "-m", "cli.main", "demo", "--stop", "--no-outage"]
        command += ["--port", str(next(PORTS)), "--folder", str(self.folder)]
        command += ["--json", str(self.result_file), *arguments]
        environment = {**os.environ, "FORECASTER_ACKNOWLEDGED": str(self.acknowledged_file)}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
            )

    def wait(self, minutes: float) -> dict[str, Any]:
        """Wait for the end and return the result; show the log if there is none."""
        try:
            self.process.wait(minutes * MINUTES)
        finally:
            self.stop()
        assert self.result_file.exists(), self.log.read_text()
        result: dict[str, Any] = json.loads(self.result_file.read_text())
        return result

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()

    def pid_of(self, role: str) -> int | None:
        """Return the process that plays a role; None while it is dead or being started."""
        try:
            for child in psutil.Process(self.process.pid).children(recursive=True):
                if child.status() != psutil.STATUS_ZOMBIE and role in child.cmdline():
                    return child.pid
        except psutil.Error:  # it died meanwhile
            return None
        return None

    def logged(self) -> Counter[str]:
        """Return how often each prediction id is in the lake, after a last fold and archive."""
        engine = connect(f"sqlite:///{self.folder / 'seqwatch.sqlite'}")
        sessions = sessionmaker(engine)
        fold_all(sessions, utcnow())
        archive_all(sessions, self.folder / "lake", utcnow())
        with sessions() as session:
            model_id = session.scalars(select(Model.id)).one()
        engine.dispose()
        ever = Window(datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
        rows = Log(self.folder / "lake", model_id).predictions(ever, ["prediction_id"])
        assert rows is not None
        return Counter(rows["prediction_id"].to_pylist())

    def served_shares(self) -> Counter[str]:
        """Return how many sessions of the rollout each version began to serve."""
        engine = connect(f"sqlite:///{self.folder / 'seqwatch.sqlite'}")
        with sessionmaker(engine)() as session:
            served = Counter(session.scalars(select(SessionScore.served_by)))
        engine.dispose()
        return served


@pytest.mark.slow
def test_a_shift_is_noticed_paged_retrained_and_healed(tmp_path: Path) -> None:
    result = Demo(tmp_path).wait(8)
    assert result["is_as_expected"]
    assert "canary_passed" in result["phases"]
    assert len(result["pages"]) == 1
    assert result["recovered_after"] is not None
    assert result["error_after"] < 0.75 * result["error_during"]


@pytest.mark.slow
def test_without_a_change_nobody_is_paged_and_drift_keeps_its_promise(tmp_path: Path) -> None:
    result = Demo(tmp_path, "--no-change").wait(25)
    assert result["pages"] == []
    assert result["n_retrains"] == 0
    assert result["n_drift_episodes"] <= result["n_days"] / 90
    assert result["n_temporal_pattern_episodes"] <= result["n_days"] / 90


@pytest.mark.slow
def test_a_broken_sensor_is_paged_by_name_and_never_learned(tmp_path: Path) -> None:
    result = Demo(tmp_path, "--fault", "unit").wait(8)
    assert result["n_retrains"] == 0
    assert len(result["pages"]) == 1
    assert "HULL scaled by" in result["pages"][0]


@pytest.mark.slow
def test_a_scrambled_challenger_is_refused_at_the_gate(tmp_path: Path) -> None:
    result = Demo(tmp_path, "--sabotage").wait(8)
    assert "gate_failed" in result["phases"]
    assert "canary_passed" not in result["phases"]


@pytest.mark.slow
def test_a_scrambled_challenger_that_slips_past_the_gate_is_rolled_back(tmp_path: Path) -> None:
    demo = Demo(tmp_path, "--sabotage", "--bypass-gate")
    result = demo.wait(10)
    assert "canary_failed" in result["phases"]
    assert "canary_passed" not in result["phases"]
    assert "step_up" not in result["phases"]
    served = demo.served_shares()
    n_sessions = sum(served.values())
    # 5 % of new sessions: the binomial count exceeds this bound once in 10,000 runs.
    bound = 0.05 * n_sessions + 3.7 * (0.05 * 0.95 * n_sessions) ** 0.5
    assert served["v2"] <= bound


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_kill_9_at_any_moment_loses_nothing_and_ends_the_same(
    tmp_path: Path, seed: int
) -> None:
    demo = Demo(tmp_path)
    choice = random.Random(seed)
    killed: Counter[str] = Counter()
    until = time.monotonic() + 12 * MINUTES
    while demo.process.poll() is None and time.monotonic() < until:
        time.sleep(choice.uniform(6.0, 14.0))
        left = [role for role in ROLES if killed[role] < MOST_KILLS]
        role = choice.choice(left or ["nobody"])
        pid = demo.pid_of(role) if demo.process.poll() is None else None
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            killed[role] += 1
    result = demo.wait(1)
    assert min(killed[role] for role in ROLES) >= 2, killed
    assert "canary_passed" in result["phases"], demo.log.read_text()
    logged = demo.logged()
    twice = [prediction for prediction, n in logged.items() if n > 1]
    acknowledged = set(demo.acknowledged_file.read_text().split())
    assert len(acknowledged) > 1000
    assert not twice
    assert not acknowledged - set(logged)
