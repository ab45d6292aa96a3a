"""Definition of an SLO: tiers by share of the budget, periods of the calendar, refusals."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from core.durations import DAY, HOUR
from core.errors import Unprocessable
from monitors.slo.objective import BurnRateParams
from monitors.slo.period import CalendarPeriod, of_calendar
from monitors.slo.tiers import shares, tiers

PARAMS = BurnRateParams(objective=0.999)
TIGHT = Fraction(1, 1000)


@pytest.mark.parametrize(
    ("days", "factors"),
    [
        pytest.param(30, ["72/5", "6", "3", "1"], id="thirty days: 14.4, 6, 3, 1"),
        pytest.param(28, ["336/25", "28/5", "14/5", "14/15"], id="28 days: 13.44 to 0.9333"),
        pytest.param(
            7, ["336/25", "7/2", "7/5", "49/50"], id="a week, as Sloth: 13.44 to 0.98"
        ),
        pytest.param(14, ["336/25", "7/2", "7/5", "49/50"], id="two weeks as one"),
        pytest.param(90, ["216/5", "18", "9", "3"], id="ninety days spend the same shares"),
    ],
)
def test_factors_follow_from_shares_of_the_budget(days: int, factors: list[str]) -> None:
    """Complaints 6 and 20: other periods, and never the factors of 30 days for 7."""
    kept, left_out = tiers(days * DAY, TIGHT)
    assert [tier.factor for tier in kept] == [Fraction(one) for one in factors]
    assert left_out == ()


def test_a_tier_is_paged_or_a_ticket_by_its_windows() -> None:
    kept, _ = tiers(30 * DAY, TIGHT)
    assert [(one.severity.value, one.long / HOUR, one.short / HOUR) for one in kept] == [
        ("page", 1, 1 / 12),
        ("page", 6, 0.5),
        ("ticket", 24, 2),
        ("ticket", 72, 6),
    ]
    assert [float(share) for share in shares(7 * DAY)] == [0.08, 0.125, 0.2, 0.42]


@pytest.mark.parametrize(
    ("objective", "kept"),
    [
        pytest.param("0.9305", 3, id="14.4 needs more than 93.06 per cent"),
        pytest.param("0.9306", 4, id="with more it can fire"),
        pytest.param("0.8334", 3, id="6 needs 83.33 per cent"),
        pytest.param("0.8333", 2, id="with less it cannot fire"),
        pytest.param("0.6667", 2, id="3 needs 66.67 per cent"),
        pytest.param("0.6666", 1, id="a burn of 1 alone"),
    ],
)
def test_a_tier_that_a_total_outage_cannot_fire_is_left_out(objective: str, kept: int) -> None:
    """Complaint 1: it is never silent, but listed with its reason."""
    found, left_out = tiers(30 * DAY, 1 - Fraction(objective))
    assert len(found) == kept
    assert all("a total outage burns" in one.reason for one in left_out)
    assert len(found) + len(left_out) == 4


def test_a_period_shorter_than_a_window_has_no_such_tier() -> None:
    kept, left_out = tiers(2 * DAY, TIGHT)
    assert [tier.name for tier in kept] == ["page quick", "page slow"]
    assert [one.reason for one in left_out] == [
        "it would fire at 0.4 times the sustainable rate",
        "its window of 3 days is longer than the period",
    ]


NEW_YORK, KATHMANDU = "America/New_York", "Asia/Kathmandu"


@pytest.mark.parametrize(
    ("kind", "zone", "at", "start", "end"),
    [
        pytest.param(
            "week",
            NEW_YORK,
            "2026-03-08T06:59",
            "03-02T05:00",
            "03-09T04:00",
            id="an hour short",
        ),
        pytest.param(
            "week",
            NEW_YORK,
            "2026-11-01T12:00",
            "10-26T04:00",
            "11-02T05:00",
            id="an hour long",
        ),
        pytest.param(
            "month", NEW_YORK, "2026-03-31T12:00", "03-01T05:00", "04-01T04:00", id="March"
        ),
        pytest.param(
            "month",
            NEW_YORK,
            "2026-11-01T03:59",
            "10-01T04:00",
            "11-01T04:00",
            id="the last hour of October",
        ),
        pytest.param(
            "month",
            KATHMANDU,
            "2026-01-31T18:14",
            "12-31T18:15",
            "01-31T18:15",
            id="midnight at +5:45",
        ),
        pytest.param(
            "month",
            KATHMANDU,
            "2026-01-31T18:15",
            "01-31T18:15",
            "02-28T18:15",
            id="and the next month",
        ),
        pytest.param(
            "quarter", "UTC", "2026-05-05T00:00", "04-01T00:00", "07-01T00:00", id="a quarter"
        ),
        pytest.param(
            "year", "UTC", "2028-02-29T00:00", "01-01T00:00", "01-01T00:00", id="a leap year"
        ),
    ],
)
def test_a_period_of_the_calendar_begins_at_midnight_of_its_zone(
    kind: str, zone: str, at: str, start: str, end: str
) -> None:
    """Complaints 5, 15 and 22: a weekly reset, a month that is not 30 days, its true start."""
    found = of_calendar(CalendarPeriod(kind), zone, datetime.fromisoformat(f"{at}+00:00"))
    assert (found.start.strftime("%m-%dT%H:%M"), found.end.strftime("%m-%dT%H:%M")) == (
        start,
        end,
    )


@pytest.mark.parametrize("zone", [NEW_YORK, KATHMANDU, "UTC", "Pacific/Apia"])
@pytest.mark.parametrize("kind", [*CalendarPeriod])
def test_periods_of_the_calendar_follow_each_other_without_gap(
    kind: CalendarPeriod, zone: str
) -> None:
    at = datetime(2025, 12, 30, 12, tzinfo=UTC)
    found = of_calendar(kind, zone, at)
    while found.end < at + 400 * DAY:
        later = of_calendar(kind, zone, found.end)
        assert later.start == found.end
        assert of_calendar(kind, zone, found.end - timedelta.resolution) == found
        assert later.end - later.start <= kind.longest
        found = later


@pytest.mark.parametrize(
    ("params", "message"),
    [
        pytest.param(
            {"period": DAY, "objective": 0.1}, "can never fire", id="too large a budget"
        ),
        pytest.param({"objective": 1.0}, "in \\(0, 1\\)", id="no budget at all"),
        pytest.param({"period": 0 * DAY}, "at least P1D", id="no period"),
        pytest.param({"period": 367 * DAY}, "at most P366D", id="more than a year"),
        pytest.param({"max_staleness": 0 * DAY}, "positive", id="no pause at all"),
        pytest.param({"slice_width": 7 * HOUR}, "divide an hour", id="slices over hours"),
        pytest.param({"slice_width": timedelta(seconds=15)}, "PT10S", id="slices of halves"),
        pytest.param({"slice_target": 0.0}, "slice_target", id="all slices are good"),
        pytest.param({"min_failures": 0}, "min_failures", id="none is a failure"),
        pytest.param({"zone": "Mars/Base"}, "no time zone 'Mars/Base'", id="no such zone"),
        pytest.param({"sli": "joy"}, "known: availability, ", id="no such SLI"),
        pytest.param(
            {"sli": "latency", "sli_params": {"slower_than": "PT0S"}},
            "latency: slower_than must be positive",
            id="nothing is that fast",
        ),
        pytest.param(
            {"sli_params": {"slower_than": "PT1S"}},
            "availability: no slower_than",
            id="a parameter of another SLI",
        ),
    ],
)
def test_a_definition_that_cannot_be_evaluated_is_refused(
    params: dict[str, Any], message: str
) -> None:
    with pytest.raises((ValueError, Unprocessable), match=message):
        replace(PARAMS, **params)


def test_a_budget_is_exact() -> None:
    """No float: 1 - 0.999 is 0.0010000000000000009."""
    assert PARAMS.budget == TIGHT
