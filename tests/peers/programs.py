"""Prometheus and Alertmanager as Debian packs them, found and started (`make peers`)."""

import os
import shlex
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

ROOT = Path(__file__).parents[2]
UNPACKED = ROOT / ".peers" / "debian"
START_SECONDS = 30.0


def program(name: str) -> Path:
    """Return an installed program, else one that was unpacked.

    Without it the test fails where peers are required, as in continuous integration, and is
    skipped elsewhere.
    """
    for path in (Path("/usr/bin") / name, UNPACKED / "usr" / "bin" / name):
        if os.access(path, os.X_OK):
            return path
    why = f"{name} is not installed: run `make peers`"
    if os.environ.get("SEQWATCH_TEST_PEERS"):
        pytest.fail(why)
    pytest.skip(why)


def free_port() -> int:
    """Return a port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def started(command: Sequence[str | Path], log: Path, ready: str) -> Iterator[None]:
    """Run a server until the block ends; begin when `ready` answers 200."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + START_SECONDS
        while not answers(ready):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def answers(url: str) -> bool:
    """Return whether a GET is answered with 200."""
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def prometheus(folder: Path, configuration: Mapping[str, Any]) -> Iterator[str]:
    """Start Prometheus with this configuration; yield its URL."""
    file, url = folder / "prometheus.yml", f"http://127.0.0.1:{free_port()}"
    file.write_text(yaml.safe_dump(dict(configuration)))
    command: list[str | Path] = [
        program("prometheus"),
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--enable-feature=exemplar-storage",
        "--rules.alert.resend-delay=1s",  # what fires before an Alertmanager is found is lost
    ]
    with started(command, folder / "prometheus.log", f"{url}/-/ready"):
        yield url


@contextmanager
def alertmanager(folder: Path, configuration: Mapping[str, Any] | None = None) -> Iterator[str]:
    """Start Alertmanager; yield its URL. By default its one receiver notifies nobody."""
    file, url = folder / "alertmanager.yml", f"http://127.0.0.1:{free_port()}"
    nobody = {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}
    file.write_text(yaml.safe_dump(dict(configuration or nobody)))
    path = program("prometheus-alertmanager")
    command: list[str | Path] = [
        path,
        f"--config.file={file}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--cluster.listen-address=",  # no cluster
    ]
    with started(_at_fixed_path(path, command), folder / "alertmanager.log", f"{url}/-/ready"):
        yield url


def _at_fixed_path(path: Path, command: Sequence[str | Path]) -> Sequence[str | Path]:
    """Give an unpacked Alertmanager its templates at their fixed path, below /usr/share."""
    if not path.is_relative_to(UNPACKED):
        return command
    templates = shlex.quote(str(UNPACKED / "usr/share/prometheus"))
    mount = f"mount -t tmpfs none /usr/share && ln -s {templates} /usr/share/prometheus"
    return ["unshare", "-rm", "sh", "-c", f'{mount} && exec "$@"', "sh", *command]


def run(name: str, *arguments: str | Path, given: str | None = None) -> str:
    """Run a program to its end; return what it printed. It must succeed."""
    done = subprocess.run(
        [program(name), *arguments], input=given, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def query(url: str, expression: str) -> list[dict[str, Any]]:
    """Return the result of an instant query to a Prometheus."""
    answer = httpx.get(
        f"{url}/api/v1/query", params={"query": expression}, trust_env=False
    ).json()
    assert answer["status"] == "success", f"{expression}: {answer}"
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found
