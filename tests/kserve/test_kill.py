"""Whoever takes an event may die at any point: it is sent again, and counts once."""

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session, sessionmaker

from core.clock import utcnow
from services.kserve.pairing import sweep
from tests.killed import assert_killed
from tests.kserve.conftest import REQUEST, RESPONSE, V1, Logger, Stored, waiting
from tests.kserve.crashing import take

POINTS = [
    pytest.param(("db.queries.log.kserve", "add", "before"), 0, id="before the half is stored"),
    pytest.param(("db.queries.log.kserve", "add", "after"), 0, id="before it is committed"),
    pytest.param(
        ("db.queries.log.kserve", "pending_events", "before"), 1, id="before the other is found"
    ),
    pytest.param(("db.queries.log.inbox", "add_receipts", "before"), 1, id="before the batch"),
    pytest.param(("db.queries.log.inbox", "sign_of_life", "after"), 1, id="before its commit"),
    pytest.param(("db.queries.log.kserve", "forget", "before"), 1, id="before the halves go"),
    pytest.param(
        ("db.queries.log.kserve", "forget", "after"), 1, id="before that is committed"
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("then", ["sent again", "swept"])
@pytest.mark.parametrize(("point", "n_new"), POINTS)
def test_an_event_counts_once_wherever_its_taker_died(
    database_url: str,
    logger: Logger,
    stored: Stored,
    sessions: sessionmaker[Session],
    point: tuple[str, str, str],
    n_new: int,
    then: str,
) -> None:
    assert logger.binary(REQUEST, V1[0]).json()["outcome"] == "waiting"
    assert_killed(take, database_url, *point, RESPONSE)
    if then == "sent again":
        assert logger.binary(RESPONSE, V1[1]).json()["outcome"] in ("paired", "duplicate")
    later = utcnow() + timedelta(hours=1)
    sweep(sessions, lambda: later, timedelta(minutes=10))
    rows = stored()
    assert [row["prediction_id"] for row in rows] == ["e-1:0", "e-1:1"]
    # An event that died before it was kept was not acknowledged: only its sender has it.
    is_kept = then == "sent again" or n_new
    assert {row["status"] for row in rows} == {"ok" if is_kept else "error"}
    assert waiting(sessions) == []
