"""Hosts that fork: each process sends its own rows, once."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from seqwatch.delivery.folders import claim

from tests.client.api import Answer, Api

START = """
import multiprocessing, os, signal, sys, threading, time
from pathlib import Path
from seqwatch import Monitor, Options, Router

def log(start):
    for i in range(start, start + 50):
        monitor.log(prediction_id=f"p-{i}", version="v1")

spool = Path(sys.argv[2])
options = Options(linger_seconds=0.02, batch_rows=7)
monitor = Monitor(sys.argv[1], "k", "load", spool, options)
"""


def _run(api: Api, spool: Path, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", START + textwrap.dedent(code), api.url, str(spool)],
        check=True,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def _ids(n: int) -> list[str]:
    return sorted(f"p-{i}" for i in range(n))


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(
            """
            log(0)
            pid = os.fork()
            if pid == 0:
                log(50)
                monitor.close(timeout=10.0)
                os._exit(0)
            log(100)
            os.waitpid(pid, 0)
            """,
            id="a fork while rows wait",
        ),
        pytest.param(
            """
            pids = []
            for worker in range(3):
                pids.append(os.fork())
                if pids[-1] == 0:
                    log(50 * worker)
                    sys.exit(0)  # as gunicorn's workers end
            for pid in pids:
                os.waitpid(pid, 0)
            """,
            id="workers forked before anything is logged",
        ),
        pytest.param(
            """
            log(0)
            context = multiprocessing.get_context("fork")
            children = [context.Process(target=log, args=(50 * i,)) for i in (1, 2)]
            for child in children:
                child.start()
            for child in children:
                child.join()
            """,
            id="children of multiprocessing, which end without atexit",
        ),
        pytest.param(
            """
            def grandchild():
                log(100)

            def child():
                log(50)
                inner = os.fork()
                if inner == 0:
                    log(100)
                    sys.exit(0)
                os.waitpid(inner, 0)

            log(0)
            pid = os.fork()
            if pid == 0:
                child()
                sys.exit(0)
            os.waitpid(pid, 0)
            """,
            id="a fork of a fork",
        ),
        pytest.param(
            """
            stop = threading.Event()
            def busy():
                for i in range(50):
                    monitor.log(prediction_id=f"p-{i}", version="v1")
                    time.sleep(0.001)
            thread = threading.Thread(target=busy)
            thread.start()
            pids = []
            for worker in (1, 2):
                time.sleep(0.01)
                pids.append(os.fork())
                if pids[-1] == 0:
                    log(50 * worker)
                    monitor.close(timeout=10.0)
                    os._exit(0)
            for pid in pids:
                os.waitpid(pid, 0)
            thread.join()
            """,
            id="forks while other threads log",
        ),
    ],
)
def test_every_process_sends_its_own_rows_and_no_other_s(
    api: Api, tmp_path: Path, code: str
) -> None:
    _run(api, tmp_path, code)
    assert sorted(api.kept_ids) == _ids(150)


def test_what_a_killed_worker_spooled_is_sent_by_those_that_live(
    api: Api, tmp_path: Path
) -> None:
    api.stop()  # so that it dies with everything unsent
    code = """
    pids = []
    for worker in range(3):
        pids.append(os.fork())
        if pids[-1] == 0:
            log(50 * worker)
            while monitor.counts().buffered:
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGKILL)
    for pid in pids:
        os.waitpid(pid, 0)
    os.kill(os.getpid(), signal.SIGKILL)
    """
    with pytest.raises(subprocess.CalledProcessError):
        _run(api, tmp_path, code)
    api.start()
    _run(api, tmp_path, "while monitor.counts().acknowledged < 150: time.sleep(0.01)")
    assert sorted(api.kept_ids) == _ids(150)
    assert not list(tmp_path.rglob("*.spool"))


def test_a_child_that_lives_on_does_not_keep_its_parent_s_spool(
    api: Api, tmp_path: Path
) -> None:
    code = """
    pid = os.fork()
    if pid == 0:
        os.close(1), os.close(2)
        time.sleep(60)
        os._exit(0)
    print(pid, flush=True)
    monitor.close(timeout=0.0)
    """
    pid = int(_run(api, tmp_path, code))
    try:
        folder = claim(tmp_path)
        assert folder.path.name == "0000"
        folder.release()
    finally:
        os.kill(pid, signal.SIGKILL)


def test_a_forked_router_follows_the_document_from_where_its_parent_was(
    api: Api, tmp_path: Path
) -> None:
    def publish(version: str) -> None:
        document = {"model": "load", "epoch": 1, "champion": {"version": version}}
        api.document = Answer(status=200, body=json.dumps(document).encode())

    publish("v1")
    code = """
    router = Router(sys.argv[1], "k", "load", cache=spool / "cache", every=0.01)
    router.start()
    pid = os.fork()
    if pid == 0:
        first = router.choose("s-1")
        print(first, flush=True)
        seen = len(threading.enumerate())
        router.refresh()
        print(router.champion, seen, flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
    """
    assert _run(api, tmp_path, code).split() == ["v1", "v1", "2"]
