"""An SLI from another distribution works from its rows to its notification and its page."""

from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from cli.main import main
from core.durations import DAY, HOUR, MINUTE
from core.errors import Unprocessable
from core.schema.contract import Contract
from core.schema.rows import Kind
from db.session import read_only, unit_of_work
from db.tables import Delivery, Finding, FlipRow, Model, Monitor, SummaryRow
from monitors.finding import Outcome
from monitors.slo import sli
from monitors.slo.sli import SLIS
from services.aggregation.fold import fold_all
from services.alerting import dispatch
from services.evaluation.by_clock.live import LiveMonitors
from services.models.monitor_config import MonitorPlan, put
from services.read_models.explanations.finding import explain
from services.read_models.overview import model as model_page
from services.retention import rebuild
from services.retention.archive import archive_all
from tests.api.conftest import CONTRACT as OF_API
from tests.api.conftest import app, as_key, operator, stranger
from tests.late.world import BY_SHOP
from tests.notify.test_deliver import add_channel
from tests.plugins.conftest import uninstalled
from tests.streams import CONTRACT, START, add_served_model, keep, prediction, table

__all__ = ["app", "as_key", "operator", "stranger"]  # fixtures

END = START + 2 * DAY
LATER = START + 100 * DAY
STREAM = "sli_short_queue"
PARAMS = {"sli": "short_queue", "sli_params": {"longest": 20}}
ALSO = PARAMS | {"calendar": "year"}  # its detail has a period


def rows(contract: Contract = CONTRACT, **fields: Any) -> list[dict[str, Any]]:
    """Return a row each five minutes of two days and an hour: of every shop in turn."""
    found = []
    for i in range(2 * 288 + 13):
        at = START + 5 * i * MINUTE
        features: dict[str, Any] = {"load": [1.0], "wind": [2.0]}
        if contract.segment_by:
            features["shop"] = ["abc"[i % 3]]
        length = 50 if at >= END else i % 20  # the last hour
        made = prediction(at, i, features=features, queue_length=length)
        found.append(made | fields)
    return found


def send(sessions: sessionmaker[Session], model_id: UUID, rows: list[dict[str, Any]]) -> None:
    with read_only(sessions) as session:
        contract = session.get_one(Model, model_id).contract
    keep(sessions, model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, rows, contract))
    fold_all(sessions, LATER)


def served(
    sessions: sessionmaker[Session],
    params: dict[str, Any] | None = None,
    contract: Contract = CONTRACT,
) -> UUID:
    """Return a model with one monitor that has got its rows."""
    monitors = {"burn_rate": PARAMS if params is None else params}
    model_id = add_served_model(sessions, contract, monitors=monitors)
    send(sessions, model_id, rows(contract))
    return model_id


def evaluated(sessions: sessionmaker[Session], live: LiveMonitors | None = None) -> Finding:
    """Evaluate what is new by the clock, and return the newest finding."""
    (live or LiveMonitors(sessions)).run(END + HOUR + MINUTE)
    with read_only(sessions) as session:
        row = session.scalars(select(Finding).order_by(Finding.as_of.desc()).limit(1)).one()
        session.expunge_all()
        return row


def stored(sessions: sessionmaker[Session], stream: str) -> dict[tuple[Any, ...], bytes]:
    with read_only(sessions) as session:
        of = session.scalars(select(SummaryRow).where(SummaryRow.stream == stream))
        return {(row.start, row.version): row.payload for row in of}


