"""Whenever a publisher dies, and whatever the lake does, each row is published once."""

import threading
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.lake_root import LakeRoot
from core.schema.zone import UTC_ZONE
from core.settings import Settings
from core.streams import Level
from core.window import Window
from db.queries import publication, summaries
from db.queries.queue import runs
from db.session import read_only, unit_of_work
from db.tables import Finding, Run
from jobs.ticker import Ticker
from jobs.wiring import jobs
from jobs.worker import Queue, Worker
from lake import published, tables
from lake.storage import LakeAstray
from monitors.slo.serving import SERVING
from services.models import monitor_config
from services.models.monitor_config import MonitorPlan
from services.open_tables import publish as publishing
from services.open_tables.publish import publish, publish_all
from services.open_tables.registry import TABLES
from services.open_tables.sources import FINDINGS
from services.platform_faults.outage import is_outage
from services.summaries.roll_up import rolled_up
from tests import stored
from tests.killed import assert_killed
from tests.open_tables import results
from tests.open_tables.results import NOW
from tests.open_tables.world import rows
from tests.streams import START

POINTS = {
    "before a batch is numbered": ("db.queries.publication", "number", "before"),
    "numbered, not committed": ("db.queries.publication", "number", "after"),
    "committed, no table made": ("lake.published", "open_table", "before"),
    "a table made, nothing appended": ("lake.published", "create_table", "after"),
    "before the first append": ("lake.tables", "append", "before"),
    "after the first append of two": ("lake.tables", "append", "after"),
    "on disk, not closed": ("lake.storage", "sync", "after"),
    "appended, not closed": ("db.queries.publication", "close", "before"),
    "closed, not committed": ("db.queries.publication", "close", "after"),
    "closed and committed": ("lake.published", "tidy", "before"),
}


def counts(lake: LakeRoot) -> dict[str, Counter[int]]:
    """Return how often each finding, score and flip is in its table."""
    keys = {"findings": "finding_id", "drift_scores": "finding_id", "alerts": "flip_id"}
    return {
        name: Counter(Counter(row[key] for row in rows(lake, name)).values())
        for name, key in keys.items()
    }


@pytest.mark.sqlite_first
@pytest.mark.parametrize("point", [pytest.param(point, id=of) for of, point in POINTS.items()])
def test_a_publisher_that_is_killed_at_any_step_neither_doubles_nor_loses_a_row(
    sessions: sessionmaker[Session], database_url: str, tmp_path: Path, point: tuple[str, ...]
) -> None:
    lake, model_id = tmp_path / "lake", results.add_model(sessions)
    results.add(sessions, model_id, 4)

    assert_killed(results.die, database_url, lake, *point)
    results.add(sessions, model_id, 3, first=4)
    publish_all(sessions, lake, NOW)

    assert counts(lake) == {
        "findings": {1: 7},
        "drift_scores": {len(results.FEATURES): 7},
        "alerts": {1: 7},
    }


