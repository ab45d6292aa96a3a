"""SLOs by the clock: from the rows to the alert, in memory and after a restart."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session, sessionmaker

from alerts.state import Flip, Phase
from core.durations import DAY, HOUR, MINUTE
from core.schema.contract import Contract
from core.schema.feature import Feature
from core.schema.rows import Kind
from core.window import Window
from db.session import read_only, unit_of_work
from db.tables import Alert, Finding, FlipRow, LateHour, Model, Monitor, SloCorrection
from monitors.finding import Outcome
from services.aggregation.fold import fold_all
from services.evaluation.by_clock import live
from services.evaluation.by_clock.live import LiveMonitors
from services.models import monitor_config
from services.models.monitor_config import MonitorPlan
from tests.streams import START, add_model, keep, prediction, table

SECOND = timedelta(seconds=1)
CONTRACT = Contract(
    features=(Feature(name="load"),), targets=("load",), step=SECOND, input_length=1, horizon=3
)


class Service:
    """A model with an SLO, whose rows and clock are made by hand."""

    def __init__(
        self,
        sessions: sessionmaker[Session],
        patch: pytest.MonkeyPatch,
        **params: Any,
    ) -> None:
        self.sessions = sessions
        self.model_id = add_model(sessions, CONTRACT)
        self.n = 0
        with unit_of_work(sessions) as session:
            session.get_one(Model, self.model_id).created_at = START
            plan = MonitorPlan(name="slo", kind="burn_rate", params=params)
            monitor_config.put(session, self.model_id, plan)
            session.flush()
            self.monitor_id = session.scalars(select(Monitor.id)).one()
        self.now, self.seconds = START, 0.0
        patch.setattr(live, "monotonic", lambda: self.seconds)
        self.restart()

    def restart(self) -> None:
        self.live = LiveMonitors(self.sessions)

    def send(
        self,
        first: datetime,
        n: int,
        every: timedelta,
        status: str = "ok",
        version: str = "v1",
        late: timedelta = timedelta(0),
    ) -> None:
        rows = []
        for i in range(n):
            at = first + i * every
            self.n += 1
            rows.append(
                prediction(
                    at,
                    self.n,
                    features={"load": [1.0]},
                    status=status,
                    version=version,
                    received_at=at + late,
                )
            )
        whole = table(Kind.PREDICTIONS, rows, CONTRACT)
        keep(self.sessions, self.model_id, Kind.PREDICTIONS, whole)
        newest = first + (n - 1) * every + late
        self.now = max(self.now, newest)
        fold_all(self.sessions, self.now + 2 * MINUTE)

    def check(self, passed: timedelta = 10 * SECOND) -> int:
        """Let ten seconds pass on the monotonic clock, and evaluate."""
        self.seconds += 10
        self.now += passed
        return self.live.run(self.now)

    def findings(self) -> list[Finding]:
        with read_only(self.sessions) as session:
            found = [*session.scalars(select(Finding).order_by(Finding.as_of))]
            session.expunge_all()
            return found

    def newest(self) -> Finding:
        return self.findings()[-1]

    def flips(self) -> list[Flip]:
        with read_only(self.sessions) as session:
            return [*session.scalars(select(FlipRow.flip).order_by(FlipRow.recorded_at))]


Made = Callable[..., Service]


@pytest.fixture
def service(sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch) -> Made:
    return lambda **params: Service(sessions, monkeypatch, **params)


def two_hours(of: Service) -> datetime:
    """Ten requests a second; the rows of a second at one moment."""
    for minute in range(120):
        of.send(START + minute * MINUTE, 600, SECOND / 10)
    of.check(SECOND)
    return START + 2 * HOUR


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_total_outage_is_found_within_a_minute_and_resolved_by_an_evaluation(
    service: Made,
) -> None:
    """Two hours at ten requests a second, then all fail, 99.9 % over 30 days."""
    own = service(objective=0.999)
    began = two_hours(own)
    assert own.newest().outcome is Outcome.OK
    held = None
    for second in range(1, 90):
        own.send(began + (second - 1) * SECOND, 10, SECOND / 10, status="error")
        if own.check(timedelta(0)) and own.newest().outcome is Outcome.BREACH:
            held = second
            break
    assert held is not None
    assert 52 <= held <= 56
    found = own.newest()
    assert found.detail["state"] == "burning"
    assert "page quick" in [one["tier"] for one in found.detail["tiers"] if one["burning"]]
    assert own.flips() == [Flip.FIRED]
    for _ in range(6):  # nothing comes any more: that resolves nothing
        own.check(HOUR)
    assert own.flips() == [Flip.FIRED]
    own.send(own.now, 3000, SECOND / 10)
    own.check()
    own.send(own.now, 3100, SECOND / 10)
    own.check()
    assert own.flips()[:2] == [Flip.FIRED, Flip.RESOLVED]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_counts_in_memory_are_those_of_a_restart_also_when_rows_come_late(
    service: Made, sessions: sessionmaker[Session]
) -> None:
    own = service(objective=0.9)
    for hour in range(30):
        own.send(START + hour * HOUR, 60, MINUTE, status="ok" if hour % 3 else "error")
        own.check()
    own.send(START + 12 * HOUR, 40, MINUTE, status="error", late=18 * HOUR)
    own.send(START + 29 * HOUR + MINUTE, 5, MINUTE, version="v2")
    with read_only(sessions) as session:
        assert [row.start for row in session.scalars(select(LateHour))] == [START + 12 * HOUR]
    own.check()
    [kept] = own.live._slis._models[own.model_id].kept.values()
    own.restart()
    own.check()
    [again] = own.live._slis._models[own.model_id].kept.values()
    assert again is not kept
    for ends in range(kept.total.end - 30 * 360, kept.total.end, 97):
        assert kept.total.within(ends, kept.total.end)[1] == pytest.approx(
            again.total.within(ends, again.total.end)[1], abs=60
        )
    for name in ("v1", "v2"):
        of = kept.versions[name], again.versions[name]
        assert of[0].sums[-1].tolist() == of[1].sums[-1].tolist()
    assert kept.total.sums[-1].tolist() == again.total.sums[-1].tolist() == [1205, 640, 0]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_finding_is_stored_when_its_state_changes_and_once_a_day(service: Made) -> None:
    own = service(objective=0.99)
    for hour in range(50):
        own.send(START + hour * HOUR, 60, MINUTE)
        own.check(timedelta(0))
        own.check(timedelta(0))
    assert [one.as_of.date() for one in own.findings()] == [
        (START + day * DAY).date() for day in range(3)
    ]


def test_an_outage_of_one_version_names_it(service: Made) -> None:
    own = service(objective=0.99)
    for minute in range(0, 60, 10):
        own.send(START + minute * MINUTE, 300, 2 * SECOND)
        own.send(START + minute * MINUTE, 100, 6 * SECOND, version="v2", status="error")
    own.check()
    found = own.newest()
    assert found.outcome is Outcome.BREACH
    assert found.detail["burned_by"] == ["v2"]
    with read_only(own.sessions) as session:
        page = select(Alert.version).where(Alert.severity == "page")
        assert session.scalars(page).all() == ["v2"]
        assert Phase.FIRING in session.scalars(select(Alert.phase)).all()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_correction_counts_from_the_next_evaluation(service: Made) -> None:
    own = service(objective=0.99)
    own.send(START, 3600, SECOND)
    own.send(START + HOUR, 600, SECOND, status="error")
    own.check()
    assert own.newest().outcome is Outcome.BREACH
    with unit_of_work(own.sessions) as session:
        stretch = Window(START + HOUR, START + HOUR + 10 * MINUTE)
        session.add(
            SloCorrection(
                model_id=own.model_id,
                monitor_id=own.monitor_id,
                start=stretch.start,
                end=stretch.end,
                reason="load test",
                author="kim",
                created_at=own.now,
            )
        )
    own.check()
    assert own.newest().outcome is Outcome.OK
    assert (own.newest().detail["bad"], own.newest().detail["total"]) == (0, 4200)
    assert own.flips()[-1] is Flip.RESOLVED


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_one_model_that_fails_stops_no_other_and_one_statement_reads_them_all(
    service: Made, sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = service(objective=0.99)
    others = [add_model(sessions, CONTRACT, name=f"m{i}") for i in range(4)]
    with unit_of_work(sessions) as session:
        for model_id in others:
            monitor_config.put(session, model_id, MonitorPlan(name="slo", kind="burn_rate"))
    ids: list[UUID] = [own.model_id, *others]

    def send(at: datetime) -> None:
        for model_id in ids:
            own.model_id = model_id
            own.send(at, 30, SECOND)

    send(START)
    own.check()
    statements: list[str] = []
    bound = sessions.kw["bind"]
    event.listen(bound, "before_cursor_execute", lambda *args: statements.append(args[2]))
    send(START + MINUTE)
    statements.clear()
    own.check()
    of_rows = [one for one in statements if "summary.payload" in one]
    assert len(of_rows) == 1
    assert sum(one.startswith("SELECT") for one in statements) <= 7


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_model_that_never_sends_latency_has_no_latency_to_be_green_about(
    service: Made,
) -> None:
    own = service(sli="latency")
    own.send(START, 1440, MINUTE)
    own.check()
    found = own.newest()
    assert (found.outcome, found.detail["state"]) == (Outcome.NO_DATA, "unknown")
    assert found.cause == "none of the 1,440 predictions of this day has a latency"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_predictions_that_stop_are_no_data_after_a_day_and_resolve_nothing(
    service: Made,
) -> None:
    own = service(objective=0.99)
    own.send(START, 60, MINUTE)
    own.check()
    assert own.check(23 * HOUR) == 0
    own.check(2 * HOUR)
    assert (own.newest().outcome, own.newest().detail["state"]) == (
        Outcome.NO_DATA,
        "source_stale",
    )
