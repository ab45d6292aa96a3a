"""A model with a row a minute, whose clock is turned by hand."""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from alerts.state import Flip, Phase
from core.durations import DAY, MINUTE
from core.schema.contract import Contract
from core.schema.feature import Feature
from core.schema.rows import Kind
from db.queries.log import contract_violations
from db.session import read_only, unit_of_work
from db.tables import Alert, Finding, FlipRow, Model, Monitor
from monitors.finding import Outcome
from services.aggregation.fold import fold_all
from services.evaluation.by_clock import live
from services.evaluation.by_clock.live import LiveMonitors
from services.models import monitor_config
from services.models.monitor_config import MonitorPlan
from tests.streams import START, add_model, keep, prediction, table

LEARNT = 26 * 60  # minutes
SENSORS = ("load", "wind", "valve")
CONTRACT = Contract(
    features=tuple(Feature(name=name) for name in SENSORS),
    targets=("load",),
    step=MINUTE,
    input_length=1,
    horizon=3,
)

Values = dict[str, float | None]
Break = Callable[[int, Values], Values]


class World:
    """A model with a row a minute, and a clock that is turned by hand."""

    def __init__(
        self, sessions: sessionmaker[Session], patch: pytest.MonkeyPatch, devices: int = 0
    ) -> None:
        self.sessions, self.devices = sessions, devices
        self.model_id = add_model(sessions, CONTRACT)
        self.monitors: dict[str, UUID] = {}
        with unit_of_work(sessions) as session:
            session.get_one(Model, self.model_id).created_at = START
            for kind in ("input_health", "entity_health", "silence", "contract_violations"):
                monitor_config.put(session, self.model_id, MonitorPlan(name=kind, kind=kind))
            session.flush()
            self.monitors = {row.name: row.id for row in session.scalars(select(Monitor))}
        self.live = LiveMonitors(sessions)
        self.seconds, self.wall = 0.0, START
        patch.setattr(live, "monotonic", lambda: self.seconds)
        self.chance = np.random.default_rng(7)

    def send(
        self,
        first: int,
        n: int,
        broken: Break | None = None,
        *,
        without: int = -1,
        of: Collection[int] = range(20),
        every: int = 1,
    ) -> None:
        """Send the rows of some minutes: of one device none, of some devices broken ones."""
        rows = []
        for minute in range(first, first + n, every):
            day = 2 * np.pi * minute / 1440
            values: Values = {
                "load": 100 + 20 * np.sin(day) + self.chance.normal(),
                "wind": 5 + np.cos(day) + self.chance.normal(),
                "valve": float(self.chance.random() < 0.5),
            }
            at = START + minute * MINUTE
            for device in range(max(self.devices, 1)):
                if device == without:
                    continue
                own = values
                if broken is not None and device in of:
                    own = broken(minute, values)
                features = {name: [value] for name, value in own.items()}
                named = {"entity": f"device {device}"} if self.devices else {}
                fields: dict[str, Any] = {"features": features, "received_at": at, **named}
                fields["prediction_id"] = f"{minute} {device}"
                rows.append(prediction(at, **fields))
        keep(
            self.sessions,
            self.model_id,
            Kind.PREDICTIONS,
            table(Kind.PREDICTIONS, rows, CONTRACT),
        )
        with unit_of_work(self.sessions) as session:
            newest = START + (first + n - 1) * MINUTE
            session.get_one(Model, self.model_id).last_arrival_at = newest
        fold_all(self.sessions, START + 1000 * DAY)
        self.wall = max(self.wall, newest)

    def score(self, day: datetime, minutes: range, at: datetime) -> None:
        """Send rows about some minutes of a day, all at one moment."""
        features = {name: [1.0] for name in SENSORS}
        rows = [
            prediction(day + minute * MINUTE, features=features, received_at=at)
            for minute in minutes
        ]
        whole = table(Kind.PREDICTIONS, rows, CONTRACT)
        keep(self.sessions, self.model_id, Kind.PREDICTIONS, whole)
        with unit_of_work(self.sessions) as session:
            session.get_one(Model, self.model_id).last_arrival_at = at
        fold_all(self.sessions, at)
        self.wall = max(self.wall, at)
        self.check()

    def learn(self) -> None:
        for first in range(0, LEARNT, 60):
            self.send(first, 60)
            self.check()

    def check(self, *, passed: timedelta = timedelta(seconds=10)) -> int:
        """Let time pass, and evaluate."""
        self.seconds += passed.total_seconds()
        self.wall += passed
        return self.live.run(self.wall)

    def refuse(self, n: int, day: datetime = START) -> None:
        """Refuse rows of an event day."""
        with unit_of_work(self.sessions) as session:
            contract_violations.add(session, {(self.model_id, day.date(), "range"): n})

    def flips(self, monitor: str) -> list[Flip]:
        with read_only(self.sessions) as session:
            of = Alert.monitor_id == self.monitors[monitor]
            rows = select(FlipRow.flip).join(Alert, Alert.id == FlipRow.alert_id).where(of)
            return [*session.scalars(rows.order_by(FlipRow.at))]

    def findings(self, monitor: str) -> list[Finding]:
        with read_only(self.sessions) as session:
            own = Finding.monitor_id == self.monitors[monitor]
            found = [*session.scalars(select(Finding).where(own).order_by(Finding.as_of))]
            session.expunge_all()
            return found

    def breaches(self, monitor: str) -> list[Finding]:
        return [one for one in self.findings(monitor) if one.outcome is Outcome.BREACH]

    def phase(self, monitor: str) -> Phase:
        with read_only(self.sessions) as session:
            own = Alert.monitor_id == self.monitors[monitor]
            return session.scalars(select(Alert.phase).where(own)).one()


def stuck(_: int, values: Values) -> Values:
    return values | {"load": 101.25}


def missing(_: int, values: Values) -> Values:
    return values | {"wind": None}


def rescaled(_: int, values: Values) -> Values:
    assert values["load"] is not None
    return values | {"load": 10 * values["load"]}
