"""Whatever hangs, fills up or lies, the host goes on: it neither waits nor raises."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from seqwatch import Monitor, Options
from seqwatch.delivery.spool import Spool

from tests.client.api import Api

# What a thousand calls may take on a machine that is busy with other tests;
# a call that waits for anything at all takes longer than all of them.
LIMIT_SECONDS = 0.5
N_CALLS = 1000
FAST = Options(linger_seconds=0.01, timeout_seconds=5.0, close_seconds=0.1)


@pytest.fixture
def black_hole() -> Iterator[str]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def _log_many(monitor: Monitor) -> float:
    started = time.monotonic()
    for _ in range(N_CALLS):
        monitor.log(version="v1", features={"load": [1.0]})
    return time.monotonic() - started


def _wait_until_spooled(monitor: Monitor, n_rows: int) -> None:
    while monitor.counts().spooled < n_rows:
        time.sleep(0.001)


def test_a_server_that_hangs_holds_up_neither_a_call_nor_the_end(
    black_hole: str, tmp_path: Path
) -> None:
    monitor = Monitor(black_hole, "k", "load", tmp_path, FAST)
    monitor.log(version="v1")
    _wait_until_spooled(monitor, 1)
    assert _log_many(monitor) < LIMIT_SECONDS
    started = time.monotonic()
    monitor.close(timeout=0.2)
    assert time.monotonic() - started < 1.5
    assert monitor.counts().waiting == N_CALLS + 1


@pytest.fixture
def stuck_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A disk that takes no write until the event is set."""
    is_mended = threading.Event()
    write = Spool._write

    def hang(spool: Spool, *rest: object) -> object:
        is_mended.wait()
        return write(spool, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Spool, "_write", hang)
    yield is_mended
    is_mended.set()


def test_a_disk_that_hangs_holds_up_neither_a_call_nor_the_end(
    api: Api, tmp_path: Path, stuck_disk: threading.Event
) -> None:
    monitor = Monitor(api.url, "k", "load", tmp_path, FAST)
    assert _log_many(monitor) < LIMIT_SECONDS
    assert monitor.counts().buffered == N_CALLS
    started = time.monotonic()
    assert not monitor.flush(timeout=0.1)
    monitor.close(timeout=0.1)
    assert time.monotonic() - started < 1.5
    stuck_disk.set()
    while len(api.kept_ids) + monitor.counts().spooled < N_CALLS:
        time.sleep(0.001)


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from seqwatch import Monitor, Options
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))  # no file grows beyond
options = Options(linger_seconds=0.01, batch_rows=10, max_memory_bytes=2000)
monitor = Monitor(sys.argv[1], "k", "load", Path(sys.argv[2]), options)
for i in range(1000):
    monitor.log(prediction_id=f"p-{i}", version="v" * 300, at="2026-01-01T00:00:00Z")
