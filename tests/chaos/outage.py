"""Take away what the platform stands on for a while, and look whether anything was lost.

Run: `python -m tests.chaos.outage disk|database|store|network --seconds 60 --database postgres`
"""

import argparse
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests import objectstore, postgres
from tests.chaos.audit import Check, table_of
from tests.chaos.stage import Stage, staged
from tests.chaos.storm import place

SCENARIOS = ("disk", "database", "store", "network")
BEFORE, AFTER = 500, 500  # predictions that must be acknowledged
DISK_MIB = 96


@contextmanager
def small_disk(folder: Path, mib: int = DISK_MIB) -> Iterator[Path]:
    """Mount a small disk; needs root."""
    folder.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)], check=True
    )
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Fill a disk to the last byte."""
    ballast = folder / "ballast"
    with ballast.open("wb", 0) as file:
        for size in (2**20, 4096, 1):
            with suppress(OSError):
                while True:
                    file.write(b"\0" * size)
    try:
        with suppress(OSError), (folder / "probe").open("wb", 0) as probe:
            probe.write(b"\0" * 8192)
        yield
    finally:
        ballast.unlink()
        (folder / "probe").unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold SQLite's only lock for writing, as a backup that hangs would."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=60)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


class Wire:
    """A TCP proxy that can be cut: connections hang, and nothing goes through."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._is_cut = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @contextmanager
    def cut(self) -> Iterator[None]:
        self._is_cut.set()
        try:
            yield
        finally:
            self._is_cut.clear()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._target), timeout=5)
                except OSError:
                    near.close()
                    continue
                far.settimeout(None)
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(
                        target=self._pump, args=(source, sink), daemon=True
                    ).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while part := source.recv(65_536):
                while self._is_cut.is_set():
                    time.sleep(0.02)
                sink.sendall(part)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()  # the other way's thread closes the sink, which is its source


def hold(seconds: float) -> None:
    """Let the trouble last."""
    time.sleep(seconds)


def run(scenario: str, kind: str, seconds: float, rate: float) -> list[Check]:
    """Play one scenario, print what was found, and return it."""
    with ExitStack() as stack:
        home = stack.enter_context(place())
        folder = home
        if scenario == "disk":
            folder = stack.enter_context(small_disk(home / "disk"))
        server, lake = None, None
        if kind == "postgres":
            server = stack.enter_context(postgres.started(durable=True))
        url = server.url if server else f"sqlite:///{folder / 'seqwatch.sqlite'}"
        store = stack.enter_context(objectstore.serving()) if scenario == "store" else None
        if store is not None:
            lake = store.bucket()
        stage = Stage(folder, url, lake=lake, rate=rate, home=home)
        wire: Wire | None = None
        if scenario == "network":
            wire = Wire(stage.port)
            stack.callback(wire.close)
            stage.client_port = wire.port
        stack.enter_context(staged(stage, n_workers=1))
        stage.wait_for_acknowledged(BEFORE)
        before = len(stage.acknowledged("predictions"))
        if server is not None and scenario == "database":
            for mode in ("immediate", "fast"):
                assert server.restart(mode), "PostgreSQL did not come back"
                hold(seconds / 2)
        else:
            if scenario == "disk":
                trouble = full(folder)
            elif scenario == "database":
                trouble = locked(folder / "seqwatch.sqlite")
            elif store is not None:
                trouble = store.faulty()
            else:
                assert wire is not None
                trouble = wire.cut()
            with trouble:
                hold(seconds)
        during = len(stage.acknowledged("predictions")) - before
        stage.wait_for_acknowledged(AFTER)
        checks = stage.close()
        n = len(stage.acknowledged("predictions"))
        sys.stdout.write(
            f"{scenario} away for {seconds:g} s on {kind}: {n:,} predictions acknowledged, "
            f"{during:,} of them meanwhile\n{table_of(checks)}\n"
        )
    return checks


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=500.0, help="predictions per second")
    given = parser.parse_args()
    checks = run(given.scenario, given.database, given.seconds, given.rate)
    return 0 if all(check.is_ok for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
