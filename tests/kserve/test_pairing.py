"""Two events of KServe's logger are one batch of predictions."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from api.main import create_app
from core.clock import utcnow
from core.settings import Settings
from db.queries.log import row_counters
from db.session import read_only
from db.tables import Model, Quarantine
from services.kserve.pairing import UNANSWERED, UNASKED, sweep
from tests.databases import ON_SQLITE
from tests.kserve.conftest import REQUEST, RESPONSE, V1, V2, Logger, Stored, waiting

WAIT = timedelta(minutes=10)


@pytest.mark.parametrize("mode", ["binary", "structured"])
@pytest.mark.parametrize("order", [[0, 1], [1, 0]], ids=["request first", "response first"])
@pytest.mark.parametrize("protocol", [V1, V2], ids=["v1", "v2"])
def test_two_events_make_one_batch(
    logger: Logger,
    stored: Stored,
    sessions: sessionmaker[Session],
    mode: str,
    order: list[int],
    protocol: tuple[Any, Any],
) -> None:
    send = getattr(logger, mode)
    first, second = [send([REQUEST, RESPONSE][part], protocol[part]) for part in order]
    assert (first.status_code, first.json()["outcome"]) == (200, "waiting")
    assert second.json() == {
        "outcome": "paired",
        "accepted": 2,
        "duplicate": False,
        "duplicates": [],
        "quarantined": 0,
        "errors": [],
    }
    rows = stored()
    assert [row["prediction_id"] for row in rows] == ["e-1:0", "e-1:1"]
    assert rows[0]["features"] == {"load": [1.0, 2.0, 3.0], "temp": [10.0, 20.0, 30.0]}
    assert rows[1]["features"] == {"load": [4.0, 5.0, 6.0], "temp": [40.0, 50.0, 60.0]}
    assert [row["output"] for row in rows] == [{"load": [7.0, 8.0]}, {"load": [9.0, 10.0]}]
    assert rows[0]["at"] == datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)
    assert rows[0]["latency_seconds"] == pytest.approx(0.25)
    assert {(row["version"], row["status"], row["batch_size"]) for row in rows} == {
        ("v1", "ok", 2)
    }
    assert waiting(sessions) == []


def test_a_half_twice_changes_nothing(
    logger: Logger, stored: Stored, sessions: sessionmaker[Session]
) -> None:
    assert logger.binary(REQUEST, V1[0]).json()["outcome"] == "waiting"
    other = {"instances": [[[0, 0]]]}
    assert logger.binary(REQUEST, other).json()["outcome"] == "duplicate"
    assert logger.structured(REQUEST, V1[0]).json()["outcome"] == "duplicate"
    assert logger.binary(RESPONSE, V1[1]).json()["outcome"] == "paired"
    for kind, payload in ((REQUEST, V1[0]), (RESPONSE, V1[1]), (REQUEST, V1[0])):
        assert logger.binary(kind, payload).json()["outcome"] == "duplicate"
    assert [row["features"]["load"][0] for row in stored()] == [1.0, 4.0]
    assert waiting(sessions) == []


def test_events_find_each_other_across_restarts_and_replicas(
    settings: Settings,
    sessions: sessionmaker[Session],
    model: str,
    token: str,
    stored: Stored,
) -> None:
    outcomes = []
    for kind, payload in ((REQUEST, V1[0]), (RESPONSE, V1[1])):
        with TestClient(create_app(settings, sessions)) as replica:
            replica.headers["Authorization"] = f"Bearer {token}"
            outcomes.append(Logger(replica).binary(kind, payload).json()["outcome"])
    assert outcomes == ["waiting", "paired"]
    assert len(stored()) == 2


def test_events_that_come_at_the_same_moment_make_exactly_one_prediction(
    settings: Settings,
    sessions: sessionmaker[Session],
    model: str,
    token: str,
    stored: Stored,
) -> None:
    n_pairs, outcomes = 40, []
    parties = threading.Barrier(2, timeout=60)

    def send(kind: str, payload: object) -> None:
        with TestClient(create_app(settings, sessions)) as replica:
            replica.headers["Authorization"] = f"Bearer {token}"
            logger = Logger(replica)
            for i in range(n_pairs):
                parties.wait()
                outcomes.append(logger.binary(kind, payload, id=f"e-{i}").json()["outcome"])

    one = {"instances": [[[1, 2]]]}, {"predictions": [[1, 2]]}
    threads = [
        threading.Thread(target=send, args=(kind, payload))
        for kind, payload in zip((REQUEST, RESPONSE), one, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 2 * n_pairs
    assert outcomes.count("paired") >= n_pairs
    assert sorted(row["prediction_id"] for row in stored()) == sorted(
        f"e-{i}" for i in range(n_pairs)
    )
    assert waiting(sessions) == []


@ON_SQLITE
def test_a_half_waits_no_longer_when_the_clock_is_set_back(
    logger: Logger, sessions: sessionmaker[Session], model: str
) -> None:
    logger.binary(REQUEST, V1[0], id="asked")
    now = utcnow() - timedelta(hours=1)
    assert sweep(sessions, lambda: now, WAIT) == 0
    assert sweep(sessions, lambda: now + WAIT, WAIT) == 1


def test_an_unpaired_event_becomes_a_row_of_its_own_content(
    logger: Logger, stored: Stored, sessions: sessionmaker[Session], model: str
) -> None:
    logger.binary(REQUEST, V1[0], id="asked")
    logger.binary(RESPONSE, V1[1], id="answered")
    now = utcnow()
    assert sweep(sessions, lambda: now, WAIT) == 0
    assert len(waiting(sessions)) == 2
    assert sweep(sessions, lambda: now + WAIT, WAIT) == 2
    assert sweep(sessions, lambda: now + WAIT, WAIT) == 0
    assert waiting(sessions) == []
    rows = stored()
    assert [row["prediction_id"] for row in rows] == ["asked:0", "asked:1"]
    assert {(row["status"], row["output"] is None) for row in rows} == {("error", True)}
    with read_only(sessions) as session:
        bad = {(row.field, row.reason) for row in session.scalars(select(Quarantine))}
        model_id = session.scalars(select(Model.id)).one()
        counted = row_counters.of_model(session, model_id)
    assert bad == {("features", "no request came for this response")}
    assert (counted[UNANSWERED], counted[UNASKED]) == (1, 1)
    # Whoever comes now comes too late.
    assert logger.binary(RESPONSE, V1[1], id="asked").json()["outcome"] == "duplicate"
    assert logger.binary(REQUEST, V1[0], id="answered").json()["outcome"] == "duplicate"
    assert len(stored()) == 2
    assert waiting(sessions) == []
