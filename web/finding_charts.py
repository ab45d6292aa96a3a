"""Charts of one finding."""

from collections.abc import Sequence
from datetime import datetime

from core.schema.zone import Zone
from services.read_models.explanations.errors import Errors
from services.read_models.explanations.features import FeatureMoved, Hour
from services.read_models.explanations.finding import Explanation
from services.read_models.explanations.nearby import Change, Sort
from web.charts import Chart, Mark, curve, midnight

# Regular changes, which the mean follows: a mark for each would hide the others.
_UNMARKED = (Sort.LATE, Sort.REPEATED)


def distribution(feature: FeatureMoved) -> Chart:
    """Draw two distributions over the values of one feature."""
    bars = [bar for bar in feature.bars if bar.low is not None and bar.high is not None]
    ends = tuple(bar.high for bar in bars[-1:] if bar.high is not None)
    reference, current = (
        [getattr(bar, which) for bar in bars] for which in ("reference", "current")
    )
    return Chart(
        x=(*(bar.low for bar in bars if bar.low is not None), *ends),
        series=(
            curve("Reference", (*reference, *reference[-1:]), "quiet", "area", axis="share"),
            curve("Window", (*current, *current[-1:]), "one", axis="share"),
        ),
        kind="value",
        is_stepped=True,
    )


def hours(feature: FeatureMoved) -> Chart:
    """Draw the mean of each hour of the day."""
    return _clock(feature.hours, "mean", "reference_mean", from_zero=False)


def hourly_counts(feature: FeatureMoved) -> Chart:
    """Draw how many values an hour has on a day."""
    return _clock(feature.hours, "per_day", "reference_per_day", from_zero=True)


def _clock(hours: Sequence[Hour], now: str, before: str, *, from_zero: bool) -> Chart:
    return Chart(
        x=tuple(float(hour.hour) for hour in hours),
        series=(
            curve("Reference", (getattr(hour, before) for hour in hours), "muted", "dashed"),
            curve("Window", (getattr(hour, now) for hour in hours), "one"),
        ),
        kind="clock",
        from_zero=from_zero,
    )


def days(feature: FeatureMoved, found: Explanation) -> Chart:
    """Draw the mean of each day, and events."""
    shown = [midnight(day.day) for day in feature.days]
    return Chart(
        x=tuple(shown),
        series=(
            curve(
                "Mean of the reference",
                (feature.reference_mean,) * len(shown),
                "muted",
                "dashed",
            ),
            curve("Mean of the day", (day.mean for day in feature.days), "one"),
        ),
        kind="day",
        marks=_marks(found, shown),
        from_zero=False,
    )


def steps(errors: Errors) -> Chart:
    """Draw the error at each step of the horizon."""
    return Chart(
        x=tuple(float(step.step) for step in errors.steps),
        series=(
            curve(
                "Four weeks before",
                (step.error_before for step in errors.steps),
                "muted",
                "dashed",
            ),
            curve("Window", (step.error for step in errors.steps), "one"),
        ),
        kind="step",
    )


def error_days(errors: Errors, found: Explanation) -> Chart:
    """Draw the error of each day, its limit, and events."""
    shown = [midnight(day.day) for day in errors.days]
    limit = curve("Limit", (found.threshold,) * len(shown), "limit", "dashed")
    error = curve("Error", (day.error for day in errors.days), "one")
    return Chart(x=tuple(shown), series=(limit, error), kind="day", marks=_marks(found, shown))


def _marks(found: Explanation, days: Sequence[float]) -> tuple[Mark, ...]:
    if not days:
        return ()
    zone = Zone(found.zone)
    begins = [Mark(x=_x(found.since, zone), label="since", tone="bad")] if found.since else []
    marks = [*begins, *(_mark(change, zone) for change in found.nearby if _is_marked(change))]
    inside = {(mark.x, mark.label): mark for mark in marks if days[0] <= mark.x <= days[-1]}
    return tuple(sorted(inside.values(), key=lambda mark: mark.x))


def _is_marked(change: Change) -> bool:
    return not change.is_wall and change.sort not in _UNMARKED


def _mark(change: Change, zone: Zone) -> Mark:
    return Mark(x=_x(change.at, zone), label=change.sort.value, tone="accent")


def _x(at: datetime, zone: Zone) -> float:
    """Return the position of a time on an axis of local days."""
    return zone.local(at).timestamp()
