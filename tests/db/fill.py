"""A filled installation, made through the API and the worker, and stored for later migrations.

`python -m tests.db.fill` stores it under `filled/`, by the schema that it has. It is made anew
while its schema is not released, and never afterwards.
"""

import tarfile
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np
from alembic.config import Config
from alembic.script import ScriptDirectory
from fastapi import FastAPI
from fastapi.testclient import TestClient
from safetensors.numpy import save
from sqlalchemy.orm import Session, sessionmaker

from api.main import create_app
from core.clock import utcnow
from core.durations import DAY
from core.settings import Settings
from db.migrate import CONFIG, upgrade
from db.queries import models
from db.session import connect, read_only, unit_of_work
from jobs.wiring import jobs
from jobs.worker import Queue, Worker
from retrain.templates.segment_lstm import FORMAT
from services.access.api_keys import create_key
from services.aggregation.fold import fold_all
from services.evaluation.baseline_cache import Baselines
from services.evaluation.by_clock.live import LiveMonitors
from services.evaluation.evaluate_slot import evaluate_slot
from services.labels.label_join import join_all
from services.retention.archive import archive_all
from tests.streams import START
from tests.templates import SQLITE

FILLED = Path(__file__).parent / "filled"
MODEL = "/v1/models/load"
MANIFEST = "manifest.json"
N_REFERENCE, N_SERVED = 8, 4  # days
SERVED = START + N_REFERENCE * DAY
NOW = SERVED + (N_SERVED + 3) * DAY
CONTRACT: dict[str, Any] = {
    "features": [{"name": "load"}],
    "targets": ["load"],
    "step": "PT1H",
    "input_length": 4,
    "horizon": 2,
    "segment_by": "entity",
}


class Manifest(msgspec.Struct, frozen=True):
    """An admin key of the installation, and how many items each list of its API has."""

    key: str
    n_items: dict[str, int]


def head() -> str:
    """Return the newest revision of the scripts."""
    newest = ScriptDirectory.from_config(Config(CONFIG)).get_current_head()
    assert newest is not None
    return newest


def settings_of(folder: Path, database_url: str) -> Settings:
    return Settings(
        database_url=database_url,
        lake=folder / "lake",
        artifacts=folder / "artifacts",
        reports=folder / "reports",
    )


def app_of(settings: Settings, sessions: sessionmaker[Session]) -> FastAPI:
    app = create_app(settings, sessions)
    app.dependency_overrides[utcnow] = lambda: NOW
    return app


def row(hour: int) -> dict[str, Any]:
    """Return an hour of input, counted from the first that was served."""
    at = SERVED + timedelta(hours=hour)
    value = 5.0 + float(np.sin(at.hour / 24 * 2 * np.pi)) + 0.1 * (hour % 7)
    return {
        "prediction_id": f"p{hour}",
        "at": at.isoformat(),
        "entity": ("north", "south")[hour % 2],
        "features": {"load": [round(value, 3)]},
    }


def served(hour: int) -> dict[str, Any]:
    """Return an hour of predictions, far from its labels."""
    session = {"session_id": f"s{hour // 24}", "step_index": hour % 24}
    output = {"version": "v1", "output": {"load": [9.0, 9.5]}, "latency_seconds": 0.02}
    return row(hour) | session | output


def label(hour: int) -> dict[str, Any]:
    """Return the label of an hour."""
    return {"prediction_id": f"p{hour}", "actual": {"load": [5.0, 5.0]}}


