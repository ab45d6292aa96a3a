"""Alerts at several severities of one monitor."""

from dataclasses import replace

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from alerts.state import Flip, Phase, Reason
from core.durations import DAY
from core.window import Window
from db.session import unit_of_work
from db.tables import Alert, FlipRow, Model, Monitor
from monitors import registry
from monitors.finding import Finding, Outcome, Severity
from services.alerting import alert_transitions
from services.alerting.alert_transitions import Seen
from services.models import monitor_config
from services.models.monitor_config import MonitorPlan
from tests.services.loop import Loop
from tests.streams import START

BOTH = (Severity.PAGE, Severity.TICKET)


def observe(loop: Loop, day: int, *severities: Severity) -> None:
    at = START + day * DAY
    with unit_of_work(loop.sessions) as session:
        monitor = session.scalars(select(Monitor)).one()
        finding = Finding(
            outcome=Outcome.BREACH if severities else Outcome.OK,
            window=Window(at - DAY, at),
            severities=severities or None,
        )
        model, seen = session.get_one(Model, loop.model_id), Seen(version="v1", as_of=at)
        alert_transitions.observe_all(session, model, seen, {monitor.id: finding}, at)


def phases(loop: Loop) -> dict[str, Phase]:
    return {row.severity: row.phase for row in loop.all(Alert)}


def test_a_monitor_has_an_alert_for_each_severity_of_its_kind(
    sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = replace(registry.find("burn_rate"), severities=lambda _: BOTH)
    monkeypatch.setattr(registry, "stored", lambda _: kind)
    loop = Loop(sessions, kinds=("burn_rate",))
    observe(loop, 1, Severity.TICKET)
    assert phases(loop) == {"page": Phase.QUIET, "ticket": Phase.FIRING}
    observe(loop, 2, *BOTH)
    assert phases(loop) == {"page": Phase.FIRING, "ticket": Phase.FIRING}
    observe(loop, 3, Severity.TICKET)
    assert phases(loop) == {"page": Phase.QUIET, "ticket": Phase.FIRING}
    observe(loop, 4)
    assert phases(loop) == {"page": Phase.QUIET, "ticket": Phase.QUIET}
    assert [row.flip for row in loop.all(FlipRow)].count(Flip.FIRED) == 2


def test_an_alert_whose_severity_was_changed_is_resolved_and_fires_at_the_new_one(
    sessions: sessionmaker[Session],
) -> None:
    loop = Loop(sessions, kinds=("accuracy",))
    for day in (1, 2):
        observe(loop, day, *BOTH)
    with unit_of_work(sessions) as session:
        plan = MonitorPlan(name="accuracy", kind="accuracy", severity="ticket")
        monitor_config.put(session, loop.model_id, plan)
    observe(loop, 3, *BOTH)
    assert phases(loop) == {"ticket": Phase.FIRING}
    flips = sorted(loop.all(FlipRow), key=lambda row: (row.recorded_at, row.flip is Flip.FIRED))
    assert [(row.flip, row.reason) for row in flips] == [
        (Flip.FIRED, Reason.BREACHED),
        (Flip.RESOLVED, Reason.SEVERITY_CHANGED),
        (Flip.FIRED, Reason.BREACHED),
    ]
