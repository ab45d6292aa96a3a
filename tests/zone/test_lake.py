"""Days of local time and the log, whose files are by day of UTC."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.policy import Policy
from core.schema.rows import Kind
from core.schema.zone import Zone
from db.session import unit_of_work
from db.tables import Alert, DirtyDay, FlipRow, Model, SummaryRow
from services.labels.error_days import ERRORS, ERRORS_BY_SEGMENT, from_bytes
from services.retention.erasure import erase
from services.retention.retention import retain_all
from tests.archive.crashing import LATER
from tests.erasure.rows import want
from tests.late.world import BY_SHOP, NOW, Row, World, in_shops
from tests.streams import label
from tests.zone.world import a_world, rows

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
CHANGE = date(2026, 10, 25)  # of 25 hours in Berlin
FIRST = CHANGE - 4 * DAY


def served(zone: Zone, **fields: Any) -> list[list[Row]]:
    """Return rows of some days around the clock change, of which the first is past input."""
    days = rows(zone, FIRST, 1, 7, lags=1)
    return [[(kind, row | fields) for kind, row in of_day] for of_day in days]


def counted(world: World, stream: str = ERRORS.name) -> dict[date, int]:
    """Return how many predictions each local day had."""
    found = [row for row in world.rows(SummaryRow) if row.stream == stream]
    assert {row.start.astimezone(UTC).hour for row in found} <= {0}
    return {row.start.date(): from_bytes(row.payload).n_predictions for row in found}


def test_errors_are_of_local_days_of_23_24_or_25_hours(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    zone = Zone("Europe/Berlin")
    shops = {"features": BY_SHOP.features, "segment_by": "shop"}
    world = a_world(sessions, tmp_path, "grid", zone, (FIRST, 1), ("accuracy",), **shops)
    world.send(row for of_day in in_shops(served(zone)) for row in of_day)
    world.work()
    days = {FIRST + n * DAY: 3 * (25 if FIRST + n * DAY == CHANGE else 24) for n in range(1, 8)}
    assert counted(world) == counted(world, ERRORS_BY_SEGMENT.name) == days
    assert world.rows(DirtyDay) == []


@pytest.mark.parametrize("hour", [22, 23])  # of UTC: 00 and 01 of the next day in Berlin
def test_an_erased_row_leaves_the_local_day_that_it_was_of(
    sessions: sessionmaker[Session], tmp_path: Path, hour: int
) -> None:
    zone = Zone("Europe/Berlin")
    world = a_world(sessions, tmp_path, "grid", zone, (FIRST, 1), ("accuracy",))
    at = datetime(2026, 10, 24, hour, tzinfo=UTC)
    for of_day in served(zone):
        world.send(
            (kind, row | {"session_id": "gone"} if row.get("at") == at else row)
            for kind, row in of_day
        )
    world.work()
    before = counted(world)
    want(sessions, world.model_id, "session_id", "gone")
    assert erase(sessions, tmp_path, world.model_id, LATER) == 1
    world.work()
    assert counted(world) == before | {CHANGE: before[CHANGE] - 1}


@pytest.mark.parametrize("name", ["Asia/Tokyo", "America/Los_Angeles", "Europe/Berlin"])
def test_what_was_counted_of_a_day_stays_when_its_first_hours_are_dropped(
    sessions: sessionmaker[Session], tmp_path: Path, name: str
) -> None:
    zone = Zone(name)
    world = a_world(sessions, tmp_path, "grid", zone, (FIRST, 1), ("accuracy",))
    every = [row for of_day in rows(zone, FIRST, 1, 20, lags=1) for row in of_day]
    world.send(every)
    world.work()
    before = counted(world)
    with unit_of_work(sessions) as session:
        session.get_one(Model, world.model_id).policy = Policy(keep_rows=17 * DAY)
    assert retain_all(sessions, tmp_path, NOW) > 0
    times = [row["at"] for kind, row in every if kind is Kind.PREDICTIONS]
    world.send((Kind.LABELS, label(at, [9.0], arrived_at=at + 3 * DAY)) for at in times)
    world.work()
    assert counted(world) == before


def test_history_is_evaluated_by_local_days_without_notifications(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    zone = Zone("Europe/Berlin")
    world = a_world(sessions, tmp_path, "grid", zone, (FIRST, 1), ("data_quality",))
    until = zone.start(CHANGE + 3 * DAY)
    with unit_of_work(sessions) as session:
        session.get_one(Model, world.model_id).history_until = until
    days = served(zone)
    quiet = [of_day[: 2 * 4] if number == 5 else of_day for number, of_day in enumerate(days)]
    world.send(row for of_day in quiet for row in of_day)
    world.evaluate_slot()
    slots = sorted({as_of for _, as_of in world.findings()})
    assert slots == [zone.start(FIRST + n * DAY) for n in range(2, 8)]
    assert CHANGE + DAY in {zone.day_of(slot) for slot in slots}
    assert slots[3] - slots[2] == 25 * HOUR
    assert world.rows(FlipRow) == []
    assert world.rows(Alert) == []
