"""What the run has shown, as a table and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np

from cli.demo.receiver import Message
from cli.demo.stage import MODEL
from cli.demo.timeline import Entry, Timeline
from examples.forecaster.stream import Stream
from examples.forecaster.world import N_HISTORY, Kind, Scenario, time_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Figures of one run. Days are event days from the change; errors are standardised.

    Attributes
    ----------
    pages
        What the webhook receiver was paged with: the cause of each, in order.
    is_as_expected
        Whether the story ended as it must for its kind.
    """

    kind: str
    n_days: int
    finding_after: float | None
    page_after: float | None
    retrained_after: float | None
    promoted_after: float | None
    recovered_after: float | None
    error_before: float | None
    error_during: float | None
    error_after: float | None
    n_drift_episodes: int
    n_temporal_pattern_episodes: int
    n_retrains: int
    phases: tuple[str, ...]
    pages: tuple[str, ...]
    is_as_expected: bool

    def to_json(self) -> dict[str, Any]:
        """Return the form that is written to a file."""
        return asdict(self)


def summarise(
    stream: Stream,
    timeline: Timeline,
    scenario: Scenario,
    n_days: int,
    messages: Sequence[Message],
) -> Result:
    """Compute the figures of the result from the stream and the timeline."""
    has_change = scenario.kind is not Kind.NONE
    change = time_of(scenario.at if has_change else N_HISTORY + 24 * n_days)
    errors = np.array([stream.served_error(day) for day in range(n_days)])
    days = np.array([time_of(N_HISTORY + 24 * day) for day in range(n_days)])
    promoted = _last(timeline, "canary_passed")
    before = _mean(errors[days < change])
    after = errors[days > promoted.at] if promoted else np.array([])
    pages = [m.content for m in messages if _is_page(m) and m.content["model"] == MODEL]
    events = [e.name for e in timeline.entries if e.sort == "rollout"]
    n_retrains = max(0, events.count("requested") - 1)  # the first version is no retraining
    return Result(
        kind=scenario.kind.value,
        n_days=n_days,
        finding_after=_days(change, _after(timeline, change, "finding")),
        page_after=_days(change, _after(timeline, change, "page")),
        retrained_after=_days(change, _after(timeline, change, "rollout", "trained")),
        promoted_after=_days(change, promoted),
        recovered_after=_days(change, _after(timeline, change, "resolved", "accuracy")),
        error_before=before,
        error_during=_mean(
            errors[(days > change) & (days <= (promoted.at if promoted else days[-1]))]
        ),
        error_after=_mean(after),
        n_drift_episodes=timeline.count("ticket", "input_drift"),
        n_temporal_pattern_episodes=timeline.count("ticket", "temporal_pattern"),
        n_retrains=n_retrains,
        phases=tuple(events),
        pages=tuple(str(page["cause"]) for page in pages),
        is_as_expected=_is_as_expected(scenario, events, n_retrains, pages),
    )


def render(result: Result, scenario: Scenario, seconds: float) -> str:
    """Return the table that ends a run: of each kind, what matters to it."""
    rows = [
        *_rows(result, scenario.kind),
        ("pages", str(len(result.pages))),
        ("retrainings", str(result.n_retrains)),
        ("event days streamed", f"{result.n_days} in {seconds:.0f} s"),
    ]
    lines = ["", "-" * 58, *(f"{name:<32}{value:>26}" for name, value in rows), "-" * 58]
    ending = "as it must" if result.is_as_expected else "NOT as it must"
    return "\n".join([*lines, f"The run ended {ending}."])


def _rows(result: Result, kind: Kind) -> list[tuple[str, str]]:
    before = _error_text(result.error_before)
    if kind is Kind.NONE:
        promised = f"(promised: at most {result.n_days / 90:.1f})"
        return [
            ("error", before),
            ("drift episodes", f"{result.n_drift_episodes} {promised}"),
            ("sequence episodes", f"{result.n_temporal_pattern_episodes} {promised}"),
        ]
    common = [
        ("error before the change", before),
        ("first finding", _after_text(result.finding_after)),
        ("page", _after_text(result.page_after)),
    ]
    if kind is Kind.FAULT:
        return [*common, ("error with the broken sensor", _error_text(result.error_during))]
    return [
        *common,
        ("retrained", _after_text(result.retrained_after)),
        ("promoted", _after_text(result.promoted_after)),
        ("error back under its objective", _after_text(result.recovered_after)),
        ("error until promotion", _error_text(result.error_during)),
        ("error after promotion", _error_text(result.error_after)),
    ]


def _is_as_expected(
    scenario: Scenario, events: Sequence[str], n_retrains: int, pages: Sequence[dict[str, Any]]
) -> bool:
    match scenario.kind:
        case Kind.NONE:
            return not pages and n_retrains == 0
        case Kind.FAULT:
            named = any(scenario.channel in str(page["cause"]) for page in pages)
            return named and n_retrains == 0
        case Kind.SHIFT:
            return "canary_passed" in events


def _is_page(message: Message) -> bool:
    return message.type == "alert.firing" and message.content.get("severity") == "page"


def _last(timeline: Timeline, name: str) -> Entry | None:
    found = [e for e in timeline.entries if e.sort == "rollout" and e.name == name]
    return found[-1] if found else None


def _after(timeline: Timeline, at: datetime, sort: str, *names: str) -> Entry | None:
    found = (e for e in timeline.entries if e.sort == sort and e.at > at)
    return next((e for e in found if not names or e.name in names), None)


def _days(change: datetime, entry: Entry | None) -> float | None:
    return None if entry is None else (entry.at - change).total_seconds() / 86_400


def _error_text(error: float | None) -> str:
    return "unknown" if error is None else f"{error:.3f} SD"


def _after_text(days: float | None) -> str:
    return "never" if days is None else f"{days:.1f} days after"


def _mean(values: np.ndarray[Any, np.dtype[np.float64]]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None
