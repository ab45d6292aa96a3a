"""Models, versions and monitors are deleted, with what belongs to them and nothing else."""

import json
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from alerts.state import Flip, Phase, Reason
from api.server.examples import BODIES
from core.settings import Settings
from db.base import Base
from db.queries import models
from db.session import read_only, unit_of_work
from db.tables import (
    Alert,
    AuditEvent,
    Champion,
    Channel,
    Delivery,
    Finding,
    FlipRow,
    Monitor,
    Rollout,
    RolloutEvent,
    Run,
)
from monitors.finding import Outcome
from retrain.rollout import Phase as RolloutPhase
from services.access.api_keys import create_key
from services.aggregation.fold import PATIENCE, fold_all
from services.alerting import dispatch, incidents
from services.retention import deletion
from services.retention.archive import archive_all
from tests.api.conftest import Clients
from tests.problems import error_of

NAMES = ("load", "other")


@pytest.fixture
def admin(as_key: Clients) -> TestClient:
    return as_key("admin")


@pytest.fixture
def places(settings: Settings) -> deletion.Places:
    return deletion.Places(
        lake=settings.lake, artifacts=settings.artifacts, reports=settings.reports
    )


@pytest.fixture
def ids(
    admin: TestClient, sessions: sessionmaker[Session], settings: Settings, now: datetime
) -> dict[str, Any]:
    """Two models with rows, files, an alert that fires, a finished rollout and a key each."""
    admin.put("/v1/channels/on-call", json={"url": "https://hooks.example/x"})
    for name in NAMES:
        for of, path in {
            "put_model": "",
            "put_version": "/versions/v1",
            "send_predictions": "/predictions",
            "send_labels": "/labels",
            "erase": "/erasures",
        }.items():
            method = admin.put if of.startswith("put") else admin.post
            assert method(f"/v1/models/{name}{path}", json=BODIES[of]).is_success
        assert admin.put(f"/v1/models/{name}/versions/v2", json={}).status_code == 201
    fold_all(sessions, now + PATIENCE)
    archive_all(sessions, settings.lake, now)
    found: dict[str, Any] = {}
    with unit_of_work(sessions) as session:
        for name in NAMES:
            found[name] = _fill(session, settings, name, now)
    return found


def _fill(session: Session, settings: Settings, name: str, now: datetime) -> Any:
    model = models.find(session, name)
    version = models.find_version(session, model.id, "v1")
    monitor = session.scalars(
        select(Monitor).where(Monitor.model_id == model.id, Monitor.name == "input_drift")
    ).one()
    finding = Finding(
        monitor_id=monitor.id,
        model_id=model.id,
        window_start=now - timedelta(days=1),
        window_end=now,
        as_of=now,
        outcome=Outcome.BREACH,
        cause="moved",
        detail={},
        recorded_at=now,
    )
    alert = Alert(monitor_id=monitor.id, model_id=model.id, phase=Phase.FIRING, since=now)
    session.add_all([finding, alert])
    session.flush()
    flip = FlipRow(
        alert_id=alert.id,
        model_id=model.id,
        finding_id=finding.id,
        flip=Flip.FIRED,
        reason=Reason.BREACHED,
        cause="moved",
        inhibited=False,
        at=now,
        recorded_at=now,
    )
    session.add(flip)
    session.flush()
    incidents.begin(session, alert, monitor, flip, now)
    dispatch.flush_due(session, now + timedelta(minutes=1))
    rollout = Rollout(
        model_id=model.id,
        idempotency_key="r",
        reason="test",
        flip_id=flip.id,
        phase=RolloutPhase.FAILED,
        champion_rev=0,
        base_id=version.id,
        requested_at=now,
        not_before=now,
        created_at=now,
        finished_at=now,
    )
    session.add(rollout)
    session.flush()
    session.add(
        RolloutEvent(
            rollout_id=rollout.id,
            event="failed",
            phase=RolloutPhase.FAILED,
            cause="test",
            detail={},
            at=now,
            recorded_at=now,
        )
    )
    create_key(session, f"for-{name}", ["read"], model.id, now)
    (settings.artifacts / name).mkdir(parents=True)
    (settings.artifacts / name / "aa.safetensors").write_bytes(b"old")
    os.utime(settings.artifacts / name / "aa.safetensors", (0, 0))
    report = settings.reports / str(model.id) / f"{finding.id}.html"
    report.parent.mkdir(parents=True)
    report.write_text("report")
    return model.id


def rows_of(session: Session, model_id: object) -> dict[str, int]:
    return {
        table.name: n
        for table in Base.metadata.sorted_tables
        if "model_id" in table.c
        and (n := session.scalar(select(func.count()).where(table.c.model_id == model_id)) or 0)
    }


