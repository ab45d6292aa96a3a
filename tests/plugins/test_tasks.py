"""A task from another distribution works from its registration to accuracy, alert and page."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.errors import NotInstalled
from core.schema import rows
from core.schema.rows import Kind
from core.schema.task import TASKS, LabelKey
from core.settings import Settings
from db.session import read_only, unit_of_work
from db.tables import Finding, Model, Monitor
from services.access.api_keys import create_key
from services.aggregation.fold import fold_all
from services.evaluation.backtest import BacktestRequest, run_backtest
from services.evaluation.baseline_cache import Baselines
from services.evaluation.evaluate_slot import evaluate_slot
from services.evaluation.schedule import due
from services.labels.label_join import join_all
from services.models.monitor_config import MonitorPlan
from services.retention.archive import archive_all
from tests.api.conftest import Clients, app, as_key
from tests.api.conftest import stranger as stranger
from tests.plugins.conftest import uninstalled
from tests.plugins.test_task_contract import BASE, CONTRACTS, WORDS

__all__ = ["app", "as_key"]  # fixtures


def wrong_by(offset: float) -> Callable[[int], tuple[list[float], list[float]]]:
    return lambda i: ([float(i % 7) + offset], [float(i % 7)])


def tagged(n_wrong: int) -> Callable[[int], tuple[list[str], list[str]]]:
    def made(i: int) -> tuple[list[str], list[str]]:
        actual = [WORDS[(i + k) % 2] for k in range(2 + i % 5)]
        predicted = [WORDS[(i + k + (k < n_wrong)) % 2] for k in range(2 + i % 5)]
        return predicted, actual

    return made


ROWS: dict[str, Callable[[int], tuple[list[Any], list[Any]]]] = {
    "regression": wrong_by(0.5),
    "tagging": tagged(1),
}
METRICS = {"regression": {"RMSE": 0.5}, "tagging": {"accuracy": 0.75}}
KEYS = [
    *(("regression", key) for key in LabelKey),
    *(("tagging", key) for key in LabelKey if key is not LabelKey.INTERVAL),
]


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(("name", "key"), KEYS)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # others: PostgreSQL too
def test_a_task_is_logged_joined_evaluated_and_shown(
    as_key: Clients,
    stranger: TestClient,
    settings: Settings,
    sessions: sessionmaker[Session],
    now: datetime,
    name: str,
    key: LabelKey,
) -> None:
    assert key in TASKS.find(name).keys
    operator, sender = as_key("operate", "read"), as_key("ingest")
    model_id = register(operator, sessions, name)
    send(sender, now, ROWS[name], key, ahead=timedelta() if name == "tagging" else HOUR)
    work(settings, sessions, now)
    browser = signed_in(stranger, sessions, now)

    answer = operator.get("/v1/models/plug/accuracy").json()
    errors = [day["error"] for day in answer["days"]]
    assert errors[:5] == pytest.approx([0.25] * 5, abs=0.01)
    [line] = answer["steps"]
    assert line["metrics"] == pytest.approx(METRICS[name])
    for slot_model, at in slots(sessions):
        assert slot_model == str(model_id)
        evaluate_slot(sessions, Baselines(), model_id, at, now)
    with read_only(sessions) as session:
        of = select(Finding.cause).join(Monitor).where(Monitor.kind == "accuracy")
        causes = session.scalars(of.order_by(Finding.as_of)).all()
    assert any(cause.startswith(TASKS.find(name).measure.name) for cause in causes)
    plan = MonitorPlan(
        name="tried", kind="accuracy", params={"objective": 0.1, "window": "P1D"}
    )
    found = run_backtest(sessions, model_id, BacktestRequest(plans=(plan,)))
    assert found.episodes
    assert found.episodes[0].monitor == "tried"
    listed = operator.get("/v1/models/plug/predictions").json()["items"]
    assert listed[1]["label"]["loss"] is not None
    assert set(listed[1]["output"]) == {"y"}
    for page in ("", "/predictions", f"/predictions/{listed[1]['prediction_id']}"):
        shown = browser.get(f"/models/plug{page}")
        assert shown.status_code == 200, page
        assert "y" in shown.text


def signed_in(
    browser: TestClient, sessions: sessionmaker[Session], now: datetime
) -> TestClient:
    with unit_of_work(sessions) as session:
        key = create_key(session, "browser", ("read",), None, now)
    origin = {"Origin": str(browser.base_url)}
    answer = browser.post("/login", data={"key": key}, headers=origin, follow_redirects=False)
    assert answer.status_code == 303, answer.text
    return browser


def register(operator: TestClient, sessions: sessionmaker[Session], name: str) -> UUID:
    body = {
        "contract": CONTRACTS[name].to_json(),
        "policy": {"label_delay": "PT1H", "lateness": "PT0S"},
    }
    answer = operator.put("/v1/models/plug", json=body)
    assert answer.status_code == 201, answer.text
    params = {"objective": 0.1, "window": "P1D"}
    monitor = {"kind": "accuracy", "params": params}
    assert operator.put("/v1/models/plug/monitors/accuracy", json=monitor).is_success
    with read_only(sessions) as session:
        return session.scalars(select(Model.id)).one()


def send(
    sender: TestClient,
    now: datetime,
    row: Callable[[int], tuple[list[Any], list[Any]]],
    key: LabelKey = LabelKey.PREDICTION_ID,
    ahead: timedelta = HOUR,
) -> None:
    first = (now - 8 * DAY).replace(hour=0, minute=0, second=0, microsecond=0)
    predictions, labels = [], []
    for i in range(5 * 24):
        predicted, actual = row(i)
        served = {
            "prediction_id": f"p{i}",
            "version": "v1",
            "at": (first + i * HOUR).isoformat(),
            "entity": f"e{i % 3}",
            "session_id": f"s{i // 24}",
            "step_index": i % 24,
            "features": {"x": [0.5]},
            "output": {"y": predicted},
        }
        predictions.append(served)
        about = first + i * HOUR + ahead
        named = {
            "prediction_id": f"p{i}",
            "entity": f"e{i % 3}",
            "target_at": about.isoformat(),
            "target_end": (about + HOUR).isoformat(),
            "session_id": f"s{i // 24}",
            "step_index": i % 24,
        }
        labels.append({n: named[n] for n in key.columns} | {"actual": {"y": actual}})
    last: dict[str, Any] = {**predictions[-1], "session_id": None, "step_index": None}
    last |= {"prediction_id": "last", "at": (first + 7 * DAY).isoformat()}
    for route, of in (("predictions", [*predictions, last]), ("labels", labels)):
        answer = sender.post(f"/v1/models/plug/{route}", json={"rows": of})
        assert answer.is_success, answer.text


def work(settings: Settings, sessions: sessionmaker[Session], now: datetime) -> None:
    later = now + timedelta(days=1000)  # whatever the clock of the writer shows
    fold_all(sessions, later)
    archive_all(sessions, settings.lake, later)
    join_all(sessions, settings.lake, later)


def slots(sessions: sessionmaker[Session]) -> list[tuple[str, datetime]]:
    with read_only(sessions) as session:
        return due(session)


@pytest.mark.usefixtures("plugins")
def test_a_contract_that_does_not_fit_and_a_row_that_breaks_it_are_refused_by_name(
    as_key: Clients, sessions: sessionmaker[Session]
) -> None:
    operator, sender = as_key("operate", "read"), as_key("ingest")
    wide = replace(CONTRACTS["regression"], horizon=3).to_json()
    answer = operator.put("/v1/models/plug", json={"contract": wide})
    assert answer.status_code == 422
    assert "task regression: horizon must be 1" in answer.text
    unknown = BASE.to_json() | {"task": "telepathy"}
    answer = operator.put("/v1/models/plug", json={"contract": unknown})
    assert "no task 'telepathy'; known: " in answer.json()["detail"]
    register(operator, sessions, "tagging")
    row = {
        "prediction_id": "p",
        "version": "v1",
        "at": "2026-01-05T00:00:00Z",
        "features": {"x": [0.5]},
        "output": {"y": ["up", "sideways"]},
    }
    body = {"rows": [row, {**row, "prediction_id": "q", "output": {"y": ["up"]}}]}
    answer = sender.post("/v1/models/plug/predictions", json=body)
    assert answer.json()["accepted"] == 1
    assert answer.json()["errors"][0]["field"] == "output.y"


@pytest.mark.usefixtures("plugins")
def test_one_that_cannot_be_imported_or_takes_a_name_in_use_is_unavailable() -> None:
    assert "No module named 'no_such_module'" in TASKS.unavailable["torn"]
    assert "in use" in TASKS.unavailable["forecast (another-task)"]
    assert TASKS.find("forecast").question


def test_one_that_was_uninstalled_stops_its_model_alone(
    as_key: Clients,
    settings: Settings,
    sessions: sessionmaker[Session],
    now: datetime,
    plugins: None,
    site: Path,
) -> None:
    operator, sender = as_key("operate", "read"), as_key("ingest")
    register(operator, sessions, "regression")
    send(sender, now, wrong_by(0.5))
    work(settings, sessions, now)
    with uninstalled(site):
        with pytest.raises(NotInstalled, match="task 'regression' is unavailable"):
            rows.schema(Kind.LABELS, CONTRACTS["regression"])
        rows_of_it = {"rows": [{"prediction_id": "p1", "actual": {"y": [1.0]}}]}
        answer = sender.post("/v1/models/plug/labels", json=rows_of_it)
        assert answer.status_code == 501, answer.text
        assert operator.get("/v1/models/plug/accuracy").status_code == 200
        other = operator.put("/v1/models/other", json={"contract": BASE.to_json()})
        assert other.status_code == 201


def test_days_of_a_task_that_was_uninstalled_are_shown_whatever_their_cells(
    as_key: Clients,
    settings: Settings,
    sessions: sessionmaker[Session],
    now: datetime,
    plugins: None,
    site: Path,
) -> None:
    operator, sender = as_key("operate", "read"), as_key("ingest")
    register(operator, sessions, "tagging")
    send(sender, now, tagged(1))
    work(settings, sessions, now)
    with uninstalled(site):
        assert operator.get("/v1/models/plug/accuracy").status_code == 200


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_label_that_names_its_prediction_counts_whatever_time_it_is_about(
    as_key: Clients, settings: Settings, sessions: sessionmaker[Session], now: datetime
) -> None:
    operator, sender = as_key("operate", "read"), as_key("ingest")
    register(operator, sessions, "regression")
    send(sender, now, wrong_by(0.5))
    work(settings, sessions, now)
    at = (now - timedelta(hours=1)).isoformat()
    row = {"prediction_id": "p3", "target_at": at, "actual": {"y": [1003.5]}}
    assert sender.post("/v1/models/plug/labels", json={"rows": [row]}).is_success
    work(settings, sessions, now)
    first = operator.get("/v1/models/plug/accuracy").json()["days"][0]
    assert first["error"] > 1000


@pytest.mark.usefixtures("plugins")
def test_an_output_of_texts_may_not_lack_one(
    as_key: Clients, sessions: sessionmaker[Session]
) -> None:
    operator, sender = as_key("operate", "read"), as_key("ingest")
    register(operator, sessions, "tagging")
    row = {
        "prediction_id": "p",
        "version": "v1",
        "at": "2026-01-05T00:00:00Z",
        "features": {"x": [0.5]},
        "output": {"y": ["up", None]},
    }
    answer = sender.post("/v1/models/plug/predictions", json={"rows": [row]})
    assert answer.json()["errors"][0]["reason"] == "missing"
