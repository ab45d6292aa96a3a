"""A reference that no evaluation could read is refused when it is stated."""

from datetime import UTC, datetime, timedelta

import pytest

from core.errors import Unprocessable
from core.window import MOST_STRETCHES, stretches

START, HOUR = datetime(2026, 1, 1, tzinfo=UTC), timedelta(hours=1)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("0001-01-01T00:00:00+14:00", "2026-01-01T00:00:00Z"),
        ("2026-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"),
        ("1990-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
    ],
)
def test_beyond_every_calendar_or_longer_than_twenty_years(start: str, end: str) -> None:
    with pytest.raises(Unprocessable, match="reference: "):
        stretches([(datetime.fromisoformat(start), datetime.fromisoformat(end))])


def test_more_than_are_read_at_once() -> None:
    bounds = [(START + 2 * i * HOUR, START + (2 * i + 1) * HOUR) for i in range(101)]
    assert len(stretches(bounds[:MOST_STRETCHES])) == MOST_STRETCHES
    with pytest.raises(Unprocessable, match="at most 100 stretches, not 101"):
        stretches(bounds)
