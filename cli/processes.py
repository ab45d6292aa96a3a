"""Start the platform's processes, and start again what dies."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PAUSE_SECONDS = 0.5  # before a process that died is started again
PATIENCE_SECONDS = 10.0  # between asking a process to end and ending it


@dataclass(kw_only=True)
class Kept:
    """One process that is kept alive."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes]
    n_starts: int = 1


@dataclass(kw_only=True)
class Supervisor:
    """Keeps processes alive until it is told to stop: what systemd or compose do elsewhere.

    Attributes
    ----------
    logs
        Folder of one log file per process.
    environment
        Added to this process's own.
    """

    logs: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    _kept: dict[str, Kept] = field(default_factory=dict)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start a process and keep it alive under this name."""
        self.logs.mkdir(parents=True, exist_ok=True)
        kept = Kept(name=name, command=command, process=self._spawn(name, command))
        self._kept[name] = kept
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
            self._thread.start()

    def pid(self, name: str) -> int:
        """Return the process id that the name has now."""
        return self._kept[name].process.pid

    def n_starts(self) -> dict[str, int]:
        """Return how often each process was started."""
        return {name: kept.n_starts for name, kept in self._kept.items()}

    def stop(self) -> None:
        """Ask all to end, and end those that do not."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        running = [kept.process for kept in self._kept.values() if kept.process.poll() is None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        until = time.monotonic() + PATIENCE_SECONDS
        for process in running:
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _spawn(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self.logs / f"{name}.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own commands, no shell
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environment},
                start_new_session=True,  # Ctrl-C reaches us, and we stop them in order
            )

    def _watch(self) -> None:
        while not self._stopping.wait(PAUSE_SECONDS):
            for kept in self._kept.values():
                if kept.process.poll() is not None:
                    kept.process = self._spawn(kept.name, kept.command)
                    kept.n_starts += 1


def platform_command(role: str) -> list[str]:
    """Return the command that starts one role of the platform with this interpreter."""
    return [sys.executable, "-m", "cli.main", role]
