"""The open tables hold what the API answers."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from db.queries import publication
from db.session import read_only, unit_of_work
from db.tables import Finding, Model, Publication, Rollout
from retrain.rollout import Phase
from services.aggregation.fold import fold_all
from services.evaluation.baseline_cache import Baselines
from services.evaluation.reevaluate import reevaluate
from services.labels.label_join import join_all
from services.open_tables.publish import publish_all
from services.open_tables.registry import SOURCES, TABLES
from services.retention.archive import archive_all
from services.retention.deletion import Places, delete_files
from tests.conftest import Once
from tests.db.fill import MODEL, N_SERVED, NOW, label
from tests.open_tables import results, world
from tests.open_tables.world import moment, rows


@pytest.fixture
def key(once: Once) -> str:
    found: str = once(world.filled)
    return found


@pytest.fixture
def lake(key: str, sessions: sessionmaker[Session], tmp_path: Path) -> Path:
    """The lake of the filled installation, published."""
    assert publish_all(sessions, tmp_path / "lake", NOW) > 0
    return tmp_path / "lake"


@pytest.fixture
def api(sessions: sessionmaker[Session], tmp_path: Path, key: str) -> Iterator[TestClient]:
    with world.api(sessions, tmp_path, key) as client:
        yield client


def items(api: TestClient, path: str) -> list[dict[str, Any]]:
    answer = api.get(path, params={"limit": 1000})
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]  # type: ignore[no-any-return]


def test_every_finding_is_published_as_the_api_returns_it(lake: Path, api: TestClient) -> None:
    found = {row["finding_id"]: row for row in rows(lake, "findings")}
    expected = items(api, f"{MODEL}/findings")
    assert found.keys() == {finding["id"] for finding in expected}
    for finding in expected:
        row = found[finding["id"]]
        same = ("monitor", "kind", "version", "outcome", "value", "threshold", "rev")
        assert [row[name] for name in same] == [finding[name] for name in same]
        for name in ("window_start", "window_end", "as_of", "recorded_at"):
            assert row[name] == moment(finding[name]), name
        assert row["cause"] == (
            "" if row["kind"] in ("silence", "entity_health") else finding["cause"]
        )
        assert (row["model"], row["month"]) == ("load", f"{NOW:%Y-%m}")


def test_scores_are_those_of_the_detail(lake: Path, api: TestClient) -> None:
    details = {one["id"]: one["detail"] for one in items(api, f"{MODEL}/findings")}
    drift = [row for row in rows(lake, "drift_scores") if row["kind"] == "input_drift"]
    scored = [row for row in drift if row["score"] is not None]
    for row in scored:
        name = row["feature"] + (f" [{row['segment']}]" if row["segment"] else "")
        assert row["score"] == details[row["finding_id"]]["features"][name]["score"]
    with_features = [one for one in details.values() if "features" in one]
    assert bool(scored) == any("score" in str(one["features"]) for one in with_features)


def test_the_accuracy_of_a_day_is_that_of_the_api(lake: Path, api: TestClient) -> None:
    sums: dict[Any, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for row in rows(lake, "accuracy"):
        day = sums[row["day"].isoformat(), row["version"], row["shadow"]]
        day[0] += (row["loss"] or 0.0) * row["n_labelled"]
        day[1] += row["n_labelled"]
        day[2] += row["n_expected"]
        assert row["pending"] == row["n_expected"] - row["n_labelled"]
        if row["loss"] is not None:
            assert row["mae"] == row["loss"]
    expected = api.get(f"{MODEL}/accuracy").json()["days"]
    assert len(sums) == len(expected) >= N_SERVED
    for day in expected:
        loss, labelled, n = sums[day["day"], day["version"], day["is_shadow"]]
        assert day["coverage"] == pytest.approx(labelled / n)
        assert day["error"] == (pytest.approx(loss / labelled) if labelled else None)


def test_the_slices_of_a_period_add_up_to_the_events_of_its_budget(
    lake: Path, api: TestClient
) -> None:
    counted: Counter[Any] = Counter()
    published = rows(lake, "slo_slices")
    for row in published:
        assert row["window_end"] - row["window_start"] == HOUR
        for event in ("good", "bad", "unknown"):
            counted[row["monitor"], event] += row[event]
    end = max(row["window_end"] for row in published)
    for name in ("availability", "latency"):
        slo = api.get(f"{MODEL}/slos/{name}", params={"as_of": end.isoformat()}).json()
        good, bad, unknown = (counted[name, event] for event in ("good", "bad", "unknown"))
        assert good + bad + unknown > 0
        if name == "latency":  # the other has a correction
            assert slo["detail"]["bad"] == bad
        assert slo["detail"]["total"] == good + bad + unknown
        assert slo["detail"]["unknown"] == unknown


def test_every_flip_is_published(lake: Path, api: TestClient) -> None:
    found = {row["flip_id"]: row for row in rows(lake, "alerts")}
    expected = items(api, "/v1/flips")
    assert {row["flip"] for row in found.values()} >= {"fired"}
    assert len(found) == len(expected) > 0
    for flip in expected:
        same = [
            row
            for row in found.values()
            if (row["monitor"], row["flip"], row["as_of"])
            == (flip["monitor"], flip["flip"], moment(flip["at"]))
        ]
        assert len(same) == 1
        assert same[0]["reason"] == flip["reason"]


def test_a_round_without_news_reads_two_statements_and_writes_nothing(
    lake: Path, sessions: sessionmaker[Session]
) -> None:
    with read_only(sessions) as session:
        before = {row.source: row.batch for row in session.scalars(select(Publication))}
        assert publication.due(session, SOURCES, NOW + DAY) == []
    assert publish_all(sessions, lake, NOW + DAY) == 0
    with read_only(sessions) as session:
        assert {one.source: one.batch for one in session.scalars(select(Publication))} == before


def test_late_labels_publish_the_changed_day_and_the_revised_findings_once_more(
    lake: Path, sessions: sessionmaker[Session], api: TestClient
) -> None:
    before = {name: rows(lake, name) for name in ("findings", "accuracy", "slo_slices")}
    late = {**label(30), "actual": {"load": [1.0, 1.0]}}
    assert api.post(f"{MODEL}/labels", json={"rows": [late]}).is_success
    later = NOW + DAY
    fold_all(sessions, later)
    archive_all(sessions, lake, later)
    join_all(sessions, lake, later)
    with read_only(sessions) as session:
        model_id = session.scalars(select(Model.id)).one()
    n_revised = reevaluate(sessions, Baselines(), model_id, later).n_revised

    publish_all(sessions, lake, later)

    after = {name: rows(lake, name) for name in before}
    for name, old in before.items():
        assert all(row in after[name] for row in old), f"{name}: rows are never changed"
    new = [row for row in after["accuracy"] if row not in before["accuracy"]]
    assert {row["recorded_at"] for row in new} <= {later}
    revised = [row for row in after["findings"] if row not in before["findings"]]
    assert n_revised >= 1
    assert sum(row["rev"] > 0 for row in revised) == n_revised
    current = {finding["id"]: finding for finding in items(api, f"{MODEL}/findings")}
    newest = world.newest(lake, "findings", "finding_id")
    assert {row["finding_id"]: row["value"] for row in newest} == {
        name: finding["value"] for name, finding in current.items()
    }
    days: dict[Any, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for row in world.newest(lake, "accuracy", "model_id, version, shadow, day"):
        days[row["day"].isoformat()][0] += (row["loss"] or 0.0) * row["n_labelled"]
        days[row["day"].isoformat()][1] += row["n_labelled"]
    for day in api.get(f"{MODEL}/accuracy").json()["days"]:
        loss, labelled = days[day["day"]]
        assert day["error"] == (pytest.approx(loss / labelled) if labelled else None)


def test_a_row_that_is_committed_while_a_batch_is_published_is_in_the_next_one(
    lake: Path, sessions: sessionmaker[Session]
) -> None:
    """Its `recorded_at` is before that of rows that are published already."""
    with unit_of_work(sessions) as session:
        old = session.scalars(select(Finding).order_by(Finding.as_of)).first()
        assert old is not None
        late = Finding(
            **{
                column.key: getattr(old, column.key)
                for column in Finding.__table__.columns
                if column.key not in ("id", "as_of", "publication")
            },
            as_of=old.as_of - 99 * DAY,
        )
        late.recorded_at = old.recorded_at - DAY
        session.add(late)
        session.flush()
        late_id = str(late.id)
    publish_all(sessions, lake, NOW + HOUR)
    assert [row["finding_id"] for row in rows(lake, "findings")].count(late_id) == 1


def test_deleting_a_model_removes_its_rows_and_no_others(
    lake: Path, sessions: sessionmaker[Session], api: TestClient, tmp_path: Path
) -> None:
    kept = results.add_model(sessions, "other")
    results.add(sessions, kept, 3)
    publish_all(sessions, lake, NOW)
    with unit_of_work(sessions) as session:
        session.execute(update(Rollout).values(phase=Phase.REJECTED, finished_at=NOW))
    model_id = rows(lake, "accuracy")[0]["model_id"]
    assert api.delete(MODEL).is_success

    places = Places(lake=lake, artifacts=tmp_path / "artifacts", reports=tmp_path / "reports")
    delete_files(sessions, places, f"{model_id} load", NOW)

    left = [row for table in TABLES for row in rows(lake, table.name)]
    assert {row["model"] for row in left} == {"other"}
    assert len(rows(lake, "findings")) == 3
