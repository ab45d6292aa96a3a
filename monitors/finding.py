"""Finding: the result of one evaluation of a monitor."""

import math
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any

import msgspec

from core.window import Window
from monitors.detail import Detail


class Outcome(StrEnum):
    """How one evaluation ended. `NO_DATA` and `ERROR` are never `OK`."""

    OK = "ok"
    BREACH = "breach"
    NO_DATA = "no_data"
    ERROR = "error"


class Severity(StrEnum):
    """Who is notified: the one who is on call, now, or the team, in working hours."""

    PAGE = "page"
    TICKET = "ticket"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One monitor's verdict on one window.

    Attributes
    ----------
    outcome
        The verdict.
    value, threshold
        What was measured and what it was compared with, in the monitor's
        unit; a breach is `value > threshold`. None where there is none.
    window
        The event time that was evaluated.
    cause
        One sentence: what changed, by how much, since when.
    detail
        What explains the verdict, as the kind declares it.
    severities
        At which severities a breach is one: the alerts of the monitor at the others see `ok`.
        None: at each.
    """

    outcome: Outcome
    value: float | None = None
    threshold: float | None = None
    window: Window
    cause: str = ""
    detail: Detail = field(default_factory=Detail)
    severities: tuple[Severity, ...] | None = None

    def outcome_at(self, severity: str) -> Outcome:
        """Return the verdict for the alert of one severity.

        Examples
        --------
        >>> from datetime import UTC, datetime
        >>> window = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
        >>> slow = Finding(outcome=Outcome.BREACH, window=window, severities=(Severity.TICKET,))
        >>> str(slow.outcome_at("page")), str(slow.outcome_at("ticket"))
        ('ok', 'breach')
        """
        if self.outcome is not Outcome.BREACH or self.severities is None:
            return self.outcome
        return Outcome.BREACH if severity in self.severities else Outcome.OK

    @classmethod
    def of(
        cls, value: float, threshold: float, window: Window, cause: str, detail: Detail
    ) -> "Finding":
        """Return the finding of a value that was compared; the cause is that of a breach."""
        breach = value > threshold
        return cls(
            outcome=Outcome.BREACH if breach else Outcome.OK,
            value=value,
            threshold=threshold,
            window=window,
            cause=cause if breach else "",
            detail=detail,
        )

    def with_figures(self, **figures: Any) -> "Finding":
        """Return the finding with more figures in its detail."""
        return replace(self, detail=msgspec.structs.replace(self.detail, **figures))


def as_json(number: float) -> float | None:
    """Return `number` for a finding's detail: JSON has no NaN and no infinity.

    Examples
    --------
    >>> as_json(1.5), as_json(float("nan"))
    (1.5, None)
    """
    value = float(number)
    return value if abs(value) < float("inf") else None


def figure(value: float, unit: float) -> str:
    """Write a value with four digits, or with as many as distinguish it from one a unit away.

    Parameters
    ----------
    value
        Such as a mean.
    unit
        Such as a standard deviation; positive.

    Examples
    --------
    >>> figure(5.25, 0.5), figure(1e9 + 5.25, 0.5), figure(5.25e-12, 5e-13)
    ('5.25', '1000000005.25', '5.25e-12')
    """
    ratio = abs(value) / unit if unit > 0 else 0.0
    digits = math.ceil(math.log10(ratio)) + 3 if 1 < ratio < math.inf else 0
    return f"{value:.{min(max(digits, 4), 17)}g}"


def in_words(duration: timedelta) -> str:
    """Return a duration for people.

    Examples
    --------
    >>> in_words(timedelta(minutes=5)), in_words(timedelta(hours=50))
    ('5 min', '2 days')
    """
    minutes = duration.total_seconds() / 60
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.0f} h" if minutes < 2880 else f"{minutes / 1440:.0f} days"
