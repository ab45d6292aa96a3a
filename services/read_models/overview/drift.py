"""Drift scores by feature and event day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from core.schema.zone import Zone
from db.tables import Finding
from monitors.drift.input_drift import DriftDetail, FeatureDrift
from monitors.finding import Outcome
from monitors.kinds.input_drift import KIND

LISTED = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureDays:
    """The drift of one feature: a score for each day of the table, None where not evaluated."""

    name: str
    scores: tuple[float | None, ...]
    now: FeatureDrift


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftTable:
    """Scores by feature and day, the features that moved most first.

    Attributes
    ----------
    outcomes
        What was found on each day, over all features together.
    threshold
        The score above which a day was a breach, at the last evaluation.
    n_more
        Features that moved less than those that are listed: with segments
        there are many.
    """

    days: tuple[date, ...]
    outcomes: tuple[Outcome, ...]
    threshold: float | None
    features: tuple[FeatureDays, ...]
    n_more: int = 0


def table(findings: Sequence[Finding], zone: Zone) -> DriftTable | None:
    """Lay the findings of drift out by feature and day; None when none scored a feature."""
    # A window that ends at midnight belongs to the day before it.
    days = {zone.day_of(row.window_end - timedelta.resolution): row for row in findings}
    details = {day: KIND.detail_of(row.detail) for day, row in days.items()}
    scored = {day: detail.features for day, detail in details.items() if detail.features}
    if not scored:
        return None
    ordered = tuple(sorted(days))
    last = scored[max(scored)]
    names = {name for features in scored.values() for name in features}
    return DriftTable(
        days=ordered,
        outcomes=tuple(days[day].outcome for day in ordered),
        threshold=days[max(scored)].threshold,
        features=tuple(
            FeatureDays(
                name=name,
                scores=tuple(_score(details[day], name) for day in ordered),
                now=last.get(name, FeatureDrift()),
            )
            for name in sorted(names, key=lambda name: (-_last(last, name), name))[:LISTED]
        ),
        n_more=max(len(names) - LISTED, 0),
    )


def _score(detail: DriftDetail, name: str) -> float | None:
    feature = detail.features.get(name)
    return feature.score if feature is not None else None


def _last(features: Mapping[str, FeatureDrift], name: str) -> float:
    return features.get(name, FeatureDrift()).score or 0.0
