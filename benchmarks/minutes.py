"""A 5 Hz stream of 20 sensors at one-minute grain: what is found, when, and what it costs.

Run: `python -m benchmarks.minutes [--days 14]`. Quiet days first: every minute is evaluated,
and alarms are counted. Then, each alone, a sensor that is stuck, one that is missing and one
rescaled by 10: minutes from the fault to the finding. Then what an evaluated minute costs, and
what 10,000 entities do.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

import numpy as np
import pyarrow as pa
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.bar import Bar, report
from benchmarks.statements import statements
from core.durations import DAY, HOUR, MINUTE, SECOND
from core.schema.contract import Contract
from core.schema.feature import Feature
from core.schema.rows import NUMBERS, TIME, Kind, prediction_schema
from core.window import Window
from db.migrate import upgrade
from db.session import connect, read_only, unit_of_work
from db.tables import EntityState, Finding, Model
from lake.lists import Floats
from monitors.data_quality import entity_health, input_health
from monitors.data_quality.entity_health import EntityHealthParams
from monitors.data_quality.input_health import InputHealthParams
from monitors.drift import short_term
from monitors.drift.short_term import ShortTermDriftParams
from monitors.false_alarms.decision import decide
from monitors.finding import Outcome
from monitors.summaries.grains import Grains
from services.aggregation import entities
from services.aggregation.fold import fold_all
from services.evaluation import input_history
from services.evaluation.by_clock.live import LiveMonitors
from services.ingest import persist
from services.models import monitor_config
from services.models.monitor_config import MonitorPlan

START = datetime(2026, 1, 1, tzinfo=UTC)
N_SENSORS, PER_MINUTE, PER_HOUR = 20, 300, 18_000
SENSORS = tuple(f"sensor{i:02}" for i in range(N_SENSORS))
PROMISED_DAYS, MOST_FLEET_S = 90.0, 60
KINDS = ("input_health", "entity_health", "contract_violations", "short_term_drift")
N_ENTITIES, MOST_FOLD_MS, MOST_ENTITIES_MS = 10_000, 100, 50
MOST_MINUTES, MOST_CPU_MS, MOST_STATEMENTS, MOST_ALARMS = 5, 5, 10, 1
CONTRACT = Contract(
    features=tuple(Feature(name=name) for name in SENSORS),
    targets=(SENSORS[0],),
    step=SECOND,
    input_length=1,
    horizon=1,
)


class Plant:
    """Twenty sensors: a daily course, a level that wanders for hours, and noise with memory."""

    def __init__(self, seed: int) -> None:
        self._chance = np.random.default_rng(seed)
        self._phase = self._chance.uniform(0, 2 * np.pi, N_SENSORS)
        self._level, self._noise = np.zeros(N_SENSORS), np.zeros(N_SENSORS)
        self._unit = 10 ** self._chance.uniform(-2, 3, N_SENSORS)

    def values(self, first: int, n: int) -> Floats:
        """Return `n` samples from sample `first` on, (sample, sensor)."""
        day = 2 * np.pi * (first + np.arange(n))[:, np.newaxis] / (24 * PER_HOUR)
        shocks = self._chance.standard_normal((n, N_SENSORS))
        noise = np.empty((n, N_SENSORS))
        for i in range(n):  # AR(1) at 5 Hz
            self._noise = 0.9 * self._noise + 0.44 * shocks[i]
            noise[i] = self._noise
        per_minute = -(-n // PER_MINUTE)
        steps = self._chance.standard_normal((per_minute, N_SENSORS))
        level = np.empty((per_minute, N_SENSORS))
        for i in range(per_minute):  # half-life of three hours
            self._level = 0.996 * self._level + 0.09 * steps[i]
            level[i] = self._level
        seasonal = 3 * np.sin(day + self._phase)
        return self._unit * (20 + seasonal + np.repeat(level, PER_MINUTE, axis=0)[:n] + noise)


def rows(values: Floats, first: int) -> pa.Table:
    """Return the predictions of some samples."""
    n = len(values)
    at = np.datetime64(START.replace(tzinfo=None), "us") + (
        (first + np.arange(n)) * 200_000
    ).astype("timedelta64[us]")
    offsets = np.arange(n + 1, dtype=np.int32)
    lists = [
        pa.ListArray.from_arrays(offsets, pa.array(column, from_pandas=True))
        for column in np.ascontiguousarray(values.T)
    ]
    fields = [pa.field(name, NUMBERS) for name in SENSORS]
    features = pa.StructArray.from_arrays(lists, fields=fields)
    columns = {
        "prediction_id": pa.array([str(first + i) for i in range(n)]),
        "version": pa.array(["v1"] * n),
        "at": pa.array(at).cast(TIME),
        "features": features,
        "status": pa.array(["ok"] * n),
        "shadow": pa.array([False] * n),
        "received_at": pa.array(at).cast(TIME),
    }
    schema = prediction_schema(CONTRACT)
    return pa.table(
        [
            columns[field.name].cast(field.type)
            if field.name in columns and field.name != "features"
            else columns.get(field.name, pa.nulls(n, field.type))
            for field in schema
        ],
        schema=schema,
    )


class Stream:
    """One model that is sent samples."""

    def __init__(self, sessions: sessionmaker[Session], name: str, seed: int) -> None:
        self.sessions, self.plant, self.sample = sessions, Plant(seed), 0
        with unit_of_work(sessions) as session:
            model = Model(name=name, contract=CONTRACT, created_at=START)
            session.add(model)
            session.flush()
            self.model_id: UUID = model.id
            for kind in KINDS:
                monitor_config.put(session, model.id, MonitorPlan(name=kind, kind=kind))

    def send(self, n: int, broken: str = "") -> None:
        """Send samples, of the first sensor broken ones."""
        values = self.plant.values(self.sample, n)
        if broken == "stuck":
            values[:, 0] = values[0, 0] if self.sample % PER_MINUTE else 20.0
        if broken == "missing":
            values[:, 0] = np.nan
        if broken == "rescaled":
            values[:, 0] *= 10
        self._keep(values)
        fold_all(self.sessions, START + 1000 * DAY)

    def keep(self, n: int) -> None:
        """Send samples, and leave them to be folded."""
        self._keep(self.plant.values(self.sample, n))

    def _keep(self, values: Floats) -> None:
        with unit_of_work(self.sessions) as session:
            table = rows(values, self.sample)
            persist.keep(session, self.model_id, Kind.PREDICTIONS, table, START)
        self.sample += len(values)

    @property
    def now(self) -> datetime:
        return START + self.sample * MINUTE / PER_MINUTE

    def grains(self, window: Window) -> Grains:
        with read_only(self.sessions) as session:
            model = session.get_one(Model, self.model_id)
            return input_history.grains(session, model, CONTRACT, window)

    def found(self) -> datetime | None:
        """Return the end of the first grain at fault."""
        with read_only(self.sessions) as session:
            breaches = select(Finding.as_of).where(
                Finding.model_id == self.model_id, Finding.outcome == Outcome.BREACH
            )
            return session.scalars(breaches.order_by(Finding.as_of)).first()


def quiet(sessions: sessionmaker[Session], n_days: int, seed: int) -> tuple[int, int]:
    """Return alarms of input health and of drift on quiet days, after one to learn from."""
    stream, n_alarms, was = Stream(sessions, f"quiet {seed}", seed), 0, False
    params, n_drift, drifted = InputHealthParams(), 0, False
    for day in range(n_days):
        for _ in range(24):
            stream.send(PER_HOUR)
        midnight = START + day * DAY
        if not day:
            continue
        known = stream.grains(Window(max(START, midnight - 7 * DAY), midnight))
        baseline = input_health.fit(known)
        assert baseline is not None
        recent = stream.grains(Window(midnight - 6 * HOUR, midnight + DAY))
        for minute in range(1440):
            part = cut(recent, minute + 1, 360)
            is_breach = input_health.evaluate(baseline, part, params).outcome is Outcome.BREACH
            n_alarms += is_breach and not was
            was = is_breach
        for is_breach in drift(known, recent):
            n_drift += is_breach and not drifted
            drifted = is_breach
    return n_alarms, n_drift


def drift(known: Grains, recent: Grains) -> Iterator[bool]:
    """Yield whether `short_term_drift` breaches, for each window of a day after six hours."""
    params = ShortTermDriftParams()
    baseline = short_term.fit(known, params)
    assert baseline is not None
    for first in range(360, len(recent) - params.grains + 1, params.grains):
        part = cut(recent, first, params.grains)
        found = decide(short_term.evaluate(baseline, part, params), PROMISED_DAYS)
        yield found.outcome is Outcome.BREACH


def fleet(sessions: sessionmaker[Session], n_models: int) -> float:
    """Return the CPU seconds that a minute of so many models takes: fold and evaluation."""
    live = LiveMonitors(sessions)
    streams = [Stream(sessions, f"fleet {i}", i) for i in range(n_models)]
    for stream in streams:
        for _ in range(2):
            stream.send(PER_HOUR // 10)
    live.run(START)
    for stream in streams:
        stream.keep(PER_MINUTE)
    began = time.process_time()
    fold_all(sessions, START + 1000 * DAY)
    live.run(START + MINUTE)
    return time.process_time() - began


def cut(grains: Grains, first: int, n: int) -> Grains:
    """Return some grains of a stretch."""
    part = slice(first, first + n)
    return Grains(
        names=grains.names,
        start=grains.start + first * grains.grain,
        grain=grains.grain,
        **{
            name: getattr(grains, name)[part]
            for name in ("n", "n_missing", "mean", "sd", "low", "high")
        },
    )


def broken(sessions: sessionmaker[Session], fault: str) -> float:
    """Return how many minutes after a fault it is found; -1 for never."""
    stream, live = Stream(sessions, fault, 11), LiveMonitors(sessions)
    for _ in range(25):
        stream.send(PER_HOUR)
        live.run(stream.now)
    since = stream.now
    for _ in range(10):
        stream.send(PER_MINUTE, fault)
        live.run(stream.now)
        found = stream.found()
        if found is not None:
            return (found - since) / MINUTE
    return -1.0


def cost(sessions: sessionmaker[Session]) -> tuple[float, int]:
    """Return what an evaluated minute takes: CPU in ms, and SQL statements."""
    stream, live = Stream(sessions, "cost", 12), LiveMonitors(sessions)
    for _ in range(30):
        stream.send(PER_HOUR)
        live.run(stream.now)
    spent, n_statements = [], []
    for _ in range(20):
        stream.send(PER_MINUTE)
        began = time.process_time()
        with statements(sessions.kw["bind"]) as seen:
            live.run(stream.now)
            n_statements.append(len(seen))
        spent.append(1000 * (time.process_time() - began))
    return statistics.median(spent[1:]), int(statistics.median(n_statements[1:]))


def entities_cost(sessions: sessionmaker[Session]) -> tuple[float, float]:
    """Return the CPU in ms that 10,000 entities of 20 inputs take: a fold of all, a grain."""
    stream, folds = Stream(sessions, "entities", 14), []
    for _ in range(6):
        table = rows(stream.plant.values(stream.sample, N_ENTITIES), stream.sample)
        names = pa.array([f"device {i}" for i in range(N_ENTITIES)])
        place = table.schema.get_field_index("entity")
        field = table.schema.field(place)
        found = entities.seen(
            table.set_column(place, field, names.cast(field.type)), CONTRACT.measured
        )
        assert found is not None
        began = time.process_time()
        with unit_of_work(sessions) as session:
            entities.add(session, {stream.model_id: found})
        folds.append(1000 * (time.process_time() - began))
        stream.sample += N_ENTITIES
    grains = []
    for _ in range(6):
        began = time.process_time()
        with read_only(sessions) as session:
            known = entities.inputs(session.get(EntityState, stream.model_id))
        window = Window(START, START + MINUTE)
        entity_health.evaluate(known, EntityHealthParams(), window)
        grains.append(1000 * (time.process_time() - began))
    return statistics.median(folds[1:]), statistics.median(grains)


def main() -> int:
    """Report the bars."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=14, help="quiet days, after one to learn")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        engine = connect(f"sqlite:///{folder}/seqwatch.sqlite")
        upgrade(engine)
        sessions = sessionmaker(engine, expire_on_commit=False)
        cpu, n_statements = cost(sessions)
        for fault in ("stuck", "missing", "rescaled"):
            minutes = broken(sessions, fault)
            name = f"minutes: a sensor that is {fault} is found"
            figure = minutes if minutes >= 0 else 1e9
            report(Bar(name=name, figure=figure, unit="min", at_most=MOST_MINUTES))
        report(Bar(name="minutes: a grain", figure=cpu, unit="ms CPU", at_most=MOST_CPU_MS))
        name = "minutes: a grain, statements"
        report(Bar(name=name, figure=n_statements, unit="", at_most=MOST_STATEMENTS))
        fold, grain = entities_cost(sessions)
        name = f"minutes: {N_ENTITIES} entities, a fold"
        report(Bar(name=name, figure=fold, unit="ms CPU", at_most=MOST_FOLD_MS))
        name = f"minutes: {N_ENTITIES} entities, a grain"
        report(Bar(name=name, figure=grain, unit="ms CPU", at_most=MOST_ENTITIES_MS))
        name = "minutes: 100 models, a minute of fold and evaluation"
        seconds = fleet(sessions, 100)
        report(Bar(name=name, figure=seconds, unit="s CPU", at_most=MOST_FLEET_S))
        alarms, drifts = quiet(sessions, given.days + 1, 13)
        name = f"minutes: alarms on {given.days} quiet days"
        report(Bar(name=name, figure=alarms, unit="", at_most=MOST_ALARMS))
        print(f"short_term_drift: {drifts} alarms on these days, one in 90 promised")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