def test_two_publishers_at_once_publish_each_row_once(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    lake, model_id = tmp_path / "lake", results.add_model(sessions)
    results.add(sessions, model_id, 20)
    threads = [
        threading.Thread(target=publish_all, args=(sessions, lake, NOW)) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    publish_all(sessions, lake, NOW)
    assert counts(lake)["findings"] == {1: 20}
    assert counts(lake)["alerts"] == {1: 20}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_it_is_published_to_folders_and_object_stores(
    sessions: sessionmaker[Session], lake_root: LakeRoot
) -> None:
    model_id = results.add_model(sessions)
    results.add(sessions, model_id, 2)
    publish_all(sessions, lake_root, NOW)
    results.add(sessions, model_id, 1, first=2)
    publish_all(sessions, lake_root, NOW)
    assert counts(lake_root)["findings"] == {1: 3}
    assert published.delete_model(lake_root, "findings", str(model_id)) == 3


def test_a_row_that_changes_after_it_was_numbered_is_in_a_later_batch_as_well(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    lake, model_id = tmp_path / "lake", results.add_model(sessions)
    results.add(sessions, model_id, 1)
    with unit_of_work(sessions) as session:
        assert publication.number(session, FINDINGS, NOW) is not None
    with unit_of_work(sessions) as session:
        finding = session.scalars(select(Finding)).one()
        finding.value, finding.rev, finding.revised_at = 7.0, 1, NOW
        publication.wait(finding)
    publish_all(sessions, lake, NOW)
    assert [row["value"] for row in rows(lake, "findings")] == [7.0]


def test_a_row_is_marked_as_changed_although_it_waited_when_it_was_read(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    """On PostgreSQL a batch may be numbered, and closed, between the two."""
    model_id = results.add_model(sessions)
    results.add(sessions, model_id, 1)
    with read_only(sessions) as session:
        read = session.scalars(select(Finding)).one()
        session.expunge(read)
    publish_all(sessions, tmp_path / "lake", NOW)
    with unit_of_work(sessions) as session:
        session.add(read)
        publication.wait(read)
    with read_only(sessions) as session:
        assert session.scalars(select(Finding.publication)).one() == 0


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_rows_that_somebody_changes_hold_no_publisher_up(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    lake, model_id = tmp_path / "lake", results.add_model(sessions)
    results.add(sessions, model_id, 3)
    with unit_of_work(sessions) as session:
        held = session.scalars(select(Finding).where(Finding.value == 1.0)).one()
        held.cause = "changed"
        publication.wait(held)
        session.flush()
        publish_all(sessions, lake, NOW)
        assert counts(lake)["findings"] == {1: 2}
    publish_all(sessions, lake, NOW)
    assert counts(lake)["findings"] == {1: 3}


def test_an_hour_that_changes_is_published_again_and_one_that_is_rolled_up_is_not(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    lake, model_id = tmp_path / "lake", results.add_model(sessions)
    with unit_of_work(sessions) as session:
        slo = MonitorPlan(name="slo", kind="burn_rate", params={"sli": "availability"})
        monitor_config.put(session, model_id, slo)
        for minute in (0, 5):
            at = START + timedelta(minutes=minute)
            stored.put_served(session, model_id, "v1", at, 10, n_failed=1)
    publish_all(sessions, lake, NOW)

    hour = Window(START, START + HOUR)
    with unit_of_work(sessions) as session:
        of_slices = summaries.rows(session, [SERVING], model_id, [hour])
        assert SERVING.whole is not None
        after = rolled_up(SERVING, SERVING.whole, of_slices, Level.HOUR, UTC_ZONE)
        of = session, [SERVING], model_id, hour, after
        assert summaries.replace(*of, is_change=False)
    assert publish_all(sessions, lake, NOW + DAY) == 0

    with unit_of_work(sessions) as session:
        stored.put_served(session, model_id, "v1", START, 1)
    publish_all(sessions, lake, NOW + 2 * DAY)
    found = [(row["good"], row["bad"], row["recorded_at"]) for row in rows(lake, "slo_slices")]
    assert sorted(found) == [(18, 2, NOW), (19, 2, NOW + 2 * DAY)]


def test_an_hour_is_published_when_it_is_over(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    lake, model_id = tmp_path / "lake", results.add_model(sessions)
    with unit_of_work(sessions) as session:
        monitor_config.put(session, model_id, MonitorPlan(name="slo", kind="burn_rate"))
        stored.put_served(session, model_id, "v1", START, 10)
    assert publish_all(sessions, lake, START + HOUR) == 0
    assert publish_all(sessions, lake, START + 2 * HOUR) == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_lake_that_is_gone_is_an_outage_and_not_begun_anew(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    lake, model_id = tmp_path / "lake", results.add_model(sessions)
    results.add(sessions, model_id, 2)
    publish_all(sessions, lake, NOW)
    results.add(sessions, model_id, 1, first=2)
    lake.rename(tmp_path / "away")

    with pytest.raises(LakeAstray) as caught:
        publish_all(sessions, lake, NOW)
    assert is_outage(caught.value)
    assert not lake.exists()

    (tmp_path / "away").rename(lake)
    publish_all(sessions, lake, NOW)
    assert counts(lake)["findings"] == {1: 3}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_database_that_is_older_than_the_lake_is_refused(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    lake, model_id = tmp_path / "lake", results.add_model(sessions)
    results.add(sessions, model_id, 1)
    publish_all(sessions, lake, NOW)
    table = published.open_table(lake, "findings")
    assert table is not None
    later = rows(lake, "findings")
    tables.append(table, TABLES[0].to_arrow(later), 9, published.BATCHES)
    results.add(sessions, model_id, 1, first=1)
    with pytest.raises(LakeAstray, match="findings ends at batch 9, but the database numbered"):
        publish_all(sessions, lake, NOW)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_batch_has_a_bound_and_the_next_one_takes_the_rest(
    sessions: sessionmaker[Session], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, model_id = tmp_path / "lake", results.add_model(sessions)
    results.add(sessions, model_id, 7)
    monkeypatch.setattr(publishing, "MAX_BATCHES", 2)
    object.__setattr__(FINDINGS, "at_once", 3)
    try:
        publish_all(sessions, lake, NOW)
        assert counts(lake)["findings"] == {1: 6}
        publish_all(sessions, lake, NOW)
        assert counts(lake)["findings"] == {1: 7}
    finally:
        object.__setattr__(FINDINGS, "at_once", 2_000)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_year_of_appends_stays_in_few_files_and_a_short_log(
    sessions: sessionmaker[Session], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "READ_FOR_HOURS", 0)
    lake, model_id = tmp_path / "lake", results.add_model(sessions)
    n = 120
    for i in range(n):  # one every three days
        results.add(sessions, model_id, 1, first=i * 3)
        publish(sessions, lake, FINDINGS, NOW + timedelta(days=i * 3))
    files = [*(lake / "published" / "findings").glob("month=*/*.parquet")]
    assert len(files) <= 50
    assert counts_of(lake) == n
    checkpoints = [
        *(lake / "published" / "findings" / "_delta_log").glob("*.checkpoint.parquet")
    ]
    assert checkpoints


def counts_of(lake: Path) -> int:
    return len({row["finding_id"] for row in rows(lake, "findings")})


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_job_is_asked_for_at_its_interval_and_never_where_that_is_zero(
    sessions: sessionmaker[Session], settings: Settings
) -> None:
    for every, expected in ((timedelta(0), 0), (HOUR, 1)):
        ticker = Ticker(settings.model_copy(update={"publish_every": every}), sessions)
        names = [job.id for job in ticker._scheduler.get_jobs()]
        assert names.count("publish") == expected


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_worker_publishes(sessions: sessionmaker[Session], settings: Settings) -> None:
    model_id = results.add_model(sessions)
    results.add(sessions, model_id, 2)
    with unit_of_work(sessions) as session:
        runs.ask(session, "publish", NOW, NOW)
    assert Worker(settings, sessions, jobs(settings, sessions), Queue.ARCHIVE).once()
    with read_only(sessions) as session:
        assert session.scalars(select(Run.error)).all() == [None]
    assert counts(settings.lake)["findings"] == {1: 2}
