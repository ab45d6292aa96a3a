import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest

from cli import processes
from cli.processes import DidNotStart, Supervisor

PATIENT = "import time; print('up', flush=True); time.sleep(600)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + PATIENT


def until(done: Callable[[], bool]) -> None:
    end = monotonic() + 30
    while not done():
        assert monotonic() < end
        sleep(0.02)


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    supervisor = Supervisor(logs=tmp_path / "logs", environment={"SEQWATCH_COLOUR": "blue"})
    yield supervisor
    supervisor.stop()


def test_what_was_killed_is_started_again(supervisor: Supervisor, tmp_path: Path) -> None:
    for name in ("one", "two"):
        supervisor.start(name, [sys.executable, "-c", PATIENT])
    log = tmp_path / "logs" / "one.log"
    until(lambda: "up" in log.read_text())
    first, other = supervisor.pid("one"), supervisor.pid("two")
    os.kill(first, signal.SIGKILL)
    until(lambda: supervisor.pid("one") != first)
    assert lives(supervisor.pid("one"))
    assert supervisor.pid("two") == other
    assert supervisor.n_starts() == {"one": 2, "two": 1}
    until(lambda: log.read_text().count("up") == 2)


def test_what_ends_by_itself_is_started_again_too(supervisor: Supervisor) -> None:
    supervisor.start("brief", [sys.executable, "-c", "pass"])
    until(lambda: supervisor.n_starts()["brief"] >= 3)


def test_a_process_that_ends_instead_of_serving_is_reported_with_its_log(
    supervisor: Supervisor,
) -> None:
    supervisor.start("api", [sys.executable, "-c", "raise SystemExit('no such schema')"])
    with pytest.raises(DidNotStart, match=r"api did not start: it ended \d times.*\n.*no such"):
        supervisor.wait_until_healthy("api", "http://127.0.0.1:9/health")


def test_processes_see_what_they_are_given(supervisor: Supervisor, tmp_path: Path) -> None:
    code = "import os; print(os.environ['SEQWATCH_COLOUR'], 'PATH' in os.environ, flush=True); "
    supervisor.start("printed", [sys.executable, "-c", code + PATIENT])
    log = tmp_path / "logs" / "printed.log"
    until(lambda: "blue True" in log.read_text())


def test_a_stop_ends_all_of_them_and_starts_none(supervisor: Supervisor) -> None:
    for name in ("one", "two"):
        supervisor.start(name, [sys.executable, "-c", PATIENT])
    pids = [supervisor.pid(name) for name in ("one", "two")]
    supervisor.stop()
    assert not any(lives(pid) for pid in pids)
    assert supervisor.n_starts() == {"one": 1, "two": 1}


def test_who_does_not_listen_is_ended(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "PATIENCE_SECONDS", 0.3)
    supervisor.start("deaf", [sys.executable, "-c", DEAF])
    until(lambda: "up" in (tmp_path / "logs" / "deaf.log").read_text())
    supervisor.stop()
    assert not lives(supervisor.pid("deaf"))
