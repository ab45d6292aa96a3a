import re
from datetime import datetime
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from db.queries import models
from db.session import read_only, unit_of_work
from db.tables import AuditEvent, Model, Rollout, RolloutEvent
from retrain.rollout import Phase
from services.evaluation.backtest import BacktestRequest
from services.read_models import backtests
from tests.web.conftest import Browsers

BUTTON = re.compile(r"<button[^>]*formaction=\"/rollouts/[^/]+/(\w+)\"")


def test_a_key_that_may_only_read_sees_no_buttons_and_moves_nothing(
    signed_in: Browsers, fleet: dict[str, UUID]
) -> None:
    browser = signed_in("read")
    assert "/retrain" not in browser.get("/models/transformer-load").text
    assert BUTTON.findall(browser.get(f"/rollouts/{fleet['canary']}").text) == []
    for path in (f"/rollouts/{fleet['canary']}/promote", "/models/transformer-load/retrain"):
        answer = browser.post(path, data={"idempotency_key": "k"})
        assert answer.status_code == 403
        assert "lacks the scope operate" in answer.text


@pytest.mark.parametrize(
    ("which", "buttons"),
    [
        pytest.param("canary", ["pause", "promote", "rollback"], id="in canary"),
        pytest.param("training", ["rollback"], id="in training"),
        pytest.param("promoted", [], id="over"),
    ],
)
def test_a_rollout_offers_what_its_phase_allows(
    signed_in: Browsers, fleet: dict[str, UUID], which: str, buttons: list[str]
) -> None:
    text = signed_in("read", "operate").get(f"/rollouts/{fleet[which]}").text
    assert BUTTON.findall(text) == buttons


@pytest.mark.parametrize(
    ("command", "phase"),
    [
        pytest.param("pause", Phase.PAUSED, id="pause"),
        pytest.param("promote", Phase.PROMOTED, id="promote"),
        pytest.param("rollback", Phase.ROLLED_BACK, id="roll back"),
    ],
)
def test_a_button_moves_the_rollout_and_keeps_the_reason(
    signed_in: Browsers,
    sessions: sessionmaker[Session],
    fleet: dict[str, UUID],
    command: str,
    phase: Phase,
) -> None:
    page = f"/rollouts/{fleet['canary']}"
    browser = signed_in("read", "operate")
    answer = browser.post(f"{page}/{command}", data={"reason": "seen enough"})
    assert answer.status_code == 303
    assert answer.headers["location"] == page
    assert "read-operate : seen enough" in browser.get(page).text
    with read_only(sessions) as session:
        assert session.get_one(Rollout, fleet["canary"]).phase is phase
        events = select(RolloutEvent).where(RolloutEvent.rollout_id == fleet["canary"])
        assert phase in {event.phase for event in session.scalars(events)}
        audited = select(AuditEvent).where(AuditEvent.action == f"rollout.{command}")
        assert session.scalars(audited).one().subject == str(fleet["canary"])


def test_an_order_that_the_phase_forbids_is_a_page_with_the_reason(
    signed_in: Browsers, fleet: dict[str, UUID]
) -> None:
    browser = signed_in("read", "operate")
    answer = browser.post(f"/rollouts/{fleet['promoted']}/pause")
    assert answer.status_code == 409
    assert "cannot happen while promoted" in answer.text
    assert browser.post(f"/rollouts/{fleet['canary']}/explode").status_code == 422


def test_pressing_retrain_twice_asks_once(
    signed_in: Browsers, sessions: sessionmaker[Session], fleet: dict[str, UUID]
) -> None:
    browser = signed_in("read", "operate")
    page = browser.get("/models/turbine-vibration").text
    key = re.findall(r'name="idempotency_key" value="([^"]+)"', page)[0]
    form = {"idempotency_key": key, "reason": "new turbine"}
    with read_only(sessions) as session:
        session.get_one(Rollout, fleet["rolled_back"])
    answers = [browser.post("/models/turbine-vibration/retrain", data=form) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [303, 303]
    assert answers[0].headers["location"] == answers[1].headers["location"]
    assert "read-operate : new turbine" in browser.get(answers[0].headers["location"]).text


def test_a_refused_retraining_states_why(signed_in: Browsers, fleet: dict[str, UUID]) -> None:
    answer = signed_in("read", "operate").post(
        "/models/pump-station-anomaly/retrain", data={"idempotency_key": "k"}
    )
    assert answer.status_code == 409
    assert "canary" in answer.text


def test_an_operator_of_one_model_moves_no_other(
    signed_in: Browsers, sessions: sessionmaker[Session], fleet: dict[str, UUID]
) -> None:
    with read_only(sessions) as session:
        only = session.scalar(select(Model.id).where(Model.name == "tariff-classifier"))
    browser = signed_in("read", "operate", model_id=only)
    assert browser.post(f"/rollouts/{fleet['canary']}/promote").status_code == 404
    form = {"idempotency_key": "k"}
    assert browser.post("/models/transformer-load/retrain", data=form).status_code == 403


def test_a_backtest_is_shown_with_its_progress_and_cancelled_with_a_button(
    signed_in: Browsers,
    sessions: sessionmaker[Session],
    fleet: dict[str, UUID],
    now: datetime,
) -> None:
    with unit_of_work(sessions) as session:
        model_id = models.find(session, "transformer-load").id
        asked = backtests.ask(session, model_id, BacktestRequest(), "olga", now)
    page = "/models/transformer-load"
    cancel = f"{page}/backtests/{asked.id}/cancel"
    reader = signed_in("read")
    assert cancel not in reader.get(page).text
    assert reader.post(cancel).status_code == 403
    browser = signed_in("read", "operate")
    assert cancel in browser.get(page).text
    for _ in range(2):
        answer = browser.post(cancel)
        assert (answer.status_code, answer.headers["location"]) == (303, page)
    text = browser.get(page).text
    assert cancel not in text
    assert "cancelled by read-operate" in text
