"""From a drift alert that fires to a report that people can open."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from alerts.state import Phase
from api.main import create_app
from core.durations import DAY, HOUR
from core.errors import NotFound
from core.lake_root import LakeRoot
from core.schema.rows import Kind
from core.settings import Settings
from core.window import Window
from db.session import read_only, unit_of_work
from db.tables import Alert, Model, Monitor, Run, Version
from db.tables import Finding as FindingRow
from db.tables.queue import RunStatus
from jobs.wiring import jobs
from jobs.worker import Worker
from lake import tables
from lake.reading import Log
from lake.sampling import sample_input
from monitors.drift.input_drift import DriftDetail, FeatureDrift
from monitors.finding import Finding, Outcome
from services.access.api_keys import create_key
from services.alerting import alert_transitions
from services.alerting.alert_transitions import REPORT_JOB, Seen
from services.read_models.reports import report_status, report_writer
from tests.streams import CONTRACT, START, add_model, add_version, prediction, table

BEFORE = Window(START, START + 5 * DAY)
AFTER = Window(START + 5 * DAY, START + 6 * DAY)
SCORES = DriftDetail(
    features={"load": FeatureDrift(score=1.0), "wind": FeatureDrift(score=3.0)}
)


def archive(lake: LakeRoot, model_id: UUID, rows: Sequence[dict[str, object]]) -> None:
    kind = Kind.PREDICTIONS
    log = tables.create_table(lake, model_id, kind, CONTRACT)
    tables.append(log, tables.stamped(kind, CONTRACT, table(kind, rows)), 1)


def hourly_rows(window: Window, level: float) -> list[dict[str, object]]:
    """Two steps of load and one of wind each hour."""
    n = (window.end - window.start) // HOUR
    return [
        prediction(
            window.start + i * HOUR,
            features={"load": [level + i % 24, level], "wind": [level * 2]},
        )
        for i in range(n)
    ]


class Grid:
    """A model whose input moved, with a drift monitor on it."""

    def __init__(self, sessions: sessionmaker[Session], lake: LakeRoot) -> None:
        self.sessions = sessions
        self.model_id = add_model(sessions)
        version_id = add_version(sessions, self.model_id, "v1", {})
        with unit_of_work(sessions) as session:
            version = session.get_one(Version, version_id)
            version.reference = (BEFORE,)
            monitor = Monitor(
                model_id=self.model_id,
                name="input_drift",
                kind="input_drift",
                severity="ticket",
            )
            session.add(monitor)
            session.flush()
            self.monitor_id = monitor.id
        archive(lake, self.model_id, hourly_rows(BEFORE, 1.0) + hourly_rows(AFTER, 9.0))

    def observe(self, outcome: Outcome, end: datetime, now: datetime) -> UUID:
        """Let the monitor find something; return the finding."""
        finding = Finding(
            outcome=outcome,
            value=3.0,
            threshold=2.0,
            window=Window(end - DAY, end),
            cause="wind drifted",
            detail=SCORES,
        )
        with unit_of_work(self.sessions) as session:
            monitor = session.get_one(Monitor, self.monitor_id)
            alert_transitions.observe(
                session, monitor, Seen(version="v1", as_of=end), finding, now
            )
        with read_only(self.sessions) as session:
            query = select(FindingRow.id).where(FindingRow.window_end == end)
            return session.scalars(query).one()

    def asked(self) -> list[tuple[str, str]]:
        with read_only(self.sessions) as session:
            return [(run.job, run.subject) for run in session.scalars(select(Run))]


@pytest.fixture
def grid(sessions: sessionmaker[Session], settings: Settings) -> Grid:
    return Grid(sessions, settings.lake)


def test_a_report_is_asked_for_once_when_drift_fires(grid: Grid, now: datetime) -> None:
    grid.observe(Outcome.OK, AFTER.end - DAY, now)
    assert grid.asked() == []
    fired = grid.observe(Outcome.BREACH, AFTER.end, now)
    grid.observe(Outcome.BREACH, AFTER.end + DAY, now)
    assert grid.asked() == [(REPORT_JOB, str(fired))]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_worker_writes_it_and_only_readers_of_the_model_see_it(
    grid: Grid, settings: Settings, now: datetime
) -> None:
    finding_id = grid.observe(Outcome.BREACH, AFTER.end, now)
    address = f"/v1/findings/{finding_id}/report"
    with unit_of_work(grid.sessions) as session:
        keys = {
            name: create_key(session, name, [scope], model_id, now)
            for name, scope, model_id in [
                ("reader", "read", None),
                ("own", "read", grid.model_id),
                ("other", "read", add_other(session)),
                ("service", "ingest", None),
            ]
        }
    api = TestClient(create_app(settings, grid.sessions), base_url=settings.public_url)

    def ask(name: str) -> int:
        return api.get(address, headers={"Authorization": f"Bearer {keys[name]}"}).status_code

    assert ask("reader") == 404
    assert Worker(settings, grid.sessions, jobs(settings, grid.sessions)).once()
    assert {name: ask(name) for name in keys} == {
        "reader": 200,
        "own": 200,
        "other": 404,
        "service": 403,
    }
    answer = api.get(address, headers={"Authorization": f"Bearer {keys['reader']}"})
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("sandbox allow-scripts; ")
    assert "wind" in answer.text

    # The pages link to it, and show it to the browser of somebody who has signed in.
    origin = {"Origin": settings.public_url}
    assert api.get(f"/findings/{finding_id}/report").url.path == "/login"
    api.post("/login", data={"key": keys["own"]}, headers=origin)
    for page in ("/models/grid", "/alerts"):
        assert f'href="/findings/{finding_id}/report"' in api.get(page).text
    shown = api.get(f"/findings/{finding_id}/report")
    assert shown.text == answer.text
    assert shown.headers["content-security-policy"] == answer.headers["content-security-policy"]


def add_other(session: Session) -> UUID:
    model = Model(name="other", contract=CONTRACT, created_at=START)
    session.add(model)
    session.flush()
    return model.id


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_report_that_cannot_be_written_is_recorded_and_hurts_nothing_else(
    grid: Grid, settings: Settings, now: datetime
) -> None:
    settings.reports.parent.mkdir(exist_ok=True)
    settings.reports.write_text("a file where the folder should be")
    grid.observe(Outcome.BREACH, AFTER.end, now)
    assert Worker(settings, grid.sessions, jobs(settings, grid.sessions)).once()
    with read_only(grid.sessions) as session:
        run = session.scalars(select(Run)).one()
        assert run.status is RunStatus.TODO
        assert run.error is not None
        assert "reports" in run.error
        assert session.scalars(select(Alert)).one().phase is Phase.FIRING


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_report_is_written_once_and_leaves_nothing_beside_it(
    grid: Grid, settings: Settings, now: datetime
) -> None:
    finding_id = grid.observe(Outcome.BREACH, AFTER.end, now)
    place = (grid.sessions, settings.lake, settings.reports, finding_id)
    path = report_writer.write(*place)
    written_at = path.stat().st_mtime_ns
    assert report_writer.write(*place) == path
    assert path.stat().st_mtime_ns == written_at
    assert [*path.parent.iterdir()] == [path]
    assert report_status.written(settings.reports, grid.model_id) == {finding_id}
    assert report_status.written(settings.reports, uuid4()) == frozenset()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_there_is_no_report_on_what_nobody_found(grid: Grid, settings: Settings) -> None:
    with pytest.raises(NotFound):
        report_writer.write(grid.sessions, settings.lake, settings.reports, uuid4())


def test_a_sample_has_one_row_per_step_and_every_one_when_they_fit(tmp_path: Path) -> None:
    model_id = uuid4()
    shadow = prediction(START, 7, shadow=True, features={"load": [-1.0], "wind": [-1.0]})
    archive(tmp_path, model_id, [*hourly_rows(Window(START, START + DAY), 1.0), shadow])
    log = Log(tmp_path, model_id)
    steps = sample_input(log, (BEFORE,), ["load", "wind"], 100, seed=1)
    assert steps.shape == (48, 2)
    assert np.isnan(steps[:, 1]).sum() == 24
    assert np.sort(steps[:, 0]).tolist() == sorted([1.0] * 24 + [1.0 + i for i in range(24)])


def test_a_sample_draws_from_the_whole_window_and_the_same_seed_draws_the_same(
    tmp_path: Path,
) -> None:
    model_id = uuid4()
    rows = [
        prediction(BEFORE.start + i * HOUR, features={"load": [float(i)] * 20, "wind": [0.0]})
        for i in range(120)
    ]
    archive(tmp_path, model_id, rows)
    log = Log(tmp_path, model_id)
    first, again, other = (
        sample_input(log, (BEFORE,), ["load"], 600, seed)[:, 0] for seed in (1, 1, 2)
    )
    assert first.tolist() == again.tolist() != other.tolist()
    assert (np.diff(first) >= 0).all()  # in event time: Evidently draws it so
    # 600 of 2,400 steps, a fifth of them on each day: 120 with a standard deviation of
    # sqrt(600 * 0.2 * 0.8 * 1800 / 2399) = 8.5, so five of those are allowed for.
    per_day = np.bincount((first // 24).astype(int), minlength=5)
    assert per_day.sum() == 600
    assert np.abs(per_day - 120).max() <= 43


def test_nothing_was_ever_archived(tmp_path: Path) -> None:
    assert sample_input(Log(tmp_path, uuid4()), (BEFORE,), ["load"], 9, seed=1).shape == (0, 1)