def test_a_deleted_model_leaves_nothing_and_no_other_is_touched(
    admin: TestClient,
    ids: dict[str, Any],
    sessions: sessionmaker[Session],
    settings: Settings,
    places: deletion.Places,
    now: datetime,
    as_key: Clients,
) -> None:
    gone, stays = ids["load"], ids["other"]
    assert isinstance(settings.lake, Path)
    with read_only(sessions) as session:
        before = rows_of(session, stays)
        assert len(before) > 10
    assert as_key("operate").delete("/v1/models/load").status_code == 403
    assert admin.delete("/v1/models/load", headers={"If-Match": '"no"'}).status_code == 412
    assert admin.delete("/v1/models/load").status_code == 204
    assert admin.get("/v1/models/load").status_code == 404
    assert admin.delete("/v1/models/load").status_code == 404
    with read_only(sessions) as session:
        assert rows_of(session, gone) == {}
        assert rows_of(session, stays) == before
        types = [*session.scalars(select(Delivery.type).order_by(Delivery.seq))]
        assert [str(one) for one in types] == ["alert.firing", "alert.firing", "alert.resolved"]
        actions = session.scalars(select(AuditEvent.action)).all()
        assert "model.delete" in actions
        asked = session.scalars(select(Run.subject).where(Run.job == deletion.JOB)).all()
        assert len(asked) == 2
    assert (settings.lake / str(gone)).exists()
    for subject in asked:
        deletion.delete_files(sessions, places, subject, now)
    assert not (settings.lake / str(gone)).exists()
    assert not [*settings.reports.glob(f"{gone}/*")]
    assert not [*(settings.artifacts / "load").iterdir()]
    assert [*settings.lake.glob(f"{stays}/predictions/_delta_log/*.json")]
    assert [*settings.reports.glob(f"{stays}/*.html")]
    again = admin.put("/v1/models/load", json=BODIES["put_model"])
    assert (again.status_code, again.json()["versions"]) == (201, [])


def test_files_that_were_removed_halfway_are_removed_by_the_next_run(
    admin: TestClient,
    ids: dict[str, Any],
    sessions: sessionmaker[Session],
    places: deletion.Places,
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    admin.delete("/v1/models/load")
    unlink: Callable[..., None] = os.unlink
    n_left = [3]

    def dies(*args: Any, **named: Any) -> None:
        n_left[0] -= 1
        if n_left[0] < 0:
            raise OSError("killed")
        unlink(*args, **named)

    assert isinstance(places.lake, Path)
    folder = places.lake / str(ids["load"])
    with monkeypatch.context() as crashing:
        crashing.setattr(os, "unlink", dies)
        with pytest.raises(OSError, match="killed"):
            deletion.delete_files(sessions, places, f"{ids['load']} load", now)
    assert folder.exists()
    deletion.delete_files(sessions, places, f"{ids['load']} load", now)
    assert not folder.exists()


def test_a_model_with_an_open_rollout_stays(
    admin: TestClient, ids: dict[str, Any], sessions: sessionmaker[Session]
) -> None:
    with unit_of_work(sessions) as session:
        rollout = session.scalars(select(Rollout).where(Rollout.model_id == ids["load"])).one()
        rollout.phase, rollout.finished_at = RolloutPhase.REQUESTED, None
    answer = admin.delete("/v1/models/load")
    assert (answer.status_code, error_of(answer)) == (409, "Conflict")
    assert str(rollout.id) in answer.json()["detail"]
    answer = admin.delete("/v1/models/load/versions/v1")
    assert (answer.status_code, error_of(answer)) == (409, "Conflict")


def test_a_deleted_monitor_takes_its_alert_and_findings_along(
    admin: TestClient,
    ids: dict[str, Any],
    sessions: sessionmaker[Session],
    places: deletion.Places,
    now: datetime,
) -> None:
    path = "/v1/models/load/monitors/input_drift"
    tag = admin.get(path).headers["etag"]
    assert admin.delete(path, headers={"If-Match": '"other"'}).status_code == 412
    assert admin.delete(path, headers={"If-Match": tag}).status_code == 204
    assert admin.delete(path).status_code == 404
    with read_only(sessions) as session:
        left = rows_of(session, ids["load"])
        assert not {"finding", "alert", "flip"} & left.keys()
        assert {"finding", "alert", "flip"} < rows_of(session, ids["other"]).keys()
        newest = session.scalars(select(Delivery).order_by(Delivery.seq.desc())).first()
        assert newest is not None
        assert str(newest.type) == "alert.resolved"
        content = json.loads(newest.body)["data"]
        assert content["cause"] == "monitor 'input_drift' was deleted"
        assert content["reason"] == "deleted"
    assert deletion.delete_files(sessions, places, f"{ids['load']} load", now) == 2
    assert admin.get("/v1/rollouts?model=load").json()["items"][0]["base"] == "v1"


def test_a_version_that_nobody_needs_is_deleted(
    admin: TestClient, ids: dict[str, Any], sessions: sessionmaker[Session], now: datetime
) -> None:
    path = "/v1/models/load/versions"
    serving = admin.delete(f"{path}/v1")
    assert (serving.status_code, error_of(serving)) == (409, "Conflict")
    assert "serves" in serving.json()["detail"]
    assert admin.delete(f"{path}/v2").status_code == 204
    assert admin.delete(f"{path}/v2").status_code == 404
    with unit_of_work(sessions) as session:
        version = models.find_version(session, ids["load"], "v1")
        session.add(Champion(model_id=ids["load"], version_id=version.id, rev=1, since=now))
    assert "is the champion" in admin.delete(f"{path}/v1").json()["detail"]


def test_channels_outlive_models(admin: TestClient, ids: dict[str, Any], sessions: Any) -> None:
    for name in ids:
        assert admin.delete(f"/v1/models/{name}").status_code == 204
    with read_only(sessions) as session:
        assert session.scalars(select(Channel.name)).all() == ["on-call"]
