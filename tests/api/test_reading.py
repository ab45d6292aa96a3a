from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from sqlalchemy import update
from sqlalchemy.orm import Session, sessionmaker

from alerts.state import Flip, Phase, Reason
from core.durations import DAY
from core.schema.rows import Kind
from db.queries import models
from db.queries.read import false_alarm_rates
from db.session import unit_of_work
from db.tables import Alert, Champion, Finding, FlipRow, Inbox, Monitor, Version
from monitors.finding import Outcome
from tasks.residual_sums import RESIDUALS, sums
from tests import stored
from tests.api.conftest import CONTRACT, Clients
from tests.api.test_paging import pages

PROMISE = {"promised_days": 90.0, "achieved_days": 100.0, "replayed_days": 300.0}


@pytest.fixture
def history(model: str, sessions: sessionmaker[Session], now: datetime) -> None:
    """Three evaluated days: the second breached, and the alert fires since."""
    with unit_of_work(sessions) as session:
        row = models.find(session, model)
        row.watermark, row.evaluated_until = now, now - timedelta(hours=2)
        monitor = Monitor(model_id=row.id, name="own", kind="input_drift", severity="ticket")
        session.add(monitor)
        session.flush()
        for day in range(3):
            session.add(
                Finding(
                    monitor_id=monitor.id,
                    model_id=row.id,
                    version="v1",
                    window_start=now + day * DAY,
                    window_end=now + (day + 1) * DAY,
                    as_of=now + (day + 1) * DAY,
                    outcome=Outcome.BREACH if day == 1 else Outcome.OK,
                    value=float(day),
                    threshold=0.5,
                    cause="HULL moved" if day == 1 else "",
                    detail={"top": "HULL"} | PROMISE,
                    recorded_at=now,
                )
            )
        alert = Alert(
            monitor_id=monitor.id,
            model_id=row.id,
            severity=monitor.severity,
            phase=Phase.FIRING,
            since=now + 2 * DAY,
            version="v1",
            cause="HULL moved",
        )
        session.add(alert)
        session.flush()
        session.add(
            FlipRow(
                alert_id=alert.id,
                model_id=row.id,
                flip=Flip.FIRED,
                reason=Reason.BREACHED,
                cause="HULL moved",
                at=now + 2 * DAY,
                recorded_at=now,
            )
        )
        version = Version(
            model_id=row.id,
            name="v1",
            contract=row.contract,
            contract_digest="",
            created_at=now,
        )
        session.add(version)
        session.flush()
        session.add(Champion(model_id=row.id, version_id=version.id, rev=1, since=now))
        session.add(
            Inbox(
                model_id=row.id,
                kind=Kind.PREDICTIONS,
                n_rows=7,
                n_bytes=900,
                received_at=now - timedelta(seconds=30),
            )
        )


@pytest.mark.usefixtures("history")
def test_a_flip_is_listed_with_its_cause(operator: TestClient, model: str) -> None:
    [flip] = operator.get("/v1/flips", params={"model": model}).json()["items"]
    assert flip["flip"] == "fired"
    assert flip["cause"] == "HULL moved"
    assert flip["at"] == "2026-01-10T00:00:00Z"
    [alert] = [
        one for one in operator.get("/v1/alerts").json()["items"] if one["phase"] == "firing"
    ]
    assert (alert["monitor"], alert["severity"]) == ("own", "ticket")


@pytest.mark.usefixtures("history")
def test_findings_come_newest_first_and_by_outcome(operator: TestClient, model: str) -> None:
    path = f"/v1/models/{model}/findings"
    assert [one["value"] for one in pages(operator, path, limit=10)] == [2.0, 1.0, 0.0]
    assert [one["value"] for one in pages(operator, path, limit=1)] == [2.0, 1.0, 0.0]
    [breach] = pages(operator, path, outcome="breach")
    assert breach["detail"] == {"top": "HULL"} | PROMISE
    assert operator.get(path, params={"monitor": "absent"}).json()["items"] == []
    assert operator.get(path, params={"limit": 0}).status_code == 422


