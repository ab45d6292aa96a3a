"""Who is notified of an alert that input faults inhibit for a while?"""

import json
from datetime import datetime
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from alerts.state import Phase
from core.durations import DAY, HOUR
from core.window import Window
from db.session import unit_of_work
from db.tables import (
    Alert,
    Channel,
    Delivery,
    FlipRow,
    GroupMember,
    Incident,
    Monitor,
    NotifiedIncident,
)
from db.tables import Finding as FindingRow
from monitors.data_quality.flaws import DataQualityDetail, Fact, Flaw
from monitors.finding import Finding, Outcome
from monitors.input_fault.input_fault import InputFaultDetail
from services.alerting import dispatch
from services.evaluation import backtest, episodes
from services.models import monitor_config
from services.models.monitor_config import MonitorPlan
from services.read_models import lists
from services.read_models.overview import alerts
from tests.services.loop import FAULT, Loop
from tests.streams import START

OUTCOMES = {"b": Outcome.BREACH, "o": Outcome.OK, "-": Outcome.NO_DATA, "e": Outcome.ERROR}
FLAWS = {"l": ["load"], "w": ["wind"], "L": ["load", "wind"]}


def follow(loop: Loop, kind: str, faults: str, outcomes: str) -> list[tuple[int, str]]:
    """Drive one alert through days, `#` being a day with an open fault.

    Returns
    -------
    list of (int, str)
        The notifications about it: day, and firing or resolved.
    """
    for day, (fault, outcome) in enumerate(zip(faults, outcomes, strict=True), start=1):
        evaluate(loop, kind, START + day * DAY, fault == "#", outcome)
    return notified(loop, kind)


def evaluate(loop: Loop, kind: str, at: datetime, is_broken: bool, outcome: str) -> None:
    with unit_of_work(loop.sessions) as session:
        evaluate_in(session, loop, kind, at, is_broken, outcome)
    loop.dispatch(at + HOUR)


def evaluate_in(
    session: Session, loop: Loop, kind: str, at: datetime, is_broken: bool, outcome: str
) -> None:
    of_input = Outcome.BREACH if is_broken else Outcome.OK
    known = InputFaultDetail(faults=(FAULT,) if is_broken else ())
    found, detail = _found(outcome)
    findings = {
        "input_fault": loop.finding("input_fault", of_input, at, known),
        kind: loop.finding(kind, found, at, detail),
    }
    loop.observe_all_in(session, findings, at)


def _found(outcome: str) -> tuple[Outcome, DataQualityDetail]:
    """Return what one letter stands for: `l` and `w` name flaws of load and wind."""
    flaws = tuple(
        Flaw(fact=Fact.MISSING, feature=name, value=1.0, baseline=0.0, limit=0.1)
        for name in FLAWS.get(outcome, ())
    )
    return (Outcome.BREACH if flaws else OUTCOMES[outcome]), DataQualityDetail(flaws=flaws)


