"""Evaluation in local time: the same days as in UTC, each once, and no finding of a change."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.schema.rows import Kind
from core.schema.zone import UTC_ZONE, Zone
from db.queries.log import contract_violations
from db.session import read_only, unit_of_work
from db.tables import Finding, LateDay, Model, SummaryRow
from monitors.finding import Outcome
from services.evaluation import failed_slots, schedule
from services.evaluation.backtest import BacktestRequest, run_backtest
from services.evaluation.reevaluate import evaluate_again
from services.retention.rebuild import Request, rebuild
from tests.late.world import BY_SHOP, NOW, World, in_shops, shuffled
from tests.zone.world import a_world, by_day, rows

N_REFERENCE, N_SERVED = 24, 9
PLAIN = ("accuracy", "data_quality", "input_drift", "input_fault", "prediction_drift")


def live(world: World, days: Sequence[Sequence[object]]) -> None:
    """Let days pass one by one, each evaluated when it has closed."""
    first, n_reference = N_REFERENCE // 2, N_REFERENCE
    for part in (days[:first], days[first:n_reference]):
        world.send(row for of_day in part for row in of_day)  # type: ignore[misc]
        world.work()
    for of_day in days[n_reference:]:
        world.send(of_day)  # type: ignore[arg-type]
        world.evaluate_slot()


def shifted(found: object, by: timedelta) -> object:
    """Return a finding's content with its times moved."""
    match found:
        case dict():
            return {key: shifted(value, by) for key, value in found.items()}
        case list() | tuple():
            return [shifted(value, by) for value in found]
        case str() if found.endswith("Z"):
            return (datetime.fromisoformat(found) + by).isoformat()
        case str():
            return found
        case _:
            return found


