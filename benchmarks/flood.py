"""Does a flood without a key hold up a client that has one?

Three processes at nice 19 hold 1,000 idle connections and 200 half heads, and send
endless URLs, headers, bodies, multipart forms, and gzip and zstd bombs at 20 MB/s in
all, while a client posts single rows at a fixed rate. The bar is the same client beside
as many processes at nice 19 that only compute. `python -m benchmarks.flood --seconds 20`.
"""

import argparse
import asyncio
import gzip
import itertools
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import psutil
import pyarrow as pa

from benchmarks.bar import Bar, report
from benchmarks.ingest import server, shapes
from benchmarks.load import Measured, load_at

N_PROCESSES = 3
N_IDLE = 1_000
N_HALF_HEADS = 200
MEGABYTES_PER_SECOND = 20
RATE = 200  # rows a second of the client that has a key
PIECE = 64 * 2**10
BAR_P99 = 3.0  # times the p99 beside idle processes
BAR_MEMORY = 100  # MB
BAR_DISK = 0  # bytes of temporary files

POST = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\nContent-Type: %s\r\n%s\r\n"
MULTIPART = b"multipart/form-data; boundary=x"
PART = b'--x\r\nContent-Disposition: form-data; name="key"; filename="a"\r\n\r\n'
PREDICTIONS, JSON = b"/v1/models/bench/predictions", b"application/json"


@dataclass(frozen=True, slots=True)
class Attack:
    """One request without end: how it starts, and what is sent from then on."""

    start: bytes
    piece: bytes


def attacks() -> list[Attack]:
    """Return every kind of request that should cost nothing."""
    filler = b"a" * PIECE
    zeros = bytes(2**24)
    zstd = pa.compress(zeros, "zstd", asbytes=True)
    return [
        Attack(b"GET /", filler),
        Attack(b"GET /health HTTP/1.1\r\nHost: x\r\nX: ", filler),
        Attack(POST % (PREDICTIONS, JSON, b""), filler),
        Attack(POST.replace(b"POST", b"PUT") % (b"/v1/models/x", JSON, b""), b"[]," * 20_000),
        Attack(POST % (b"/login", MULTIPART, b"") + PART, filler),
        Attack(POST % (PREDICTIONS, JSON, b"Content-Encoding: gzip\r\n"), gzip.compress(zeros)),
        Attack(POST % (PREDICTIONS, JSON, b"Content-Encoding: zstd\r\n"), zstd),
    ]


