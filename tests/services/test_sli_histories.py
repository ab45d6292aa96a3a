"""Histories of SLIs: what is read when a process begins, and when they are evaluated."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.streams import Level
from db.queries import summary_series
from db.queries.upsert import upsert
from db.session import read_only, unit_of_work
from db.tables import Finding, Model, SloCorrection, SummaryRow
from monitors.slo import cells
from monitors.slo.cells import CellCounts
from monitors.slo.history import History
from monitors.slo.serving import N_CELLS, SERVING
from monitors.sources import SliSlices
from services.evaluation.by_clock import live, sli_histories
from services.evaluation.by_clock.live import LiveMonitors
from services.evaluation.by_clock.sli_histories import SliHistories
from services.models import monitor_config
from services.models.monitor_config import MonitorPlan
from tests.streams import START, add_model

END = START + 20 * DAY
SECOND = timedelta(seconds=1)


def counted(start: datetime, n: int, seed: int) -> CellCounts:
    """Return some predictions of an hour, at random."""
    chance = np.random.default_rng(seed)
    at = np.sort(chance.integers(0, 3_600_000_000, n)) + int(start.timestamp()) * 1_000_000
    return cells.summarise(at, chance.choice([0, 10, N_CELLS - 1], n), chance.integers(1, 4, n))


def store(
    sessions: sessionmaker[Session],
    model_id: UUID,
    hours: list[datetime],
    n: int,
    version: str = "v1",
) -> None:
    """Store predictions of some hours; the newest is the watermark."""
    with unit_of_work(sessions) as session:
        key = (model_id, SERVING.name, version)
        series = summary_series.ids(session, [key])[key]
        rows = []
        for number, hour in enumerate(hours):
            found = counted(hour, n, number)
            if hour < END - 14 * DAY:
                found = cells.as_one_slice(found, hour)
            row = {"series_id": series, "start": hour, "level": Level.SLICE}
            rows.append({**row, "payload": SERVING.to_bytes(found), "publication": None})
        upsert(session, SummaryRow, rows)
        model = session.get_one(Model, model_id)
        model.watermark = model.last_arrival_at = max(hours) + HOUR - SECOND


def read(
    sessions: sessionmaker[Session], model_id: UUID
) -> dict[Any, tuple[History, dict[str, History], dict[int, History]]]:
    """Return the histories of all SLOs of a model, as a new process reads them."""
    histories = SliHistories()
    with read_only(sessions) as session:
        model = session.get_one(Model, model_id)
        sources = {
            source
            for one in monitor_config.live(session)[model_id]
            for source in monitor_config.sources_of(one)
            if isinstance(source, SliSlices)
        }
        assert not histories.refresh(session, {model_id: model}, {model_id: sources})
        own = histories._models[model_id].kept
        return {of: (kept.total, kept.versions, kept.segments) for of, kept in own.items()}


def are_equal(one: History, other: History) -> bool:
    return np.array_equal(one.ends, other.ends) and np.array_equal(one.sums, other.sums)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("hours", "n"),
    [
        pytest.param([END - (i + 1) * HOUR for i in range(480)], 60, id="a long one"),
        pytest.param([END - 10 * i * HOUR for i in range(1, 48)], 2, id="a short one"),
        pytest.param([END - (i + 1) * HOUR for i in range(60)], 40, id="a young one"),
        pytest.param([END - i * HOUR for i in range(400, 480)] + [END], 40, id="with a gap"),
    ],
)
@pytest.mark.parametrize(
    "params",
    [
        pytest.param({}, id="events"),
        pytest.param({"calendar": "month", "zone": "Asia/Kathmandu"}, id="a calendar"),
        pytest.param({"method": "time_slices"}, id="time slices"),
    ],
)
def test_a_history_read_by_the_hour_is_the_one_read_slice_by_slice(
    sessions: sessionmaker[Session],
    monkeypatch: pytest.MonkeyPatch,
    hours: list[datetime],
    n: int,
    params: dict[str, object],
) -> None:
    model_id = add_model(sessions)
    with unit_of_work(sessions) as session:
        plan = MonitorPlan(name="slo", kind="burn_rate", params={"sli": "latency", **params})
        monitor_config.put(session, model_id, plan)
        start = START + 9 * DAY + 1234 * SECOND
        monitor_id = monitor_config.live(session)[model_id][0].id
        session.add(
            SloCorrection(
                model_id=model_id,
                monitor_id=monitor_id,
                start=start,
                end=start + 7777 * SECOND,
                reason="test",
                author="us",
                created_at=START,
            )
        )
    store(sessions, model_id, hours, n)
    found = read(sessions, model_id)
    monkeypatch.setattr(sli_histories, "_fill_by_hour", lambda *_: False)
    for source, (total, versions, _) in read(sessions, model_id).items():
        assert are_equal(found[source][0], total)
        assert all(are_equal(found[source][1][of], own) for of, own in versions.items())


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_all_models_are_read_in_consecutive_calls_after_a_start(
    sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [0.0]
    monkeypatch.setattr(live, "monotonic", lambda: seconds[0])
    monkeypatch.setattr(sli_histories, "LOADED_FOR", timedelta(0))
    n_models = 2 * sli_histories.LOADED_AT_LEAST + 1
    for number in range(n_models):
        model_id = add_model(sessions, name=f"m{number}")
        with unit_of_work(sessions) as session:
            monitor_config.put(session, model_id, MonitorPlan(name="slo", kind="burn_rate"))
        store(sessions, model_id, [END], 20)
    evaluated = LiveMonitors(sessions)
    for second in range(3):
        seconds[0] = float(second)
        evaluated.run(END + HOUR + second * SECOND)
    assert len(evaluated._slis._models) == n_models
    seconds[0] = 10.0
    evaluated.run(END + HOUR + 10 * SECOND)
    with read_only(sessions) as session:
        assert len({*session.scalars(select(Finding.monitor_id))}) >= n_models


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_slo_is_evaluated_again_only_when_its_finding_may_differ(
    sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds, calls = [0.0], list[UUID]()
    monkeypatch.setattr(live, "monotonic", lambda: seconds[0])
    before = live._finding

    def finding(one: Any) -> Any:
        calls.append(one.monitor_id)
        return before(one)

    monkeypatch.setattr(live, "_finding", finding)
    model_id = add_model(sessions)
    with unit_of_work(sessions) as session:
        for name, no_data in (("slo", "ignore"), ("bad", "bad")):
            params = {"no_data": no_data, "max_staleness": "PT2H"}
            plan = MonitorPlan(name=name, kind="burn_rate", params=params)
            monitor_config.put(session, model_id, plan)
    store(sessions, model_id, [END - HOUR], 20)
    evaluated = LiveMonitors(sessions)

    def n_evaluated(passed: timedelta) -> int:
        seconds[0] += 10
        calls.clear()
        evaluated.run(END + passed)
        return len(calls)

    assert n_evaluated(10 * SECOND) == 2
    assert n_evaluated(20 * SECOND) == 0, "nothing came"
    with unit_of_work(sessions) as session:
        start = END - HOUR / 2
        monitor_id = monitor_config.live(session)[model_id][0].id
        session.add(
            SloCorrection(
                model_id=model_id,
                monitor_id=monitor_id,
                start=start,
                end=start + HOUR / 4,
                reason="test",
                author="us",
                created_at=START,
            )
        )
    assert n_evaluated(30 * SECOND) == 2, "a correction"
    assert n_evaluated(2 * HOUR) == 2, "stale from now on"
    assert n_evaluated(2 * HOUR + 10 * SECOND) == 1, "time without predictions counts as bad"
    store(sessions, model_id, [END + 3 * HOUR], 20)
    assert n_evaluated(4 * HOUR) == 2, "event time went on"
