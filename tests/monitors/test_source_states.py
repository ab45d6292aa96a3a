"""A source that stops, fails, is overdue or changes: found by the clock, and named."""

from datetime import UTC, datetime
from typing import Any

import pytest

from core.durations import DAY, HOUR, MINUTE
from core.errors import Unprocessable
from monitors.finding import Outcome
from monitors.registry import parse
from monitors.slo.source_states import SourceParams, SourceState, evaluate

NOW = datetime(2026, 1, 8, tzinfo=UTC)
HOURLY = tuple(NOW - HOUR * n for n in reversed(range(48)))


def state(**more: Any) -> SourceState:
    fine: dict[str, Any] = {
        "name": "s",
        "every": 10 * MINUTE,
        "expect_within": None,
        "since": NOW - 9 * DAY,
        "row_at": NOW,
        "pulled_at": NOW,
        "arrivals": HOURLY,
    }
    return SourceState(**fine | more)


@pytest.mark.parametrize(
    ("of", "fault"),
    [
        pytest.param(state(), None, id="fine"),
        pytest.param(state(pulled_at=NOW + 2 * HOUR), None, id="as late as before"),
        pytest.param(state(pulled_at=NOW + 3 * HOUR), "stopped", id="later than before"),
        pytest.param(
            state(expect_within=HOUR, pulled_at=NOW + 2 * HOUR), "stopped", id="stated"
        ),
        pytest.param(
            state(expect_within=DAY, pulled_at=NOW + 3 * HOUR), None, id="stated long"
        ),
        pytest.param(
            state(arrivals=HOURLY[:9], pulled_at=NOW + DAY), None, id="too few arrivals"
        ),
        pytest.param(
            state(arrivals=HOURLY[:20], pulled_at=NOW + DAY), None, id="of less than a day"
        ),
        pytest.param(state(arrivals=(), row_at=None), None, id="no row yet"),
        pytest.param(state(row_at=None, expect_within=DAY), "stopped", id="never a row"),
        pytest.param(state(pulled_at=None, row_at=None), None, id="not pulled yet"),
        pytest.param(state(n_failures=2, error="E"), None, id="fails"),
        pytest.param(state(n_failures=3, error="E"), "failing", id="fails again and again"),
        pytest.param(state(overdue=15 * MINUTE), None, id="a little late"),
        pytest.param(state(overdue=16 * MINUTE), "overdue", id="overdue"),
        pytest.param(state(overdue=HOUR, every=2 * HOUR), None, id="late for its interval"),
        pytest.param(state(changed="column x is missing"), "columns", id="changed"),
        pytest.param(state(new_columns=("y",)), None, id="new columns are noted"),
    ],
)
def test_what_is_wrong_with_a_source(of: SourceState, fault: str | None) -> None:
    found = evaluate([state(name="other"), of], SourceParams(), NOW + DAY)
    named = [] if fault is None else [{"source": "s", "fault": fault}]
    assert found.detail.to_json().get("sources", []) == named
    assert found.outcome is (Outcome.OK if fault is None else Outcome.BREACH)
    assert found.cause.startswith("s: " if fault else "")


def test_of_many_sources_the_first_five_are_named() -> None:
    bad = [state(name=f"s{n}", changed="gone") for n in range(7)]
    found = evaluate(bad, SourceParams(), NOW)
    assert found.cause == "s0: gone; s1: gone; s2: gone; s3: gone; s4: gone; 2 more"
    assert found.value == 7.0
    assert evaluate([], SourceParams(), NOW).outcome is Outcome.OK


@pytest.mark.parametrize("params", [{"longer": 0.5}, {"failures": 0}, {"failures": "3"}])
def test_parameters_that_are_none_are_refused(params: dict[str, object]) -> None:
    with pytest.raises(Unprocessable, match="source: "):
        parse("source", params)
