"""What do pages, lists and metrics of many models cost, and does it grow with their age?

Run: `python -m benchmarks.fleet [--models 10 100 500]`. Every model has its default monitors,
each with a finding a day, written straight into the tables. CPU time of one request, after a
first one, and its SQL statements.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID, uuid4

import numpy as np
from fastapi.testclient import TestClient
from sqlalchemy import insert
from sqlalchemy.orm import Session, sessionmaker

from alerts.state import Phase
from api.main import create_app
from benchmarks.bar import Bar, report
from benchmarks.statements import statements
from cli.database import make_key
from core.durations import DAY, HOUR
from core.policy import Policy
from core.schema.contract import Contract
from core.schema.feature import Feature
from core.settings import Settings
from core.window import Window
from db.migrate import upgrade
from db.queries import summaries
from db.queries.read import false_alarm_rates
from db.session import connect, unit_of_work
from db.tables import Alert, Champion, Finding, Model, Monitor, Version
from monitors.finding import Outcome
from monitors.slo import cells
from monitors.slo.serving import SERVING
from services.aggregation import totals
from services.models import monitor_config

START = datetime.fromisoformat("2024-01-01T00:00:00+00:00")
CONTRACT = Contract(
    features=tuple(Feature(name=f"f{i}") for i in range(8)),
    targets=("y",),
    step=HOUR,
    input_length=96,
    horizon=24,
)
DAYS, OLD = 90, 730
# Predictions of every status, and of every latency from 1 ms to 1 s.
CELLS = np.concatenate([[0, 73, 146], np.arange(12, 42), 73 + np.arange(12, 42)])
SERVED = {SERVING.name: cells.summarise(np.zeros(CELLS.size, np.int64), CELLS)}
AGED = 100  # models whose findings are of two years
CPU_MS, STATEMENTS, GROWTH = 200, 15, 1.2
REQUESTS = {
    "fleet page": "/",
    "metrics": "/metrics",
    "list of models": "/v1/models",
}


def add_model(session: Session, name: str, contract: Contract = CONTRACT) -> UUID:
    """Add a model with its default monitors, alerts and a champion."""
    model = Model(name=name, contract=contract, created_at=START)
    session.add(model)
    session.flush()
    version = Version(
        model_id=model.id,
        name="v1",
        contract=contract,
        contract_digest=contract.digest,
        reference=(Window(START - 60 * DAY, START),),
        created_at=START,
    )
    session.add(version)
    session.flush()
    session.add(Champion(model_id=model.id, version_id=version.id, rev=1, since=START))
    for plan in monitor_config.defaults(Policy(), contract):
        monitor_config.put(session, model.id, plan)
    for monitor in monitor_config.of_models(session, [model.id])[model.id]:
        session.add(Alert(monitor_id=monitor.id, model_id=model.id, phase=Phase.QUIET))
    return model.id


def age(session: Session, model_ids: list[UUID], first: int, last: int) -> None:
    """Write the findings of some days of each monitor."""
    monitors = session.query(Monitor).where(Monitor.model_id.in_(model_ids)).all()
    for monitor in monitors:
        rows: list[dict[str, object]] = [
            {
                "id": uuid4(),
                "monitor_id": monitor.id,
                "model_id": monitor.model_id,
                "version": "v1",
                "window_start": START + (day - 7) * DAY,
                "window_end": START + day * DAY,
                "as_of": START + day * DAY,
                "outcome": Outcome.BREACH if day % 97 == 0 else Outcome.OK,
                "value": 0.5,
                "threshold": 1.0,
                "cause": "",
                "detail": {},
                "recorded_at": START + day * DAY,
            }
            for day in range(first, last)
        ]
        session.execute(insert(Finding), rows)
    false_alarm_rates.keep(session, model_ids)
    for model in session.query(Model).where(Model.id.in_(model_ids)):
        model.watermark = model.evaluated_until = START + last * DAY


@contextmanager
def fleet(
    n_models: int, contract: Contract = CONTRACT
) -> Iterator[tuple[sessionmaker[Session], list[UUID], TestClient]]:
    """Start an installation with so many models, 90 days old."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(database_url=f"sqlite:///{folder}/seqwatch.sqlite", lake=folder)
        engine = connect(settings.database_url)
        upgrade(engine)
        sessions = sessionmaker(engine, expire_on_commit=False)
        with unit_of_work(sessions) as session:
            model_ids = [add_model(session, f"model-{i:03}", contract) for i in range(n_models)]
            age(session, model_ids, 0, DAYS)
            for model_id in model_ids:
                summaries.add(session, model_id, totals.parts([("v1", SERVED)]))
        key = make_key(settings, "fleet", ["admin", "read"], None)
        headers = {"Authorization": f"Bearer {key}"}
        app = create_app(settings, sessions)
        headers |= {"Origin": "http://testserver"}
        with TestClient(app, headers=headers, follow_redirects=False) as client:
            assert client.post("/login", data={"key": key}).status_code == 303
            yield sessions, model_ids, client
        engine.dispose()


def cost(sessions: sessionmaker[Session], client: TestClient, path: str) -> tuple[float, int]:
    """Return CPU in milliseconds, the least of three, and statements of a request."""
    spent, n = [], 0
    for _ in range(4):
        began = time.process_time()
        with statements(sessions.kw["bind"]) as seen:
            answer = client.get(path)
            n = len(seen)
        spent.append(1000 * (time.process_time() - began))
        assert answer.status_code == 200, answer.text
    return min(spent[1:]), n


def measure(n_models: int, *, with_bars: bool) -> None:
    """Print what each request costs; hold it against the bars."""
    with fleet(n_models) as (sessions, model_ids, client):
        young = {}
        for name, path in REQUESTS.items():
            young[name], n = cost(sessions, client, path)
            print(f"{n_models:4} models, {name:15} {young[name]:8.1f} ms CPU {n:6} statements")
            if with_bars:
                of = f"fleet: {name} of {n_models} models"
                report(Bar(name=of, figure=young[name], unit="ms CPU", at_most=CPU_MS))
                report(Bar(name=f"{of}, SQL", figure=n, unit="", at_most=STATEMENTS))
        if n_models != AGED:
            return
        with unit_of_work(sessions) as session:
            age(session, model_ids, DAYS, OLD)
        for name, path in REQUESTS.items():
            old, _ = cost(sessions, client, path)
            print(f"{n_models:4} models, {name:15} {old:8.1f} ms CPU at {OLD} days")
            bar = f"fleet: {name} at {OLD} days against {DAYS}"
            report(Bar(name=bar, figure=old / young[name], unit="x", at_most=GROWTH))


def main() -> int:
    """Measure fleets of some sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, nargs="+", default=[10, 100, 500])
    given = parser.parse_args()
    for n_models in given.models:
        measure(n_models, with_bars=n_models == max(given.models))
    return 0


if __name__ == "__main__":
    sys.exit(main())
