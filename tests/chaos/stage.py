"""A platform of real processes that may be killed, and what it stands on."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import sessionmaker

from cli.database import make_key, migrate
from cli.processes import platform_command
from core.lake_root import Bucket, LakeRoot
from core.settings import Settings
from db.queries.log import positions
from db.session import connect, read_only
from db.tables import Inbox
from tests.chaos.audit import Check, audit, same
from tests.chaos.host import noted
from tests.objectstore import options_json

ROOT = Path(__file__).parents[2]
CONTRACT = {
    "features": [{"name": "load"}, {"name": "wind", "max_length": 3}],
    "targets": ["load"],
    "step": "PT1H",
    "input_length": 3,
    "horizon": 3,
    "segment_by": "entity",  # of which there are more than have a place of their own
}
PATIENCE = 900.0  # seconds for all that waits to be done; machines may be busy


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Stage:
    """One platform: an API, workers, and hosts that log to it.

    Parameters
    ----------
    folder
        For everything that is not the database.
    database_url
        A database of one's own, empty.
    lake
        Where the log goes; a folder below `folder` by default.
    rate
        Predictions per second of a host.
    home
        For the host's spool and notes; `folder` by default.
    settings
        More of the platform's environment.
    models
        The names of the models to register.
    """

    def __init__(
        self,
        folder: Path,
        database_url: str,
        *,
        lake: LakeRoot | None = None,
        rate: float = 2000.0,
        home: Path | None = None,
        settings: Mapping[str, str] | None = None,
        models: Sequence[str] = ("load",),
    ) -> None:
        self.models = models
        self.folder, self.home = folder, home or folder
        self.lake = lake or folder / "lake"
        self.rate = rate
        self.port = free_port()
        self.client_port = self.port
        self.database_url = database_url
        self.n_kills = 0
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._n_hosts = 0
        self._started: dict[str, float] = {}
        self._origin = time.monotonic()
        self._environment = {
            "SEQWATCH_DATABASE_URL": database_url,
            "SEQWATCH_LAKE": str(self.lake),
            "SEQWATCH_ARTIFACTS": str(folder / "artifacts"),
            "SEQWATCH_REPORTS": str(folder / "reports"),
            "SEQWATCH_PORT": str(self.port),
            "SEQWATCH_FOLD_EVERY": "0.5",
            "SEQWATCH_ARCHIVE_EVERY": "1",
            "SEQWATCH_ARCHIVE_AFTER": "0.1",
            "SEQWATCH_JOIN_EVERY": "0.1",
            "SEQWATCH_LEASE": "3",
            "SEQWATCH_MIN_FREE_BYTES": "0",
            **(settings or {}),
        }
        if isinstance(self.lake, Bucket):
            self._environment["SEQWATCH_LAKE_OPTIONS"] = options_json(self.lake)
        self.engine = connect(database_url)
        self.sessions = sessionmaker(self.engine, expire_on_commit=False)

    def open(self, n_workers: int = 2, *, with_host: bool = True) -> None:
        """Migrate, start the platform, register the model, start the host."""
        settings = Settings(database_url=self.database_url)
        migrate(settings)
        self.key = make_key(settings, "chaos", ["admin"], None)
        self.start("api")
        for i in range(n_workers):
            self.start(f"worker-{i}")
        self.wait_for_api()
        with httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=30
        ) as api:
            for model in self.models:
                place = f"/v1/models/{model}"
                assert api.put(place, json={"contract": CONTRACT}).status_code == 201
                for version in ("v1", "v2"):
                    answer = api.put(f"{place}/versions/{version}", json={})
                    assert answer.status_code in (200, 201), answer.text
        if with_host:
            self.start("host")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_for_api(self) -> None:
        """Wait until the API can work."""
        until = time.monotonic() + PATIENCE
        with httpx.Client(base_url=self.url, timeout=2) as client:
            while time.monotonic() < until:
                with suppress(httpx.HTTPError):
                    if client.get("/health").status_code == 200:
                        return
                time.sleep(0.1)
        raise TimeoutError(f"the API does not come up; see {self.folder}/log")

    def start(self, name: str, *, drain: bool = False) -> None:
        """Start a process under this name."""
        role = name.partition("-")[0]
        if role == "host":
            self._n_hosts += 1
            client = f"http://127.0.0.1:{self.client_port}"
            command = [sys.executable, "-m", "tests.chaos.host", client, self.key]
            command += [str(self.home), f"h{self._n_hosts}", str(self.rate), str(self._origin)]
            command += ["drain"] * drain
        else:
            command = platform_command(role)
        self._started[name] = time.monotonic()
        (self.home / "log").mkdir(parents=True, exist_ok=True)
        with (self.home / "log" / f"{name}.log").open("ab") as file:
            self.processes[name] = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **self._environment},
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )

    def kill(self, name: str) -> None:
        """Kill it as the kernel does, and start it again at once."""
        self.processes[name].kill()
        self.processes[name].wait()
        self.n_kills += 1
        self.start(name)

    def age(self, name: str) -> float:
        """Return for how many seconds a process has been up; 0 when there is none."""
        is_there = name in self.processes
        return time.monotonic() - self._started[name] if is_there else 0.0

    def acknowledged(self, kind: str) -> set[str]:
        return noted(self.home / "notes", kind)

    def wait_for_acknowledged(self, n: int, seconds: float = PATIENCE) -> None:
        """Wait until this many more predictions were acknowledged."""
        before, until = len(self.acknowledged("predictions")), time.monotonic() + seconds
        while len(self.acknowledged("predictions")) < before + n:
            assert time.monotonic() < until, f"nothing is acknowledged; see {self.home}/log"
            self.revive()
            time.sleep(0.2)

    def revive(self) -> None:
        """Start what ended by itself."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                self.start(name)

    def close(self) -> list[Check]:
        """Let the host deliver what it has, and the workers do what waits; then look."""
        self.wait_for_api()
        host = self.processes["host"]
        host.send_signal(signal.SIGTERM)
        host.wait(PATIENCE)
        self._deliver()
        until = time.monotonic() + PATIENCE
        while self._waits() and time.monotonic() < until:
            self.revive()
            time.sleep(0.5)
        self.stop()
        checks = audit(
            self.sessions,
            self.lake,
            "load",
            predictions=self.acknowledged("predictions"),
            labels=self.acknowledged("labels"),
        )
        return [same("the last host has delivered everything", 0, self._left), *checks]

    def _deliver(self) -> None:
        """Send what dead hosts left in their spools."""
        self.start("host", drain=True)
        self._left = self.processes["host"].wait(PATIENCE)
        del self.processes["host"]

    def _waits(self) -> bool:
        try:
            with read_only(self.sessions) as session:
                n = session.scalar(select(func.count()).select_from(Inbox)) or 0
                return n + len(positions.dirty_days(session)) > 0
        except SQLAlchemyError:
            return True

    def stop(self) -> None:
        """End every process: those that listen may end by themselves."""
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()


@contextmanager
def staged(stage: Stage, n_workers: int = 2, *, with_host: bool = True) -> Iterator[Stage]:
    """Open a stage; whatever happens, leave no process behind."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        stage.open(n_workers, with_host=with_host)
        yield stage
    finally:
        stage.stop()
        stage.engine.dispose()