monitor.flush(timeout=20.0)
counts = monitor.counts()
print(counts.acknowledged, counts.dropped.get("spool_full", 0), counts.waiting)
"""


def test_a_full_disk_is_counted_and_what_has_room_is_sent(api: Api, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, api.url, str(tmp_path)],
        check=True,
        timeout=60,
        capture_output=True,
        text=True,
    )
    acknowledged, dropped, waiting = map(int, done.stdout.split())
    assert acknowledged + dropped == 1000
    assert waiting == 0
    assert acknowledged == len(set(api.kept_ids)) == len(api.kept_ids)
    assert dropped > 0
    assert not list(tmp_path.rglob("*.spool"))


def test_a_name_that_is_not_found_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = threading.Event()

    def fail(*_: object, **__: object) -> None:
        asked.set()
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monitor = Monitor("http://seqwatch.invalid", "k", "load", tmp_path, FAST)
    assert _log_many(monitor) < LIMIT_SECONDS
    assert asked.wait(10.0)
    monitor.close(timeout=0.1)
    assert monitor.counts().spooled == N_CALLS


def test_a_name_server_that_hangs_holds_up_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    is_over = threading.Event()

    def hang(*_: object, **__: object) -> None:
        is_over.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monitor = Monitor("http://seqwatch.invalid", "k", "load", tmp_path, FAST)
    assert _log_many(monitor) < LIMIT_SECONDS
    started = time.monotonic()
    monitor.close(timeout=0.1)
    assert time.monotonic() - started < 1.5
    is_over.set()


def test_an_event_loop_turns_while_everything_hangs(
    black_hole: str, tmp_path: Path, stuck_disk: threading.Event
) -> None:
    monitor = Monitor(black_hole, "k", "load", tmp_path, FAST)

    async def serve() -> int:
        n_turns = 0
        deadline = time.monotonic() + LIMIT_SECONDS
        while n_turns < N_CALLS and time.monotonic() < deadline:
            async with monitor.predict(version="v1") as prediction:
                prediction.output = {"load": [1.0]}
                await asyncio.sleep(0)
            n_turns += 1
        return n_turns

    assert asyncio.run(serve()) == N_CALLS
    stuck_disk.set()
    monitor.close(timeout=0.0)


def test_threads_that_log_at_once_lose_and_double_nothing(api: Api, tmp_path: Path) -> None:
    monitor = Monitor(api.url, "k", "load", tmp_path, FAST)

    def serve(thread: int) -> None:
        for i in range(500):
            monitor.log(prediction_id=f"p-{thread}-{i}", version="v1")

    threads = [threading.Thread(target=serve, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert monitor.flush(timeout=30.0)
    monitor.close()
    assert sorted(api.kept_ids) == sorted(f"p-{t}-{i}" for t in range(8) for i in range(500))
    assert monitor.counts().logged == monitor.counts().acknowledged == 4000


def test_a_signal_that_logs_in_the_middle_of_a_log_does_no_harm(api: Api) -> None:
    monitor = Monitor(api.url, "k", "load", options=FAST)
    before = signal.signal(
        signal.SIGUSR1, lambda *_: monitor.log(prediction_id="signal", version="v1") and None
    )
    main, is_over = threading.get_ident(), threading.Event()

    def disturb() -> None:
        while not is_over.wait(0.0005):
            signal.pthread_kill(main, signal.SIGUSR1)

    thread = threading.Thread(target=disturb)
    thread.start()
    for _ in range(20):
        _log_many(monitor)
    is_over.set()
    thread.join()
    signal.signal(signal.SIGUSR1, before)
    assert monitor.flush(timeout=30.0)
    monitor.close()
    n_signals = api.kept_ids.count("signal")
    assert n_signals > 0
    assert len(api.kept_ids) == n_signals + 20 * N_CALLS


class _Hostile:
    """Raises at whatever is done to it."""

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(name)

    def __bool__(self) -> bool:
        raise RuntimeError("bool")

    def __hash__(self) -> int:
        raise RuntimeError("hash")

    def keys(self) -> object:
        raise RuntimeError("keys")


def _endless() -> object:
    knot: list[object] = []
    knot.append(knot)
    return knot


THINGS = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(),
        st.binary(),
        st.dates(),
        st.complex_numbers(),
        st.builds(_Hostile),
        st.builds(_endless),
        st.builds(object),
        st.just("\ud800"),
        st.builds(lambda: 10**5000),
        st.just(float),
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.none(), inner, max_size=4)
    ),
    max_leaves=12,
)
NAMES = st.sampled_from(["prediction_id", "version", "at", "features", "output", "x"])


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(THINGS, st.dictionaries(NAMES, THINGS, max_size=5))
def test_no_object_whatever_raises_into_the_host(
    patient: Monitor, thing: object, fields: dict[str, object]
) -> None:
    before = patient.counts()
    patient.log(thing)  # type: ignore[arg-type]
    patient.log(thing, **fields)  # type: ignore[arg-type]
    patient.label(thing, **fields)  # type: ignore[arg-type]
    patient.log_many(thing)  # type: ignore[arg-type]
    patient.label_many(fields)  # type: ignore[arg-type]
    with patient.predict(**fields) as prediction:
        prediction.output = thing
    assert patient.counts().logged >= before.logged + 4


@pytest.fixture(scope="module")
def patient() -> Iterator[Monitor]:
    api = Api()
    api.start()
    monitor = Monitor(api.url, "k", "load", options=Options(linger_seconds=0.001))
    yield monitor
    assert monitor.flush(timeout=30.0)  # every thread still lives
    monitor.log(prediction_id="after all", version="v1")
    assert monitor.flush(timeout=30.0)
    monitor.close()
    assert b'"after all"' in api.seen[-1].body
    counts = monitor.counts()
    assert counts.logged == counts.acknowledged + sum(counts.dropped.values())
    api.stop()


def test_every_row_is_counted_somewhere_after_a_storm(api: Api, tmp_path: Path) -> None:
    options = Options(linger_seconds=0.001, max_rows=100, max_spool_bytes=4000, batch_rows=20)
    monitor = Monitor(api.url, "k", "load", tmp_path, options)
    _log_many(monitor)
    monitor.flush()
    monitor.close()
    counts = monitor.counts()
    assert counts.logged == N_CALLS
    assert counts.acknowledged + sum(counts.dropped.values()) == N_CALLS
    assert counts.acknowledged == len(api.kept_ids)


def test_counts_are_prometheus_text(api: Api) -> None:
    monitor = Monitor(api.url, "k", 'a "model"', options=Options(linger_seconds=0.01))
    monitor.log({"x": object()})
    monitor.flush()
    monitor.close()
    families = text_string_to_metric_families(monitor.counts().exposition('a "model"'))
    samples = {(s.name, s.labels.get("reason")): s for f in families for s in f.samples}
    assert samples["seqwatch_client_logged_rows_total", None].value == 1
    dropped = samples["seqwatch_client_dropped_rows_total", "not_json"]
    assert (dropped.value, dropped.labels["model"]) == (1, 'a "model"')


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("seqwatch:8765", "k"),
        ("", "k"),
        ("http://x:y", "k"),
        ("http://h", "k\n"),
        ("http://h", "ü"),
    ],
)
def test_what_cannot_be_an_address_or_a_key_is_refused_at_the_start(url: str, key: str) -> None:
    with pytest.raises(ValueError, match=r"address|key"):
        Monitor(url, key, "load")


def test_a_host_that_is_terminated_loses_no_more_than_one_that_is_killed(
    api: Api, tmp_path: Path
) -> None:
    code = (
        "import sys, time; from pathlib import Path; from seqwatch import Monitor\n"
        "monitor = Monitor(sys.argv[1], 'k', 'load', Path(sys.argv[2]))\n"
        "monitor.log(prediction_id='p-1', version='v1')\n"
        "while monitor.counts().buffered: time.sleep(0.001)\n"
        "print('spooled', flush=True); time.sleep(60)"
    )
    api.stop()
    host = subprocess.Popen(
        [sys.executable, "-c", code, api.url, str(tmp_path)], stdout=subprocess.PIPE
    )
    with host:
        assert host.stdout is not None
        assert host.stdout.readline() == b"spooled\n"
        os.kill(host.pid, signal.SIGTERM)
    api.start()
    heir = Monitor(api.url, "k", "load", tmp_path, FAST)
    assert heir.flush()
    heir.close()
    assert api.kept_ids == ["p-1"]
