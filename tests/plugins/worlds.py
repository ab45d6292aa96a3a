"""A model whose policy names a template and a trainer of the plug-ins, and its API."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from uuid import UUID

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from api.main import create_app
from core.durations import HOUR
from db.session import read_only, unit_of_work
from db.tables import Model
from services.access.api_keys import create_key
from services.retention.catch_up import catch_up
from tests.services.seasons import CHANGE, Seasons, daily, opened
from tests.streams import START


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> Path:
    """A world in which enough was logged: made once, then copied."""
    folder = tmp_path_factory.mktemp("logged")
    shutil.copy(migrated_file, folder / "seqwatch.sqlite")
    with opened(f"sqlite:///{folder}/seqwatch.sqlite", folder) as world:
        world.log(daily()[:CHANGE])
        with read_only(world.sessions) as session:
            model_id = session.scalars(select(Model.id)).one()
        catch_up(world.sessions, world.settings().lake, model_id, START + HOUR)
    return folder


@pytest.fixture
def world(plugins: None, logged: Path, tmp_path: Path) -> Iterator[Seasons]:
    """A model that has logged enough, and whose policy names a trainer."""
    folder = tmp_path / "world"
    shutil.copytree(logged, folder)
    with opened(f"sqlite:///{folder}/seqwatch.sqlite", folder) as world:
        policy(world)
        yield world


def policy(world: Seasons, **changes: object) -> None:
    named = {
        "template": "dlinear",
        "template_params": {"kernel": 3, "epochs": 8},
        "trainer": "pipeline",
        **changes,
    }
    with unit_of_work(world.sessions) as session:
        session.execute(update(Model).values(policy_text=json.dumps(named)))


@pytest.fixture
def app(world: Seasons) -> FastAPI:
    return create_app(world.settings(), world.sessions)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def key(world: Seasons, *scopes: str) -> dict[str, str]:
    with unit_of_work(world.sessions) as session:
        token = create_key(session, "-".join(scopes), scopes, None, START)
    return bearer(token)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def configure(client: TestClient, world: Seasons, command: list[str]) -> None:
    body = {"kind": "command", "config": {"command": command, "password": "hunter2"}}
    made = client.put("/v1/trainers/pipeline", json=body, headers=key(world, "admin"))
    assert made.status_code == 201, made.text
    assert made.json()["config"] == {"command": command}


@contextmanager
def listening(app: FastAPI) -> Iterator[str]:
    """Serve over a real connection; yield the address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="none"))
    thread = Thread(target=server.run)
    thread.start()
    try:
        wait(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def wait(until: Callable[[], object]) -> None:
    end = monotonic() + 60
    while not until():
        assert monotonic() < end
        sleep(0.05)


def event_names(world: Seasons, rollout: UUID) -> list[str]:
    return [name for name, _ in world.events(rollout)]