class Flood:
    """What one process sends, within its share of the rate."""

    def __init__(self, port: int, n_refused: "Synchronized[int]", n_sent: "Synchronized[int]"):
        self._port = port
        self._n_refused = n_refused
        self._n_sent = n_sent
        self._began = time.monotonic()
        self._n_due = 0.0
        self._bytes_per_second = MEGABYTES_PER_SECOND * 1e6 / N_PROCESSES

    async def run(self) -> None:
        """Attack until ended."""
        attacking = [self._attack(each) for each in attacks()]
        idle = [self._hold(b"") for _ in range(N_IDLE // N_PROCESSES)]
        half = [
            self._hold(b"GET /health HTTP/1.1\r\nHo")
            for _ in range(N_HALF_HEADS // N_PROCESSES)
        ]
        await asyncio.gather(*attacking, *idle, *half)

    async def _hold(self, start: bytes) -> None:
        while True:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                writer.write(start)
                await reader.read()
                writer.close()
            await asyncio.sleep(0.1)

    async def _attack(self, attack: Attack) -> None:
        while True:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                with closing(writer):
                    await self._send(writer, reader, attack)
            with self._n_refused.get_lock():
                self._n_refused.value += 1

    async def _send(
        self, writer: asyncio.StreamWriter, reader: asyncio.StreamReader, attack: Attack
    ) -> None:
        writer.write(attack.start)
        while not reader.at_eof():
            await self._take(len(attack.piece))
            writer.write(attack.piece)
            await writer.drain()

    async def _take(self, n_bytes: int) -> None:
        """Wait until so many bytes may be sent."""
        self._n_due += n_bytes
        with self._n_sent.get_lock():
            self._n_sent.value += n_bytes
        ahead = self._n_due / self._bytes_per_second - (time.monotonic() - self._began)
        await asyncio.sleep(max(0.0, ahead))


def _flood(port: int, n_refused: "Synchronized[int]", n_sent: "Synchronized[int]") -> None:
    os.nice(19)
    asyncio.run(Flood(port, n_refused, n_sent).run())


def _compute(*_: object) -> None:
    os.nice(19)
    for _i in itertools.count():
        pass


@contextmanager
def beside(work: Callable[..., None], *given: object) -> Iterator[None]:
    """Run so many processes meanwhile."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=work, args=given) for _ in range(N_PROCESSES)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def measure(seconds: float, rounds: int) -> list[Bar]:
    """Measure in turns; print what the bars do not hold."""
    n_refused, n_sent = (multiprocessing.Value("q", 0) for _ in range(2))
    shape = shapes()[0]
    quiet, flooded = Measured(seconds=0), Measured(seconds=0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with server(folder) as (port, token, pid):
            process = psutil.Process(pid)

            def ask(into: Measured) -> float:
                """Ask for a while; return the CPU time that the server used for it."""
                before = sum(process.cpu_times()[:2])
                answered = load_at(shape, port, token, rate=RATE, seconds=seconds)
                into.latencies += answered.latencies
                into.n_refused += answered.n_refused
                into.n_answered += answered.n_answered
                return sum(process.cpu_times()[:2]) - before

            load_at(shape, port, token, rate=RATE, seconds=2)
            memory, cpu_quiet, cpu_flooded = process.memory_info().rss, 0.0, 0.0
            with Watch(pid) as watch:
                for _ in range(rounds):
                    with beside(_compute):
                        cpu_quiet += ask(quiet)
                    with beside(_flood, port, n_refused, n_sent):
                        cpu_flooded += ask(flooded)
    base, p99 = (1000 * each.percentile(99) for each in (quiet, flooded))
    cost = 1e6 * (cpu_flooded - cpu_quiet) / max(1, n_refused.value)
    sent = n_sent.value / 1e6 / (rounds * (seconds + 1.1))
    answered = f"{flooded.n_answered} answered, {flooded.n_refused} refused"
    print(f"p99 {p99:.1f} ms, beside idle processes {base:.1f} ms; with a key: {answered}")
    print(f"{n_refused.value} requests refused, {cost:.0f} µs of CPU each")
    return [
        # Half a flood shows nothing: on a machine with other work this bar is missed.
        Bar(name="flood: sent", figure=sent, unit="MB/s", at_least=MEGABYTES_PER_SECOND / 2),
        Bar(name="flood: p99 over idle", figure=p99 / base, unit="times", at_most=BAR_P99),
        Bar(
            name="flood: memory",
            figure=(watch.memory - memory) / 1e6,
            unit="MB",
            at_most=BAR_MEMORY,
        ),
        Bar(
            name="flood: temporary files", figure=watch.spooled, unit="bytes", at_most=BAR_DISK
        ),
    ]


class Watch:
    """The most memory and the most bytes in temporary files that a process has held."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._ended = threading.Event()
        self.memory = self.spooled = 0

    def __enter__(self) -> "Watch":
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            self.memory = max(self.memory, self._process.memory_info().rss)
            self.spooled = max(self.spooled, _spooled(self._process.pid))


def _spooled(pid: int) -> int:
    """Return the bytes in open files that have no name: what a form is spooled to."""
    n_bytes = 0
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            name = os.readlink(file)
            is_own = "etilqs" in name or int(file.name) <= 2  # SQLite's, and what it prints
            if name.endswith("(deleted)") and not is_own:
                n_bytes += file.stat().st_size
    return n_bytes


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of one round")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    for bar in measure(options.seconds, options.rounds):
        report(bar)


if __name__ == "__main__":
    main()
