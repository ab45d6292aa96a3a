"""Local time: conversion, and hours that clocks skip or show twice."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from core.durations import HOUR
from core.errors import Unprocessable
from core.schema.zone import UTC_ZONE, Zone, changes
from monitors.summaries.hourly import hourly
from monitors.summaries.local_time import in_local_time, local_hours, local_micros
from monitors.summaries.summary import Edges, N, Summary, chunk_at
from monitors.summaries.values import Column, summarise

ZONES = (
    *("Europe/Berlin", "Europe/London", "America/New_York", "Australia/Sydney"),
    *("Australia/Lord_Howe", "Asia/Kolkata", "Asia/Kathmandu", "Africa/Casablanca"),
    *("America/Sao_Paulo", "Atlantic/Azores", "Pacific/Apia", "Pacific/Kiritimati"),
    *("America/St_Johns", "Africa/Cairo", "Asia/Beirut", "UTC", "Etc/UTC"),
)


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize("year", [2011, 2018, 2026])
def test_the_days_of_a_year_follow_each_other_without_a_gap(name: str, year: int) -> None:
    zone, first = Zone(name), date(year, 1, 1)
    start, end = zone.start(first), zone.start(date(year + 1, 1, 1))
    ends = [*zone.ends(start, end)]
    assert ends[-1] == end
    at, day = start, first
    for after in ends:
        is_left_out = zone.start(day) == zone.start(day + timedelta(days=1))
        day += timedelta(days=2 if is_left_out else 1)
        assert zone.start(day) == after == zone.floor(after)
        assert timedelta(hours=22) < after - at < timedelta(hours=26)
        assert zone.later(after, -timedelta(days=1)) == at or is_left_out
        assert {zone.day_of(at), zone.day_of(after - HOUR)} == {day - timedelta(days=1)}
        assert zone.utc(zone.local(after)) == after
        at = after


@pytest.mark.parametrize("name", ZONES)
def test_hours_are_converted_one_by_one_and_all_together_alike(name: str) -> None:
    zone = Zone(name)
    hours = chunk_at(datetime(2026, 1, 1, tzinfo=UTC)) + np.arange(366 * 24)
    at = [datetime(1970, 1, 1, tzinfo=UTC) + int(hour) * HOUR for hour in hours]
    local = [chunk_at(one + zone.offset(one)) for one in at]
    assert local_hours(hours, zone).tolist() == local
    assert local_hours(hours[:0], zone).size == 0
    micros = hours * 3_600_000_000 + 1
    assert local_micros(micros, zone).tolist() == [h * 3_600_000_000 + 1 for h in local]


def test_offsets_that_are_no_whole_hours_are_rounded() -> None:
    midsummer = datetime(2026, 7, 1, tzinfo=UTC)
    offsets = {name: Zone(name).offset(midsummer) / HOUR for name in ZONES}
    assert offsets["Asia/Kolkata"] == 6  # 5:30
    assert offsets["Asia/Kathmandu"] == 6  # 5:45
    assert offsets["America/St_Johns"] == -2  # -2:30
    year = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    assert len(changes(Zone("Australia/Lord_Howe"), *year)) == 1  # 10:30 and 11:00 are 11


def test_a_day_that_a_zone_has_left_out_is_the_next_one() -> None:
    samoa = Zone("Pacific/Apia")
    assert samoa.bounds(date(2011, 12, 30)) == samoa.bounds(date(2011, 12, 31))
    assert date(2011, 12, 30) not in samoa.overlapping([date(2011, 12, n) for n in (29, 30)])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param("Europe/Berln", "similar: Europe/Berlin", id="misspelt"),
        pytest.param("", "take an IANA name", id="empty"),
        pytest.param("../etc/passwd", "no time zone", id="a path"),
        pytest.param("Mars/Olympus", "no time zone", id="far away"),
        pytest.param("utc", "similar: .*UTC", id="in another case"),
        pytest.param("Berlin", "similar: Europe/Berlin", id="only the city"),
    ],
)
def test_an_unknown_zone_is_refused(name: str, reason: str) -> None:
    with pytest.raises(Unprocessable, match=reason):
        Zone(name)


def of_hours(first: datetime, values: list[float]) -> Summary:
    """Return the summary of one value an hour."""
    edges = Edges(names=("x",), values=np.array([[0.0, 10.0]]))
    chunks = chunk_at(first) + np.arange(len(values))
    column = Column(
        values=np.array(values), chunks=chunks, repeats=np.zeros(len(values), dtype=bool)
    )
    return summarise([column], edges)


def on_local_hours(summary: Summary, zone: Zone, day: date) -> tuple[list[float], list[float]]:
    """Return the means and counts of a local day."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    grid = hourly(in_local_time(summary, zone), ("x",), start, start + timedelta(days=1))
    return grid.mean[:, 0].tolist(), grid.n[:, 0].tolist()


def test_an_hour_that_clocks_skip_is_interpolated() -> None:
    berlin, day = Zone("Europe/Berlin"), date(2026, 3, 29)
    values = [float(n) for n in range(23)]
    summary = of_hours(berlin.start(day), values)
    mean, n = on_local_hours(summary, berlin, day)
    assert mean == [0.0, 1.0, 1.5, *values[2:]]
    assert n == [1.0] * 24


def test_an_hour_that_clocks_skip_stays_empty_beside_an_hour_without_values() -> None:
    berlin, day = Zone("Europe/Berlin"), date(2026, 3, 29)
    summary = of_hours(berlin.start(day) + 2 * HOUR, [5.0] * 21)
    mean, n = on_local_hours(summary, berlin, day)
    assert n == [0.0] * 3 + [1.0] * 21
    assert np.isnan(mean[:3]).all()


def test_two_hours_that_show_the_same_time_are_one() -> None:
    berlin, day = Zone("Europe/Berlin"), date(2026, 10, 25)
    values = [float(n) for n in range(25)]
    mean, n = on_local_hours(of_hours(berlin.start(day), values), berlin, day)
    assert mean == [0.0, 1.0, 2.5, *values[4:]]
    assert n == [1.0, 1.0, 2.0, *[1.0] * 21]


def test_nothing_is_copied_of_a_model_in_utc() -> None:
    summary = of_hours(datetime(2026, 3, 29, tzinfo=UTC), [1.0] * 24)
    assert in_local_time(summary, UTC_ZONE) is summary


def test_segments_are_moved_each_for_itself() -> None:
    berlin, day = Zone("Europe/Berlin"), date(2026, 3, 29)
    one = of_hours(berlin.start(day), [float(n) for n in range(23)])
    both = Summary(
        chunks=np.repeat(one.chunks * 4, 2) + np.tile([1, 2], 23),
        moments=np.repeat(one.moments, 2, axis=0),
        counts=np.repeat(one.counts, 2, axis=0),
    )
    moved, alone = in_local_time(both, berlin, 4), in_local_time(one, berlin)
    assert (moved.chunks[::2] // 4 == alone.chunks).all()
    assert (moved.chunks % 4 == np.tile([1, 2], 24)).all()
    assert (moved.moments[1::2] == alone.moments).all()
    assert (moved.moments[..., N] == 1).all()