def fill(settings: Settings, sessions: sessionmaker[Session]) -> Manifest:
    """Fill an empty installation, and return what is in it."""
    with unit_of_work(sessions) as session:
        key = create_key(session, "filled", ["admin"], None, START)
    headers = {"Authorization": f"Bearer {key}"}
    with TestClient(app_of(settings, sessions), headers=headers) as client:
        _configure(client)
        hours = range(24 * N_SERVED)
        _call(
            client,
            "POST",
            f"{MODEL}/reference",
            {"rows": [*map(row, range(-24 * N_REFERENCE, 0))]},
        )
        _call(client, "POST", f"{MODEL}/predictions", {"rows": [*map(served, hours)]})
        _call(client, "POST", f"{MODEL}/labels", {"rows": [*map(label, hours)]})
        deploy = {"event_id": "e0", "type": "deploy", "at": SERVED.isoformat(), "version": "v1"}
        _call(client, "POST", f"{MODEL}/events", deploy)
        bad = {"prediction_id": "bad", "version": "v1", "at": "yesterday", "features": {}}
        _call(client, "POST", f"{MODEL}/predictions", {"rows": [bad]}, status=422)
        fold_all(sessions, NOW)
        archive_all(sessions, settings.lake, NOW)
        join_all(sessions, settings.lake, NOW)
        with read_only(sessions) as session:
            model_id = models.find(session, "load").id
        baselines = Baselines()
        for day in range(1, N_SERVED + 1):
            evaluate_slot(sessions, baselines, model_id, SERVED + day * DAY, NOW)
        LiveMonitors(sessions).run(NOW)
        stretch = {"start": SERVED.isoformat(), "end": (SERVED + DAY).isoformat()}
        correction = f"{MODEL}/slos/availability/corrections"
        _call(client, "POST", correction, {**stretch, "reason": "load test"})
        # What waits for a worker: a late label, the last prediction, and what was requested.
        late = label(0) | {"actual": {"load": [6.0]}}
        _call(client, "POST", f"{MODEL}/labels", {"rows": [late]})
        fold_all(sessions, NOW)
        _call(client, "POST", f"{MODEL}/predictions", {"rows": [served(24 * N_SERVED)]})
        for _ in range(2):
            _call(client, "POST", f"{MODEL}/backtests", {})
        assert Worker(settings, sessions, jobs(settings, sessions), Queue.BULK).once()
        _call(client, "POST", f"{MODEL}/erasures", {"session_id": "none"})
        return Manifest(key=key, n_items=n_items(client))


def _configure(client: TestClient) -> None:
    """Register the model, its versions and monitors, and what is beside it."""
    _call(client, "PUT", "/v1/channels/hook", {"url": "https://hooks.example/seqwatch"})
    _call(client, "PUT", "/v1/trainers/ours", {"kind": "builtin"})
    _call(client, "PUT", MODEL, {"contract": CONTRACT, "description": "filled"})
    start = SERVED - N_REFERENCE * DAY
    reference = [{"start": start.isoformat(), "end": SERVED.isoformat()}]
    stated = {"manifest": {"format": FORMAT}, "reference": reference}
    _call(client, "PUT", f"{MODEL}/versions/v1", stated)
    _call(client, "PUT", f"{MODEL}/versions/v2", {})
    weights = save({"weight": np.arange(2.0)})
    assert client.put(f"{MODEL}/versions/v1/artifact", content=weights).status_code == 200
    _call(client, "PUT", f"{MODEL}/champion", {"version": "v1", "expected_rev": 0})
    strict = {"kind": "accuracy", "params": {"objective": 0.01}}
    _call(client, "PUT", f"{MODEL}/monitors/accuracy", strict)


def _call(
    client: TestClient, method: str, path: str, document: Any, status: int | None = None
) -> None:
    answer = client.request(method, path, json=document)
    is_expected = answer.is_success if status is None else answer.status_code == status
    assert is_expected, f"{path}: {answer.status_code} {answer.text}"


def n_items(client: TestClient) -> dict[str, int]:
    """Return how many items each list of what is stored has."""
    paths = client.get("/openapi.json").json()["paths"]
    lists = [
        path.replace("{model}", "load").replace("{name}", "availability")
        for path, verbs in paths.items()
        if verbs.get("get", {}).get("operationId", "").startswith("list_")
        and path != "/v1/plugins"
    ]
    found = {path: client.get(path, params={"limit": 1000}) for path in lists}
    assert {answer.status_code for answer in found.values()} == {200}, found
    return {path: len(answer.json()["items"]) for path, answer in found.items()}


def store(target: Path) -> None:
    """Store a filled installation: its database, its lake and its artifacts."""
    with TemporaryDirectory() as made:
        folder = Path(made)
        settings = settings_of(folder, f"sqlite:///{folder / SQLITE}")
        engine = connect(settings.database_url)
        upgrade(engine)
        manifest = fill(settings, sessionmaker(engine, expire_on_commit=False))
        engine.dispose()
        (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
        target.parent.mkdir(exist_ok=True)
        with tarfile.open(target, "w:xz") as archive:
            archive.add(folder, arcname=".")


def restore(archive: Path, folder: Path) -> Manifest:
    """Unpack a filled installation."""
    with tarfile.open(archive) as stored:
        stored.extractall(folder, filter="data")
    return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)


if __name__ == "__main__":
    store(FILLED / f"{head()}.tar.xz")