def notified(loop: Loop, kind: str) -> list[tuple[int, str]]:
    rows = sorted(loop.all(Delivery), key=lambda row: row.seq)
    return [
        ((row.created_at - START) // DAY, row.type.rpartition(".")[2])
        for row in rows
        if json.loads(row.body)["data"]["kind"] == kind
    ]


def watched(sessions: sessionmaker[Session], kind: str) -> Loop:
    loop = Loop(sessions, kinds=("input_fault", kind))
    loop.listen("page", "ticket")
    return loop


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("kind", "faults", "outcomes", "expected"),
    [
        pytest.param(
            "accuracy", "....", "bboo", [(2, "firing"), (4, "resolved")], id="no fault"
        ),
        pytest.param("accuracy", "####", "bboo", [], id="the fault lasts longer"),
        pytest.param(
            "accuracy", "###" + 57 * ".", 60 * "b", [(4, "firing")], id="the fault ends first"
        ),
        pytest.param(
            "accuracy",
            "###.....",
            "bbbbbboo",
            [(4, "firing"), (8, "resolved")],
            id="resolved for those who were notified late",
        ),
        pytest.param("accuracy", "###.", "bboo", [], id="fault and alert end on one day"),
        pytest.param(
            "accuracy", "##.", "bb-", [(3, "firing")], id="ends on a day without data"
        ),
        pytest.param("accuracy", "##.", "bbe", [(3, "firing")], id="ends on a day of an error"),
        pytest.param(
            "accuracy",
            "..##..",
            "bbbboo",
            [(2, "firing"), (6, "resolved")],
            id="notified before the fault began",
        ),
        pytest.param(
            "accuracy",
            "..####",
            "bbbboo",
            [(2, "firing"), (6, "resolved")],
            id="resolved while a fault is open",
        ),
        pytest.param(
            "accuracy", "##.#.#.", "bbbbbbb", [(3, "firing")], id="faults come and go: once"
        ),
        pytest.param(
            "accuracy",
            "####.......",
            "bboobb...bb".replace(".", "o"),
            [(6, "firing"), (8, "resolved"), (11, "firing")],
            id="inhibited once, notified the next times",
        ),
        pytest.param(
            "burn_rate", "###", "bbb", [(1, "firing")], id="serving is never inhibited"
        ),
        pytest.param("input_drift", "##..", "bbbb", [(3, "firing")], id="input_drift"),
        pytest.param("data_quality", "##..", "llll", [(3, "firing")], id="all flaws explained"),
        pytest.param(
            "data_quality", "###", "lLl", [(2, "firing")], id="a flaw of another feature joins"
        ),
        pytest.param("data_quality", "###", "wll", [(1, "firing")], id="another feature first"),
        pytest.param("data_quality", "##.", "l-o", [], id="explained to the end"),
        pytest.param(
            "data_quality", "##.", "l--", [(3, "firing")], id="the last flaws are remembered"
        ),
    ],
)
def test_who_is_notified(
    sessions: sessionmaker[Session],
    kind: str,
    faults: str,
    outcomes: str,
    expected: list[tuple[int, str]],
) -> None:
    assert follow(watched(sessions, kind), kind, faults, outcomes) == expected


def test_a_late_notification_states_since_when_and_why_now(
    sessions: sessionmaker[Session],
) -> None:
    loop = watched(sessions, "accuracy")
    follow(loop, "accuracy", "####.", "bbbbb")
    [late] = [row for row in loop.all(Delivery) if b'"accuracy"' in row.body]
    body = json.loads(late.body)
    fired = next(row for row in loop.all(FlipRow) if row.at == START + 2 * DAY)
    notified_at = START + 5 * DAY + HOUR
    assert body["timestamp"] == notified_at.isoformat().replace("+00:00", "Z")
    assert body["data"]["since"] == fired.at.isoformat().replace("+00:00", "Z")
    assert body["data"]["cause"] == "accuracy is wrong"
    assert not fired.inhibited
    assert (fired.recorded_at, fired.notified_at) == (START + 2 * DAY, notified_at)


def test_what_inhibits_an_alert_is_shown_while_it_lasts(
    sessions: sessionmaker[Session],
) -> None:
    loop = watched(sessions, "accuracy")

    def shown() -> tuple[str | None, str | None, bool]:
        with unit_of_work(loop.sessions) as session:
            [alarm] = [
                a
                for a in alerts.alerts(session, None, START).alarms
                if a.monitor_status.kind == "accuracy"
            ]
            [row] = [a for a in lists.alerts(session, None, START) if a.kind == "accuracy"]
            [change] = [
                t for t in alerts.alert_changes(session, None, 9) if t.monitor == "accuracy"
            ]
        return alarm.monitor_status.inhibited_by, row.inhibited_by, change.inhibited

    follow(loop, "accuracy", "##", "bb")
    assert shown() == (str(FAULT), str(FAULT), True)
    evaluate(loop, "accuracy", START + 3 * DAY, False, "b")
    assert shown() == (None, None, False)


@pytest.mark.parametrize("is_deleted", [False, True], ids=["disabled", "deleted"])
def test_an_input_fault_monitor_that_is_gone_inhibits_nothing(
    sessions: sessionmaker[Session], is_deleted: bool
) -> None:
    loop = watched(sessions, "accuracy")
    follow(loop, "accuracy", "##", "bb")
    with unit_of_work(sessions) as session:
        if is_deleted:
            _delete(session, loop)
        else:
            plan = MonitorPlan(name="input_fault", kind="input_fault", enabled=False)
            monitor_config.put(session, loop.model_id, plan)
    loop.observe("accuracy", Outcome.BREACH, START + 3 * DAY)
    assert notified(loop, "accuracy") == [(3, "firing")]