@pytest.mark.parametrize(
    "name", ["Asia/Tokyo", pytest.param("America/Phoenix", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_where_clocks_never_change_all_is_as_in_utc_but_for_the_offset(
    sessions: sessionmaker[Session], tmp_path: Path, name: str
) -> None:
    zone, first = Zone(name), date(2026, 1, 5)
    here = a_world(sessions, tmp_path, "here", zone, (first, N_REFERENCE))
    twin = a_world(sessions, tmp_path, "twin", UTC_ZONE, (first, N_REFERENCE))
    live(here, rows(zone, first, N_REFERENCE, N_SERVED))
    live(twin, rows(UTC_ZONE, first, N_REFERENCE, N_SERVED))

    by = zone.offset(datetime(2026, 1, 5, tzinfo=UTC))
    of_twin = by_day(twin, UTC_ZONE)
    found = by_day(here, zone)
    assert found.keys() == of_twin.keys()
    assert {day for _, day in found} >= {first + n * DAY for n in range(N_REFERENCE, 32)}
    for key, (*plain, cause, detail) in found.items():
        *of_plain, of_cause, of_detail = of_twin[key]
        assert plain == of_plain, key
        assert shifted(detail, by) == shifted(of_detail, timedelta()), key
        if "Z" not in str(cause):
            assert cause == of_cause, key
    for at in {row.as_of for row in here.rows(Finding)}:
        assert zone.local(at).hour == 0
    spans = {(row.window_end - row.window_start) // HOUR for row in here.rows(Finding)}
    assert spans == {(row.window_end - row.window_start) // HOUR for row in twin.rows(Finding)}


CHANGES = {
    "spring in Berlin": ("Europe/Berlin", date(2026, 3, 29), 23),
    "autumn in New York": ("America/New_York", date(2026, 11, 1), 25),
    "spring in Sydney": ("Australia/Sydney", date(2026, 10, 4), 23),
    "spring in London": ("Europe/London", date(2026, 3, 29), 23),
    "a day that begins at one": ("Africa/Cairo", date(2026, 4, 24), 23),
}
QUICK = {("spring in Berlin", "sqlite"), ("autumn in New York", "postgresql")}


@pytest.mark.parametrize(
    ("name", "change", "n_hours", "database_url"),
    [
        pytest.param(
            *change,
            database,
            id=f"{which}, {database}",
            marks=() if (which, database) in QUICK else pytest.mark.slow,
        )
        for which, change in CHANGES.items()
        for database in ("sqlite", "postgresql")
    ],
    indirect=["database_url"],
)
def test_each_day_around_a_clock_change_is_evaluated_once_and_found_as_without_one(
    sessions: sessionmaker[Session], tmp_path: Path, name: str, change: date, n_hours: int
) -> None:
    zone, first = Zone(name), change - (N_REFERENCE + 2) * DAY
    world = a_world(sessions, tmp_path, "here", zone, (first, N_REFERENCE), PLAIN)
    live(world, rows(zone, first, N_REFERENCE, N_SERVED))
    assert world.evaluate_slot() == 0

    found = world.rows(Finding)
    slots = sorted({row.as_of for row in found})
    served = [first + n * DAY for n in range(N_REFERENCE, N_REFERENCE + N_SERVED - 1)]
    assert slots == [zone.start(day + DAY) for day in served]
    assert len(found) == len(slots) * len(PLAIN)
    of_change = [row for row in found if row.as_of == zone.start(change + DAY)]
    one_day = [r for r in of_change if zone.start(change) == r.window_start]
    assert {(row.window_end - row.window_start) // HOUR for row in one_day} == {n_hours}
    verdicts = [row for row in of_change if row.outcome in (Outcome.OK, Outcome.BREACH)]
    assert len(verdicts) >= 3  # labels are not all in, and predictions are too few

    twin = a_world(sessions, tmp_path, "twin", UTC_ZONE, (first, N_REFERENCE), PLAIN)
    live(twin, rows(UTC_ZONE, first, N_REFERENCE, N_SERVED))
    of_twin = {key: found[0] for key, found in by_day(twin, UTC_ZONE).items()}
    assert {key: found[0] for key, found in by_day(world, zone).items()} == of_twin
    assert "breach" in of_twin.values()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("Europe/Berlin", date(2026, 10, 25)),
        pytest.param("Australia/Sydney", date(2026, 10, 4), marks=pytest.mark.slow),
    ],
)
def test_late_rows_around_a_clock_change_leave_what_rows_in_order_leave(
    sessions: sessionmaker[Session], tmp_path: Path, name: str, change: date
) -> None:
    zone, first = Zone(name), change - (N_REFERENCE + 2) * DAY
    days = in_shops(rows(zone, first, N_REFERENCE, N_SERVED))
    fields = {"features": BY_SHOP.features, "segment_by": "shop"}
    kinds = (*PLAIN, "segment_accuracy")
    in_order = a_world(sessions, tmp_path, "a", zone, (first, N_REFERENCE), kinds, **fields)
    live(in_order, days)
    in_order.reevaluate()
    late = a_world(sessions, tmp_path, "b", zone, (first, N_REFERENCE), kinds, **fields)
    live(late, shuffled(days, N_REFERENCE))
    assert late.rows(LateDay) != []
    assert late.reevaluate() > 0
    assert late.rows(LateDay) == []
    assert late.findings() == in_order.findings()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_backtest_and_a_rebuild_around_a_clock_change_find_what_was_found_live(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    zone, change = Zone("Europe/Berlin"), date(2026, 10, 25)
    first = change - (N_REFERENCE + 2) * DAY
    kinds = (*PLAIN, "window_profile", "residuals")
    world = a_world(sessions, tmp_path, "grid", zone, (first, N_REFERENCE), kinds)
    live(world, rows(zone, first, N_REFERENCE, N_SERVED))
    world.reevaluate()
    before = {(row.stream, row.start, row.version) for row in world.rows(SummaryRow)}
    found = world.findings()

    backtest = run_backtest(sessions, world.model_id, BacktestRequest())
    assert backtest.n_days == len({as_of for _, as_of in found})
    for record in backtest.records:
        own = [one[0] for (name, _), one in found.items() if name == record.monitor]
        assert record.n_breaches == own.count("breach"), record.monitor
        assert record.n_evaluated == own.count("breach") + own.count("ok"), record.monitor
    assert backtest.until == zone.start(first + (N_REFERENCE + N_SERVED - 1) * DAY)

    for since in (None, change):
        asked = Request(model_id=world.model_id, since=since)
        assert rebuild(sessions, tmp_path, asked, NOW) > 0
        after = {(row.stream, row.start, row.version) for row in world.rows(SummaryRow)}
        assert after == before, since
        world.reevaluate()
        again = world.findings()
        assert again.keys() == found.keys()
        for key, (outcome, value, *_) in found.items():  # sums in another order
            assert again[key][0] == outcome, (since, key)
            if value is not None:
                assert again[key][1] == pytest.approx(value, rel=1e-6), (since, key)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_failed_day_of_25_hours_is_evaluated_again(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    zone, change = Zone("Europe/Berlin"), date(2026, 10, 25)
    first = change - (N_REFERENCE + 2) * DAY
    world = a_world(sessions, tmp_path, "grid", zone, (first, N_REFERENCE), PLAIN)
    live(world, rows(zone, first, N_REFERENCE, 2))
    world.send(row for of_day in rows(zone, first, N_REFERENCE, 4)[-2:] for row in of_day)
    world.work()
    slot = zone.start(change + DAY)
    with read_only(sessions) as session:
        ends = [*schedule.due_of(session, session.get_one(Model, world.model_id))]
    assert ends == [zone.start(change), slot]
    for at in ends:
        failed_slots.record(sessions, world.model_id, at, "no reason", NOW)
    failed = [row for row in world.rows(Finding) if row.as_of == slot]
    assert {row.outcome.value for row in failed} == {"error"}
    assert {row.window_end - row.window_start for row in failed} == {25 * HOUR}
    with unit_of_work(sessions) as session:
        assert failed_slots.ask_again(session, "grid", slot, NOW) == [slot]
    for at in ends:
        assert evaluate_again(sessions, world.baselines, world.model_id, at, NOW)
    again = [row for row in world.rows(Finding) if row.as_of == slot]
    assert "error" not in {row.outcome.value for row in again}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_rows_of_two_days_of_utc_that_come_in_time_are_not_late(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    zone, first = Zone("America/Los_Angeles"), date(2026, 5, 1)
    world = a_world(sessions, tmp_path, "grid", zone, (first, 2), ("input_drift",))
    every = [row for of_day in rows(zone, first, 2, 2, lags=1) for row in of_day]
    for start in range(0, len(every), 7):
        world.send(every[start : start + 7])
        world.work()
        world.evaluate_slot()
        assert world.rows(LateDay) == []
    assert {of for of, _ in every} == {*Kind} - {Kind.EVENTS}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("Europe/London", date(2026, 3, 29)),
        ("America/New_York", date(2026, 11, 1)),
    ],
)
def test_each_refused_row_is_evaluated_once_although_they_are_counted_by_day_of_utc(
    sessions: sessionmaker[Session], tmp_path: Path, name: str, change: date
) -> None:
    zone, first = Zone(name), change - 4 * DAY
    kinds = ("contract_violations", "data_quality")
    world = a_world(sessions, tmp_path, "grid", zone, (first, 1), kinds)
    days = {first + n * DAY: 100 + n for n in range(9)}
    with unit_of_work(sessions) as session:
        counted = {(world.model_id, day, "range"): n for day, n in days.items()}
        contract_violations.add(session, counted)
    world.send(row for of_day in rows(zone, first, 1, 8, lags=1) for row in of_day)
    world.evaluate_slot()
    found = [row for row in world.rows(Finding) if "rows" not in row.detail]
    counts = [row.detail.get("by_reason", {}).get("range", 0) for row in found]
    begun, end = (zone.start(first + n * DAY).date() for n in (1, 8))
    assert sum(counts) == sum(n for day, n in days.items() if begun <= day < end)
    assert len(counts) == 7
    assert "error" not in {row.outcome.value for row in world.rows(Finding)}
