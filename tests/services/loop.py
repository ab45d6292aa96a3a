"""One model whose loop can be driven by hand: its findings, its errors, its rollout."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from threading import Barrier
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from alerts import route
from core.durations import DAY, HOUR
from core.policy import Policy
from core.schema.rows import Kind
from core.window import Window
from db.base import Base
from db.session import read_only, unit_of_work
from db.tables import (
    Channel,
    Model,
    Monitor,
    Rollout,
    Route,
    Stream,
    Version,
)
from monitors.detail import Detail
from monitors.finding import Finding, Outcome
from monitors.input_fault.fault_types import FaultKind
from monitors.input_fault.input_fault import InputFault, InputFaultDetail
from notify.signing import new_secret
from retrain.rollout import Event
from retrain.templates.segment_lstm import FORMAT
from services.alerting import alert_transitions, dispatch
from services.alerting.alert_transitions import Seen
from services.models import champion_pointer, monitor_config
from services.models.monitor_config import MonitorPlan
from services.rollouts import retraining, rollout_transitions
from services.rollouts.retraining import Cause
from tests import stored
from tests.streams import CONTRACT, START, add_model, add_version

OBJECTIVE = 0.5
FAULT = InputFault(feature="load", kind=FaultKind.SCALE, amount=1.8, since=START)
# With this contract and policy, the labels of a forecast are due after two event days.
POLICY = Policy(cool_down=7 * DAY, min_canary_sessions=5)


class Loop:
    """A model called "grid" with versions v1, which serves, and v2."""

    def __init__(
        self, sessions: sessionmaker[Session], name: str = "grid", kinds: tuple[str, ...] = ()
    ) -> None:
        self.sessions, self.name = sessions, name
        self.model_id = add_model(sessions, name=name)
        self.versions = {v: add_version(sessions, self.model_id, v, {}) for v in ("v1", "v2")}
        with unit_of_work(sessions) as session:
            model = session.get_one(Model, self.model_id)
            model.policy, model.watermark = POLICY, START
            for version_id in self.versions.values():
                version = session.get_one(Version, version_id)
                version.objective, version.sha256 = OBJECTIVE, version_id.hex
                version.n_bytes, version.manifest = 1, {"format": FORMAT}
            session.add(Stream(model_id=self.model_id, kind=Kind.LABELS))
            champion_pointer.move(session, self.model_id, self.versions["v1"], 0, START)
            # Observed a day apart: what still fires is not repeated.
            session.merge(
                Route(name="all", definition=route.Route(repeat_interval=route.LONGEST))
            )
            for kind in kinds:
                monitor_config.put(session, self.model_id, MonitorPlan(name=kind, kind=kind))

    def policy(self, **changes: Any) -> None:
        with unit_of_work(self.sessions) as session:
            model = session.get_one(Model, self.model_id)
            model.policy = replace(model.policy, **changes)

    def listen(self, *severities: str) -> None:
        with unit_of_work(self.sessions) as session:
            session.add(
                Channel(
                    name=f"{self.name} {severities}",
                    config={"url": "http://127.0.0.1/", "secret": new_secret()},
                    severities=[*severities],
                    created_at=START,
                )
            )

    def reach(self, at: datetime) -> None:
        """Let the model's clock show this."""
        with unit_of_work(self.sessions) as session:
            session.get_one(Model, self.model_id).watermark = at

    def serve(self, n_days: int, error: float, first: int = 0) -> None:
        """Store days of forecasts that were wrong by `error`, with all their labels."""
        with unit_of_work(self.sessions) as session:
            for number in range(first, first + n_days):
                at = START + number * DAY
                cells = np.zeros((CONTRACT.horizon, 1, 5))
                cells[..., :4] = (10.0, 10.0, 10.0 * error, 10.0 * error**2)
                stored.put_errors(session, self.model_id, at.date(), "v1", cells, 10)
                stored.put_served(session, self.model_id, "v1", at, 10)

    def observe(
        self,
        name: str,
        outcome: Outcome,
        at: datetime,
        detail: Detail | None = None,
        now: datetime | None = None,
    ) -> None:
        """Let a monitor have found this on the event day that ended at `at`."""
        with unit_of_work(self.sessions) as session:
            self.observe_in(session, name, outcome, at, detail, now)
        self.dispatch((now or at) + HOUR)

    def dispatch(self, now: datetime) -> None:
        """Notify the groups of alerts that are due."""
        dispatch.flush_all(self.sessions, now)

    def observe_in(
        self,
        session: Session,
        name: str,
        outcome: Outcome,
        at: datetime,
        detail: Detail | None = None,
        now: datetime | None = None,
    ) -> None:
        self.observe_all_in(session, {name: self.finding(name, outcome, at, detail)}, at, now)

    def finding(
        self, name: str, outcome: Outcome, at: datetime, detail: Detail | None = None
    ) -> Finding:
        return Finding(
            outcome=outcome,
            value=1.0,
            threshold=0.5,
            window=Window(at - DAY, at),
            cause=f"{name} is wrong" if outcome is Outcome.BREACH else "",
            detail=detail or Detail(),
        )

    def observe_all_in(
        self,
        session: Session,
        findings: Mapping[str, Finding],
        at: datetime,
        now: datetime | None = None,
    ) -> None:
        """Let several monitors have found this in one evaluation."""
        named = {
            row.name: row.id
            for row in session.scalars(select(Monitor).where(Monitor.model_id == self.model_id))
        }
        model, seen = session.get_one(Model, self.model_id), Seen(version="v1", as_of=at)
        found = {named[name]: finding for name, finding in findings.items()}
        alert_transitions.observe_all(session, model, seen, found, now or at)

    def break_input(self, at: datetime) -> None:
        self.observe("input_fault", Outcome.BREACH, at, InputFaultDetail(faults=(FAULT,)))

    def request(self, key: str = "monday", onset: datetime | None = None) -> UUID:
        with unit_of_work(self.sessions) as session:
            cause = Cause(reason="a person asked", onset=onset)
            made = retraining.request(session, self.name, cause, idempotency_key=key, now=START)
            return made.id

    def move(self, rollout_id: UUID, *events: Event) -> None:
        """Let this happen to a rollout; its challenger is v2 once it is trained."""
        for event in events:
            with unit_of_work(self.sessions) as session:
                rollout = session.get_one(Rollout, rollout_id)
                if event is Event.TRAINED:
                    rollout.challenger_id = self.versions["v2"]
                rollout_transitions.move(session, rollout, event, "a test", START)

    def order(self, rollout_id: UUID, order: str, reason: str = "") -> None:
        with unit_of_work(self.sessions) as session:
            rollout_transitions.command(session, rollout_id, order, "ann", reason, START)

    def all(self, table: type[Base], **columns: Any) -> list[Any]:
        """Return the rows of a table, read anew."""
        with read_only(self.sessions) as session:
            found = session.scalars(select(table).filter_by(**columns)).all()
            session.expunge_all()
            return [*found]

    def model(self) -> Model:
        [model] = self.all(Model, id=self.model_id)
        assert isinstance(model, Model)
        return model

    def rollout(self, rollout_id: UUID) -> Rollout:
        [rollout] = self.all(Rollout, id=rollout_id)
        assert isinstance(rollout, Rollout)
        return rollout


TO_CANARY = (Event.START, Event.TRAINED, Event.GATE_PASSED)


def at_once(*acts: Any) -> list[Any]:
    """Do things in threads that begin together; what each returned, or raised."""
    barrier = Barrier(len(acts))

    def begin(act: Any) -> Any:
        barrier.wait()
        try:
            return act()
        except Exception as error:  # noqa: BLE001 - the caller checks it
            return error

    with ThreadPoolExecutor(len(acts)) as pool:
        return [*pool.map(begin, acts)]
