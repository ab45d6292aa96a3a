"""Holidays: fewer rows are expected, and pages name them."""

from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY
from core.schema.calendar import Calendar, Weekday
from core.schema.zone import Zone
from db.session import read_only
from db.tables import Finding
from monitors.finding import Outcome
from services.read_models.explanations.finding import explain
from services.read_models.explanations.nearby import Sort
from tests.late.world import NOW
from tests.zone.world import a_world, by_day, rows

FIRST, N_DAYS = date(2026, 2, 2), 40  # a Monday
HOLIDAY = date(2026, 3, 11)  # a Wednesday
BUSINESS = tuple(Weekday)[:5]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_holiday_with_few_rows_is_no_finding(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    zone, found = Zone("America/New_York"), {}
    calendars = {
        "plain": Calendar(business_days=BUSINESS),
        "holiday": Calendar(business_days=BUSINESS, holidays=(HOLIDAY,)),
    }
    days = rows(zone, FIRST, 1, N_DAYS, lags=1)[1:]
    for name, calendar in calendars.items():
        world = a_world(
            sessions, tmp_path, name, zone, (FIRST, 1), ("data_quality",), calendar=calendar
        )
        for number, of_day in enumerate(days, start=1):
            day = FIRST + number * DAY
            is_quiet = day.weekday() >= 5 or day == HOLIDAY
            world.send(of_day[: 2 * 3] if is_quiet else of_day)
        world.evaluate_slot()
        found[name] = by_day(world, zone)
    plain = found["plain"]["data_quality", HOLIDAY]
    assert (plain[0], plain[3]) == (Outcome.BREACH, "3 rows, baseline 24")
    assert found["holiday"]["data_quality", HOLIDAY][0] is not Outcome.BREACH
    outcomes = [one[0] for key, one in found["holiday"].items() if key[1] > FIRST + 14 * DAY]
    assert Outcome.BREACH not in outcomes
    assert len(outcomes) > 20


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_explanation_of_a_finding_names_a_holiday_and_days_of_the_zone(
    sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    zone, change = Zone("Europe/Berlin"), date(2026, 3, 29)
    first = change - 26 * DAY
    world = a_world(
        *(sessions, tmp_path, "grid", zone, (first, 24), ("input_drift", "accuracy")),
        calendar=Calendar(holidays=(change,)),
    )
    world.send(row for of_day in rows(zone, first, 24, 9) for row in of_day)
    world.evaluate_slot()
    breaches = [row for row in world.rows(Finding) if row.outcome is Outcome.BREACH]
    assert {row.as_of for row in breaches}
    for row in breaches:
        with read_only(sessions) as session:
            explanation = explain(session, tmp_path, row.id, None, NOW)
        assert explanation.zone == zone.name
        holidays = [one for one in explanation.nearby if one.sort is Sort.HOLIDAY]
        assert [one.at for one in holidays] == [zone.start(change)]
        assert explanation.nearby_start == zone.floor(explanation.nearby_start)
        last = zone.day_of(row.window_end - timedelta.resolution)
        for feature in explanation.features[:1]:
            assert [day.day for day in feature.days][-1] == last
            assert {day.n for day in feature.days if day.day > first + 24 * DAY} <= {24, 96}
            assert len(feature.hours) == 24
