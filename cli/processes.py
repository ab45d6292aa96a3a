"""Start the platform's processes, and start again what dies."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from core.errors import AppError, Unprocessable

PAUSE_SECONDS = 0.5  # before a process that died is started again
PATIENCE_SECONDS = 10.0  # between asking a process to end and ending it
START_SECONDS = 120.0  # for a process to answer, on a machine with other work
MOST_STARTS = 3  # of a process that ends before it has answered once
BACKLOG = 2_048  # connections that wait while the API starts
LOG_TAIL = 2_000  # bytes of a log that an error message quotes


class DidNotStart(AppError):
    """A process ended, or did not answer, instead of serving."""


@dataclass(kw_only=True)
class Kept:
    """One process that is kept alive."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes]
    n_starts: int = 1


@dataclass(kw_only=True)
class Supervisor:
    """Keeps processes alive until it is stopped, as systemd or compose do.

    Attributes
    ----------
    logs
        Folder of one log file per process.
    environment
        Added to this process's own.
    listener
        A socket that the processes inherit, and that is closed when they have ended.
    """

    logs: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    listener: socket.socket | None = None
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

    def wait_until_healthy(self, name: str, url: str) -> None:
        """Wait until `url` answers 200.

        Raises
        ------
        DidNotStart
            If the process of this name ended several times, or did not answer in time.
        """
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                if httpx.get(url, timeout=5.0, trust_env=False).is_success:
                    return
            except httpx.TransportError:
                pass
            n_starts = self._kept[name].n_starts
            if n_starts > MOST_STARTS or time.monotonic() > until:
                why = f"it ended {n_starts - 1} times" if n_starts > 1 else "it did not answer"
                log = self.logs / f"{name}.log"
                tail = log.read_bytes()[-LOG_TAIL:].decode(errors="replace").strip()
                raise DidNotStart(f"{name} did not start: {why}; the end of {log}:\n{tail}")
            time.sleep(0.1)

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
        if self.listener is not None:
            self.listener.close()

    def _spawn(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self.logs / f"{name}.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own commands, no shell
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environment},
                pass_fds=() if self.listener is None else (self.listener.fileno(),),
                start_new_session=True,  # Ctrl-C reaches us, and we stop them in order
            )

    def _watch(self) -> None:
        while not self._stopping.wait(PAUSE_SECONDS):
            for kept in self._kept.values():
                if kept.process.poll() is not None:
                    kept.process = self._spawn(kept.name, kept.command)
                    kept.n_starts += 1


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens, to be handed to the API: no other server can take the port.

    Raises
    ------
    Unprocessable
        If something else listens there, or the host is not one of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise Unprocessable(
            f"cannot listen on {host} port {port}: {error.strerror}; end what uses the port, "
            "or choose another with SEQWATCH_PORT"
        ) from None
    return listener


def platform_command(role: str, listener: socket.socket | None = None) -> list[str]:
    """Return the command that starts one role of the platform with this interpreter.

    The API serves a socket that listens already, if one is given.
    """
    command = [sys.executable, "-m", "cli.main", role]
    return command + (["--fd", str(listener.fileno())] if listener and role == "api" else [])
