"""CPU until the API is ready, its memory at rest, and CPU of `seqwatch --help`.

The API is a process of its own on an empty SQLite database, started once before the
measurement: its byte code is there. CPU is the least of some rounds. Memory is PSS, in which
the pages that processes share are divided among them, with RSS beside it; this process
imports none of the platform's libraries, so that it shares next to nothing.
`python -m benchmarks.start --help`.
"""

import argparse
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx
import psutil

from benchmarks.bar import Bar, report

BAR_READY_SECONDS = 2.0
BAR_MEBIBYTES = 150.0
BAR_HELP_SECONDS = 0.3
PATIENCE_SECONDS = 60.0


@contextmanager
def ready() -> Iterator[psutil.Process]:
    """Run the API until `/ready` answers 200; yield its process."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        given = {
            **os.environ,
            "SEQWATCH_DATABASE_URL": f"sqlite:///{folder / 'start.sqlite'}",
            "SEQWATCH_LAKE": str(folder / "lake"),
            "SEQWATCH_ARTIFACTS": str(folder / "artifacts"),
            "SEQWATCH_PORT": str(port),
        }
        command = [sys.executable, "-m", "cli.main"]
        subprocess.run([*command, "migrate"], env=given, check=True, capture_output=True)
        api = subprocess.Popen([*command, "api"], env=given, stderr=subprocess.DEVNULL)
        try:
            until = time.monotonic() + PATIENCE_SECONDS
            while not _is_ready(port):
                if api.poll() is not None or time.monotonic() > until:
                    raise RuntimeError("the API did not start")
                time.sleep(0.01)
            yield psutil.Process(api.pid)
        finally:
            api.terminate()
            api.wait(timeout=30)


def _is_ready(port: int) -> bool:
    with suppress(httpx.TransportError):
        url = f"http://127.0.0.1:{port}/ready"
        return httpx.get(url, trust_env=False).status_code == 200
    return False


def cpu_of_help() -> float:
    """Return the seconds of CPU of one `seqwatch --help`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "cli.main", "--help"], check=True, stdout=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print three bars."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--rest", type=float, default=10.0, help="seconds before memory is read"
    )
    given = parser.parse_args()
    used = []
    for _ in range(given.rounds + 1):  # the first writes byte code
        with ready() as process:
            used.append(sum(process.cpu_times()[:2]))
    with ready() as process:
        time.sleep(given.rest)
        memory = process.memory_full_info()
    helped = min(cpu_of_help() for _ in range(given.rounds))
    print(f"memory at rest: PSS {memory.pss / 2**20:.0f} MiB, RSS {memory.rss / 2**20:.0f} MiB")
    for name, figure, unit, most in (
        ("start: CPU until /ready is 200", min(used[1:]), "s", BAR_READY_SECONDS),
        ("start: memory at rest (PSS)", memory.pss / 2**20, "MiB", BAR_MEBIBYTES),
        ("start: CPU of seqwatch --help", helped, "s", BAR_HELP_SECONDS),
    ):
        report(Bar(name=name, figure=figure, unit=unit, at_most=most))


if __name__ == "__main__":
    main()
