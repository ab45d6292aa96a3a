"""Events of a service, from the client to the real API."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from seqwatch import Monitor, Options, ResourceSampler
from sqlalchemy.orm import Session, sessionmaker

from core.schema.rows import Kind
from core.settings import Settings
from tests.client.platform import Platform
from tests.client.test_platform import CONTRACT

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def platform(settings: Settings, sessions: sessionmaker[Session]) -> Iterator[Platform]:
    platform = Platform(settings, sessions, CONTRACT)
    platform.start()
    yield platform
    platform.stop()


def test_events_wait_in_the_spool_during_an_outage_and_arrive_once(
    platform: Platform, tmp_path: Path
) -> None:
    options = Options(
        batch_rows=10,
        linger_seconds=0.01,
        defaults={"version": "v1", "entity": "not of events"},
    )
    monitor = Monitor(platform.url, platform.key, "load", tmp_path / "spool", options)
    sent = [monitor.event("restart") for _ in range(30)]
    platform.stop()
    with monitor.timed("load", version="v2"):
        pass
    sent += [monitor.event("queue", queue_length=i) for i in range(30)]
    monitor.close(timeout=0.2)
    platform.start()
    again = Monitor(platform.url, platform.key, "load", tmp_path / "spool", options)
    assert again.flush(timeout=30.0)
    again.close()
    kept = platform.kept(Kind.EVENTS)
    assert Counter(row["event_id"] for row in kept if row["type"] != "load") == Counter(sent)
    (load,) = (row for row in kept if row["type"] == "load")
    assert (load["version"], load["duration_seconds"] is not None) == ("v2", True)
    assert {row["version"] for row in kept} == {"v1", "v2"}


def test_a_bad_event_is_rejected_alone_and_raises_nothing(platform: Platform) -> None:
    monitor = Monitor(platform.url, platform.key, "load")
    monitor.event("unheard_of")
    monitor.event("restart", event_id="again")
    monitor.event("restart", event_id="again")
    assert monitor.flush()
    counts = monitor.counts()
    monitor.close()
    assert (counts.acknowledged, counts.rejected, counts.waiting) == (1, 1, 0)
    assert counts.dropped == {"duplicate": 1}
    assert platform.n_quarantined() == 1


def test_a_block_that_raises_is_not_logged(platform: Platform) -> None:
    monitor = Monitor(platform.url, platform.key, "load")
    with pytest.raises(KeyError), monitor.timed("restore"):
        raise KeyError
    monitor.close()
    assert monitor.counts().logged == 0


def test_resources_are_sampled_as_shares(platform: Platform) -> None:
    monitor = Monitor(platform.url, platform.key, "load")
    sampler = ResourceSampler(monitor, every=0.02, worker="gpu-3").start()
    give_up = time.monotonic() + 20
    while monitor.counts().logged < 3:
        assert time.monotonic() < give_up
        time.sleep(0.01)
    sampler.stop()
    assert monitor.flush()
    monitor.close()
    kept = platform.kept(Kind.EVENTS)
    assert len(kept) >= 3
    assert {(row["type"], row["worker"]) for row in kept} == {("resources", "gpu-3")}
    for row in kept:
        assert 0 < float(str(row["memory_share"])) < 1
        assert 0 <= float(str(row["cpu_share"])) <= 1


HOST = """
import sys, time
from pathlib import Path
from seqwatch import Monitor, Options

monitor = Monitor(*sys.argv[1:3], "load", Path(sys.argv[3]), Options(linger_seconds=0.01))
for i in range(100):
    monitor.event("restart", event_id=f"{sys.argv[4]}-{i}")
while monitor.counts().buffered:
    time.sleep(0.001)
print("spooled", flush=True)
sys.stdin.read()
"""


def test_a_host_that_is_killed_loses_no_event_that_it_spooled(
    platform: Platform, tmp_path: Path
) -> None:
    url = platform.url
    platform.stop()
    for round_ in range(2):
        arguments = [url, platform.key, str(tmp_path), f"r{round_}"]
        host = subprocess.Popen(
            [sys.executable, "-c", HOST, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with host:
            assert host.stdout is not None
            assert host.stdout.readline() == b"spooled\n"
            os.kill(host.pid, signal.SIGKILL)
    platform.start()
    last = Monitor(url, platform.key, "load", tmp_path)
    assert last.flush(timeout=30.0)
    last.close()
    kept = Counter(row["event_id"] for row in platform.kept(Kind.EVENTS))
    assert kept == Counter(f"r{round_}-{i}" for round_ in range(2) for i in range(100))