def _delete(session: Session, loop: Loop) -> None:
    [monitor] = session.query(Monitor).filter_by(kind="input_fault").all()
    alert = session.query(Alert).filter_by(monitor_id=monitor.id).one()
    incidents = session.query(Incident).filter_by(alert_id=alert.id)
    for table in (NotifiedIncident, GroupMember):
        session.query(table).filter(
            table.incident_id.in_([one.id for one in incidents])
        ).delete()
    incidents.delete()
    session.query(FlipRow).filter_by(alert_id=alert.id).delete()
    session.query(FindingRow).filter_by(monitor_id=monitor.id).delete()
    session.delete(alert)
    session.flush()
    session.delete(monitor)


def test_who_joined_meanwhile_is_notified_and_both_hear_the_end(
    sessions: sessionmaker[Session],
) -> None:
    loop = watched(sessions, "accuracy")
    follow(loop, "accuracy", "##", "bb")
    loop.listen("page")
    for day, outcome in enumerate("bboo", start=3):
        evaluate(loop, "accuracy", START + day * DAY, False, outcome)
    assert notified(loop, "accuracy") == 2 * [(3, "firing")] + 2 * [(6, "resolved")]


def test_the_change_and_its_notification_are_kept_together_or_not_at_all(
    sessions: sessionmaker[Session],
) -> None:
    loop = watched(sessions, "accuracy")
    follow(loop, "accuracy", "##", "bb")

    def crash() -> None:
        with unit_of_work(sessions) as session:
            loop.observe_in(session, "input_fault", Outcome.OK, START + 3 * DAY)
            loop.observe_in(session, "accuracy", Outcome.BREACH, START + 3 * DAY)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        crash()
    assert notified(loop, "accuracy") == []
    evaluate(loop, "accuracy", START + 3 * DAY, False, "b")
    assert notified(loop, "accuracy") == [(3, "firing")]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("kind", ["accuracy", "data_quality"])
@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(data=st.data())
def test_no_notification_is_lost_or_sent_twice(
    sessions: sessionmaker[Session], kind: str, data: st.DataObject
) -> None:
    letters = "bo-e" if kind == "accuracy" else "lwLo-e"
    days = data.draw(
        st.lists(st.tuples(st.sampled_from("#."), st.sampled_from(letters)), max_size=14)
    )
    loop = Loop(sessions, name=f"m{uuid4().hex}", kinds=("input_fault", kind))
    if not loop.all(Channel):
        loop.listen("page", "ticket")
    sent: list[str] = []
    with unit_of_work(sessions) as session:
        for day, (fault, outcome) in enumerate(days, start=1):
            evaluate_in(session, loop, kind, START + day * DAY, fault == "#", outcome)
            dispatch.flush_due(session, START + day * DAY + HOUR)
            phase, sent = _now(session, loop, kind)
            assert sent == (["firing", "resolved"] * len(sent))[: len(sent)]
            if phase is not Phase.FIRING:
                assert sent[-1:] != ["firing"], "a notified alert that ended is resolved"
            elif fault == ".":
                assert sent[-1:] == ["firing"], "firing and not inhibited: notified"
    assert sent.count("firing") == _replayed(kind, days)


def _now(session: Session, loop: Loop, kind: str) -> tuple[Phase, list[str]]:
    alert = session.scalars(
        select(Alert)
        .join(Monitor, Monitor.id == Alert.monitor_id)
        .where(Monitor.model_id == loop.model_id, Monitor.kind == kind)
    ).one()
    types = session.scalars(
        select(Delivery.type)
        .join(FlipRow, FlipRow.id == Delivery.flip_id)
        .where(FlipRow.alert_id == alert.id)
        .order_by(Delivery.seq)
    )
    return alert.phase, [one.rpartition(".")[2] for one in types]


def _replayed(kind: str, days: list[tuple[str, str]]) -> int:
    """Return of how many episodes somebody was notified, by the backtest."""
    plan = MonitorPlan(name=kind, kind=kind)
    tracker = backtest._tracker(plan)
    for day, (fault, outcome) in enumerate(days, start=1):
        at = START + day * DAY
        found, detail = _found(outcome)
        finding = Finding(
            outcome=found,
            value=1.0,
            threshold=0.5,
            window=Window(at - DAY, at),
            cause="",
            detail=detail,
        )
        episodes.follow(tracker, finding, at, {FAULT.feature} if fault == "#" else set())
    return sum(not episode.inhibited for episode in tracker.episodes)
