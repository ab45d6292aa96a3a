"""What docker-compose.yml starts is what runs here, without Docker."""

import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from sqlalchemy import Engine, inspect, select
from sqlalchemy.orm import sessionmaker

from core.settings import Settings
from db.session import connect, read_only
from db.tables import Base, Run
from db.tables.queue import RunStatus

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ["migrate", "api", "worker", "trainer"]


def local(command: list[str]) -> list[str]:
    """Return the command as it starts from a checkout: `seqwatch` is a console script."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    module, _, function = project["scripts"][command[0]].partition(":")
    assert function == "main"
    return [sys.executable, "-m", module, *command[1:]]


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    """As in the containers: the database by file, all state in one folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    secret = tmp_path / "database_url"
    secret.write_text(f"sqlite:///{tmp_path}/seqwatch.sqlite\n")
    inherited = {name: v for name, v in os.environ.items() if not name.startswith("SEQWATCH_")}
    return inherited | {
        "SEQWATCH_DATABASE_URL_FILE": str(secret),
        "SEQWATCH_LAKE": str(tmp_path / "lake"),
        "SEQWATCH_ARTIFACTS": str(tmp_path / "artifacts"),
        "SEQWATCH_REPORTS": str(tmp_path / "reports"),
        "SEQWATCH_PORT": str(port),
    }


@contextmanager
def started(
    service: str, environment: Mapping[str, str], folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{service}.log").open("wb") as log:
        process = subprocess.Popen(
            local(SERVICES[service]["command"]),
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def answers_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def has_finished_a_run(engine: Engine) -> bool:
    with read_only(sessionmaker(engine)) as session:
        return session.scalar(select(Run.id).where(Run.status == RunStatus.DONE)) is not None


def test_the_services_of_compose_start_become_ready_and_end_when_asked(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    with started("migrate", environment, tmp_path) as migration:
        assert migration.wait(60) == 0, (tmp_path / "migrate.log").read_text()
    engine = connect(f"sqlite:///{tmp_path}/seqwatch.sqlite")
    assert set(Base.metadata.tables) < set(inspect(engine).get_table_names())

    url = f"http://127.0.0.1:{environment['SEQWATCH_PORT']}"
    with ExitStack() as stack:
        running = {
            role: stack.enter_context(started(role, environment, tmp_path))
            for role in ("api", "worker", "trainer")
        }
        until = time.monotonic() + 60
        while time.monotonic() < until and all(p.poll() is None for p in running.values()):
            if answers_ready(url) and has_finished_a_run(engine):
                break
            time.sleep(0.2)
        log = {role: (tmp_path / f"{role}.log").read_text() for role in running}
        assert [
            role for role, process in running.items() if process.poll() is not None
        ] == [], log
        assert answers_ready(url), log["api"]
        assert has_finished_a_run(engine), log["worker"]
        assert httpx.get(f"{url}/v1/models", trust_env=False).status_code == 401
        for process in running.values():
            process.send_signal(signal.SIGTERM)
        # Uvicorn ends by the signal that asked it to, as does what is still starting.
        assert {process.wait(30) for process in running.values()} <= {0, -signal.SIGTERM}, log
    engine.dispose()


@pytest.mark.parametrize("service", OURS)
def test_our_containers_can_do_no_more_than_they_must(service: str) -> None:
    definition = SERVICES[service]
    assert definition["read_only"] is True
    assert definition["cap_drop"] == ["ALL"]
    assert definition["security_opt"] == ["no-new-privileges:true"]


def test_nothing_is_reachable_from_outside_this_machine() -> None:
    ports = [port for each in SERVICES.values() for port in each.get("ports", [])]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_every_image_names_its_version() -> None:
    foreign = [definition["image"] for name, definition in SERVICES.items() if name not in OURS]
    assert [image for image in foreign if ":" not in image or image.endswith(":latest")] == []


def test_every_setting_in_the_image_and_in_compose_exists() -> None:
    known = {f"SEQWATCH_{field.upper()}" for field in Settings.model_fields}
    known |= {f"{name}_FILE" for name in known}
    words = (ROOT / "Dockerfile").read_text("utf-8").replace("=", " ").split()
    given = {word for word in words if word.startswith("SEQWATCH_")}
    for service in OURS:
        given |= set(SERVICES[service]["environment"])
    assert given
    assert given - known == {"TMPDIR"}


def test_parts_of_long_days_are_written_to_a_volume_and_not_to_memory() -> None:
    for service in ("worker", "trainer"):
        place = SERVICES[service]["environment"]["TMPDIR"]
        assert place in [volume.split(":")[1] for volume in SERVICES[service]["volumes"]]
        assert place not in SERVICES[service]["tmpfs"]


def test_secrets_are_files_that_the_script_makes(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    script = tmp_path / "make-secrets"
    script.write_text((ROOT / "deploy" / "make-secrets").read_text("utf-8"))

    def make() -> dict[str, str]:
        subprocess.run(["bash", script], check=True, timeout=30)
        return {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}

    made = make()
    assert make() == made
    assert set(made) == set(COMPOSE["secrets"])
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"deploy/secrets/{name}"}
    assert made["database_url"] == (
        f"postgresql+psycopg://seqwatch:{made['postgres_password']}@postgres/seqwatch"
    )
    assert len(made["postgres_password"]) == 48
    assert made["grafana_password"] != made["postgres_password"]