@pytest.mark.usefixtures("plugins")
def test_it_is_evaluated_alerts_notifies_and_is_shown(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    add_channel(sessions, "team", "http://127.0.0.1:1/", LATER, "page")
    served(sessions)
    finding = evaluated(sessions)
    assert finding.outcome is Outcome.BREACH
    assert finding.cause.startswith("short queue burns ")
    # A row each five minutes is a slice of ten seconds each: thirteen of them are bad.
    assert finding.detail["versions"] == {"v1": {"good": 276, "bad": 13, "unknown": 0}}
    question = "SLI short_queue: Is the queue short enough?"
    dispatch.flush_all(sessions, LATER + HOUR)
    with read_only(sessions) as session:
        assert finding.cause in session.scalars(select(FlipRow.cause)).all()
        assert any(
            b"short queue burns" in body for body in session.scalars(select(Delivery.body))
        )
        assert explain(session, tmp_path, finding.id, None, LATER).about == question
        [status] = model_page.model(session, "grid", None).monitor_statuses
    assert status.about == question


@pytest.mark.usefixtures("plugins")
def test_late_rows_change_the_counts_of_the_next_evaluation(
    sessions: sessionmaker[Session],
) -> None:
    model_id = served(sessions)
    before = evaluated(sessions)
    late = [
        prediction(END - 2 * HOUR + i * MINUTE, number=9_000 + i, queue_length=99)
        for i in range(1, 5)  # slices that had no row yet
    ]
    send(sessions, model_id, late)
    with unit_of_work(sessions) as session:  # a change that is stored at once
        put(session, model_id, MonitorPlan(name="burn_rate", kind="burn_rate", params=ALSO))
    after = evaluated(sessions)
    assert after.as_of > before.as_of
    assert after.detail["bad"] == before.detail["bad"] + 4
    assert after.detail["versions"]["v1"] == {"good": 276, "bad": 17, "unknown": 0}


@pytest.mark.usefixtures("plugins")
def test_a_slice_in_which_two_versions_served_counts_once_and_its_worst_row_decides(
    sessions: sessionmaker[Session],
) -> None:
    model_id = served(sessions)
    send(sessions, model_id, rows(version="v2", queue_length=20))
    send(sessions, model_id, rows(version="v1", queue_length=None))
    finding = evaluated(sessions)
    assert finding.detail["versions"] == {
        "v1": {"good": 276, "bad": 13, "unknown": 0},
        "v2": {"good": 289, "bad": 0, "unknown": 0},
    }
    assert (finding.detail["bad"], finding.detail["total"]) == (13, 589)


@pytest.mark.usefixtures("plugins")
def test_slices_without_a_value_are_unknown_and_those_without_a_row_are_not_counted(
    sessions: sessionmaker[Session],
) -> None:
    model_id = add_served_model(sessions, monitors={"burn_rate": PARAMS})
    send(sessions, model_id, rows(queue_length=None))
    finding = evaluated(sessions)
    assert (finding.outcome, finding.detail["state"]) == (Outcome.NO_DATA, "unknown")
    assert finding.cause == "none of the 289 time slices of this day has a short queue"


@pytest.mark.usefixtures("plugins")
def test_a_breach_names_the_segments_that_burn(sessions: sessionmaker[Session]) -> None:
    model_id = served(sessions, PARAMS | {"by_segment": True}, BY_SHOP)
    finding = evaluated(sessions)
    assert finding.detail["by_segment"] == {
        f"shop={name}": {"good": 92, "bad": bad, "unknown": 0}
        for name, bad in (("a", 5), ("b", 4), ("c", 4))
    }
    assert finding.detail["burned_by_segments"] == ["shop=a", "shop=b", "shop=c"]
    assert "; in shop=a (" in finding.cause
    with unit_of_work(sessions) as session:
        model_id = add_served_model(sessions, name="plain", monitors={})
        plan = MonitorPlan(name="queue", kind="burn_rate", params={"by_segment": True})
        with pytest.raises(Unprocessable, match="no segments"):
            put(session, model_id, plan)


def test_one_that_is_installed_later_is_filled_from_the_lake(
    sessions: sessionmaker[Session],
    tmp_path: Path,
    site: Path,
    request: pytest.FixtureRequest,
) -> None:
    model_id = served(sessions, {})
    archive_all(sessions, tmp_path, LATER)
    assert STREAM not in rebuild.names()
    request.getfixturevalue("plugins")
    assert stored(sessions, STREAM) == {}
    asked = rebuild.Request(model_id=model_id, streams=(STREAM,))
    assert rebuild.rebuild(sessions, tmp_path, asked, LATER) == 3
    with unit_of_work(sessions) as session:
        put(session, model_id, MonitorPlan(name="burn_rate", kind="burn_rate", params=PARAMS))
    finding = evaluated(sessions)
    assert finding.detail["versions"] == {"v1": {"good": 276, "bad": 13, "unknown": 0}}
    twin = add_served_model(sessions, name="twin", monitors={})
    send(sessions, twin, rows())
    with read_only(sessions) as session:
        every = {
            (row.model_id, row.start): row.payload
            for row in session.scalars(select(SummaryRow).where(SummaryRow.stream == STREAM))
        }
    assert len(every) == 2 * 50
    assert all(every[model_id, start] == payload for (_, start), payload in every.items())


@pytest.mark.usefixtures("plugins")
def test_one_that_fails_stops_no_fold_and_its_predictions_are_unknown(
    sessions: sessionmaker[Session], caplog: pytest.LogCaptureFixture
) -> None:
    served(sessions, {"sli": "raising"})
    assert "stream sli_raising: 589 rows are unknown" in caplog.text
    assert "ZeroDivisionError: of the plug-in" in caplog.text
    assert len(stored(sessions, "serving")) == len(stored(sessions, STREAM)) == 50
    finding = evaluated(sessions)
    assert (finding.outcome, finding.detail["state"]) == (Outcome.NO_DATA, "unknown")
    assert finding.detail["versions"] == {"v1": {"good": 0, "bad": 0, "unknown": 289}}
    assert finding.cause.endswith("; SLI raising failed on 288 predictions")


def test_one_that_was_uninstalled_stops_nothing_and_its_findings_stay(
    sessions: sessionmaker[Session], plugins: None, site: Path, tmp_path: Path
) -> None:
    model_id = served(sessions)
    with unit_of_work(sessions) as session:
        put(session, model_id, MonitorPlan(name="availability", kind="burn_rate"))
    live = LiveMonitors(sessions)
    evaluated(sessions, live)
    with uninstalled(site):
        send(sessions, model_id, [prediction(END + HOUR + 2 * MINUTE, number=9_999)])
        live = LiveMonitors(sessions)
        live.run(END + HOUR + 3 * MINUTE)
        with read_only(sessions) as session:
            later = {
                monitor.name: (finding.outcome, finding.cause)
                for monitor, finding in session.execute(
                    select(Monitor, Finding)
                    .join(Finding, Finding.monitor_id == Monitor.id)
                    .order_by(Finding.as_of)
                )
            }
            assert later["availability"][0] is Outcome.OK
            assert later["burn_rate"][0] is Outcome.ERROR
            assert (
                "no SLI 'short_queue'; known: availability, cold_start" in later["burn_rate"][1]
            )
            name = select(Monitor.id).where(Monitor.name == "burn_rate").scalar_subquery()
            first = session.scalars(
                select(Finding).where(Finding.monitor_id == name).order_by(Finding.as_of)
            ).first()
            assert first is not None
            why = explain(session, tmp_path, first.id, None, LATER)
            assert why.outcome is Outcome.BREACH
            assert why.about.startswith("no SLI 'short_queue'")


@pytest.mark.usefixtures("plugins")
def test_one_that_cannot_be_imported_or_takes_a_name_in_use_is_unavailable(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ours = {*(point.name for point in entry_points(group="seqwatch.slis"))}
    assert {"raising", "short_queue"} <= {*SLIS.names()} <= ours
    assert "No module named 'no_such_module'" in SLIS.unavailable["depth"]
    assert "in use" in SLIS.unavailable["latency (another-latency)"]
    assert "None is no SliKind" in SLIS.unavailable["joy"]
    assert "name 'a-b' must be lower-case letters" in SLIS.unavailable["a-b"]
    assert "SLI 'raising' has the entry point 'other'" in SLIS.unavailable["other"]
    with pytest.raises(Unprocessable, match="SLI 'depth' is unavailable: broken-sli: Module"):
        sli.find("depth")
    assert main(["plugins"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "short_queue Is the queue short enough?" in printed
    assert "depth UNAVAILABLE: broken-sli: ModuleNotFoundError" in printed


@pytest.mark.usefixtures("plugins")
def test_the_interface_validates_it_and_describes_its_parameters(operator: TestClient) -> None:
    assert operator.put("/v1/models/m", json={"contract": OF_API}).status_code == 201
    path = "/v1/models/m/monitors/queue"
    assert operator.put(path, json={"kind": "burn_rate", "params": PARAMS}).status_code == 201
    for params, message in (
        ({"sli": "smell"}, "state_restore, raising, short_queue"),
        ({"sli": "depth"}, "SLI 'depth' is unavailable"),
        (PARAMS | {"sli_params": {"longest": -1}}, "short_queue: longest must be 0 to 65536"),
        (PARAMS | {"sli_params": {"shortest": 1}}, "no shortest; known: longest"),
    ):
        answer = operator.put(path, json={"kind": "burn_rate", "params": params})
        assert answer.status_code == 422
        assert message in answer.json()["detail"]
    schemas = operator.get("/openapi.json").json()["components"]["schemas"]
    of_slis = schemas["BurnRateParams"]["properties"]["sli_params"]["anyOf"]
    assert len(of_slis) == len(SLIS.names())
    described = [schemas[one["$ref"].rpartition("/")[2]]["properties"] for one in of_slis]
    assert any("longest" in one for one in described)