def test_accuracy_is_reported_by_day_and_by_step(
    operator: TestClient, model: str, sessions: sessionmaker[Session], now: datetime
) -> None:
    path = f"/v1/models/{model}/accuracy"
    assert operator.get(path).json() == {"days": [], "steps": [], "parts": [], "classes": []}
    cells = np.zeros((24, 1, 5))
    cells[:, :, :3] = 4.0, 2.0, 1.0  # expected, labelled, the sum of absolute errors
    error = np.array([[[0.5]] * 24, [[-1.5]] * 24])
    residuals = sums(error, np.isfinite(error), np.array([3, 4]))
    with unit_of_work(sessions) as session:
        for day in range(3):
            model_id, on = models.find(session, model).id, (now + day * DAY).date()
            stored.put_errors(session, model_id, on, "v1", cells, 4)
            if day < 2:
                stored.put(session, RESIDUALS, model_id, on, "v1", residuals)
    answer = operator.get(path, params={"days": 2}).json()
    assert [one["day"] for one in answer["days"]] == ["2026-01-09", "2026-01-10"]
    assert {(one["error"], one["coverage"]) for one in answer["days"]} == {(0.5, 0.5)}
    assert answer["steps"][0]["errors"] == [0.5] * 24
    # Of one of the two days no residuals are kept.
    [first, *_, last] = operator.get(path, params={"days": 2}).json()["parts"]
    target = CONTRACT["targets"][0]
    assert (first["part"], first["n"]) == (f"{target}+1", 4)
    assert (last["part"], last["n"]) == (f"{target}+17..24", 32)
    assert (last["bias"], last["error"]) == (-0.5, 1.0)
    assert (last["too_high"], last["far_off"]) == (0.5, 0.5)


@pytest.mark.usefixtures("history")
def test_a_key_for_another_model_sees_none_of_it(
    operator: TestClient, model: str, as_key: Clients, sessions: sessionmaker[Session]
) -> None:
    operator.put("/v1/models/other", json={"contract": CONTRACT})
    with unit_of_work(sessions) as session:
        other_id = models.find(session, "other").id
    narrow = as_key("read", model_id=other_id)
    assert narrow.get("/v1/flips").json()["items"] == []
    assert {one["model"] for one in narrow.get("/v1/alerts").json()["items"]} <= {"other"}
    assert narrow.get("/v1/flips", params={"model": model}).status_code == 403
    assert narrow.get("/metrics").status_code == 403


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_metrics_are_openmetrics_where_a_prometheus_asks_for_it(operator: TestClient) -> None:
    accept = (
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
        "text/plain;version=0.0.4;q=0.2"
    )
    answer = operator.get("/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    parsed: Any = text_string_to_metric_families  # has no types
    found = {family.name for family in parsed(answer.text)}
    assert {"seqwatch_alert_firing", "seqwatch_ingest_rows", "seqwatch_log_rows"} <= found


@pytest.mark.usefixtures("history")
def test_metrics_report_the_state_of_everything(operator: TestClient, model: str) -> None:
    answer = operator.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = answer.text.splitlines()
    labels = f'model="{model}"'
    for line in (
        f"seqwatch_backlog_rows{{{labels}}} 7.0",
        f"seqwatch_backlog_bytes{{{labels}}} 900.0",
        f"seqwatch_backlog_age_seconds{{{labels}}} 30.0",
        f"seqwatch_evaluation_lag_seconds{{{labels}}} 7200.0",
        f'seqwatch_alert_firing{{{labels},monitor="own",severity="ticket"}} 1.0',
        f'seqwatch_champion_info{{{labels},version="v1"}} 1.0',
        f'seqwatch_false_alarm_promised_seconds{{{labels},monitor="own"}} 7.776e+06',
        f'seqwatch_false_alarm_achieved_seconds{{{labels},monitor="own",source="reference",'
        'bound="seen"} 8.64e+06',
        f'seqwatch_false_alarm_achieved_seconds{{{labels},monitor="own",source="live",'
        'bound="seen"} 259200.0',
        "seqwatch_deliveries_pending 0.0",
        "seqwatch_deliveries_dead 0.0",
    ):
        assert line in lines


@pytest.mark.usefixtures("history")
def test_what_is_known_of_the_past_is_no_alarm_of_ours(
    operator: TestClient, model: str, sessions: sessionmaker[Session], now: datetime
) -> None:
    """Imported days, alarms that a broken input explains, and days without a verdict."""

    def counted() -> list[tuple[int, int]]:
        with unit_of_work(sessions) as session:
            of_model = session.query(Alert).filter_by(model_id=models.find(session, model).id)
            return [*false_alarm_rates.live(session, of_model).values()]

    assert counted() == [(1, 3)]
    with unit_of_work(sessions) as session:
        models.find(session, model).history_until = now + DAY
    assert counted() == [(1, 2)]
    with unit_of_work(sessions) as session:
        session.execute(update(Finding).where(Finding.value == 1.0).values(outcome="no_data"))
        session.execute(update(FlipRow).values(inhibited=True))
    assert counted() == [(0, 1)]
    with unit_of_work(sessions) as session:
        models.find(session, model).history_until = now + 9 * DAY
    assert counted() == []


def test_history_until_before_any_calendar_is_refused(operator: TestClient, model: str) -> None:
    until = {"until": "0001-01-01T00:00:00+14:00"}
    answer = operator.put(f"/v1/models/{model}/history", json=until)
    assert answer.status_code == 422
    assert "until" in answer.text
