"""Detail of a finding: the figures that explain it, typed by the kind of its monitor."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Literal

import msgspec

from core.window import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class ImplicatedFeature:
    """A feature that a finding implicates.

    Attributes
    ----------
    score
        As the monitor measured it, in its own unit; None where it gives none.
    effect
        How large the change is, where the monitor reports it.
    view
        In which view the score was highest, of a monitor with several.
    views
        The score in each of them; None where it could not be had.
    message
        What is wrong with it, in a few words.
    """

    feature: str
    score: float | None = None
    effect: float | None = None
    view: str | None = None
    views: Mapping[str, float | None] = field(default_factory=dict)
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotEvaluated:
    """The outcome of one input that a monitor could not evaluate, and why."""

    outcome: Literal["no_data"] = "no_data"
    reason: Literal["no_reference"] = "no_reference"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedSegments:
    """Segments that a monitor evaluates, and those whose reference is still too short."""

    evaluated: tuple[str, ...]
    warming_up: tuple[str, ...]

    @classmethod
    def of(cls, evaluated: Set[str], known: Set[str]) -> "EvaluatedSegments":
        """Return the segments that are evaluated, and the others of those that are known."""
        return cls(
            evaluated=tuple(sorted(evaluated)), warming_up=tuple(sorted(known - evaluated))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """An incident of the reference: its first day, and the day after its last."""

    start: date
    end: date

    @classmethod
    def of(cls, days: tuple[int, int]) -> "LeftOut":
        """Return the incident between two days since the epoch.

        Examples
        --------
        >>> LeftOut.of((0, 2))
        LeftOut(start=datetime.date(1970, 1, 1), end=datetime.date(1970, 1, 3))
        """
        start, end = (date(1970, 1, 1) + timedelta(days=day) for day in days)
        return cls(start=start, end=end)


class Detail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What explains a finding. A kind adds its figures in a subclass, each with a default.

    A figure at its default is not stored.

    Attributes
    ----------
    promised_days, achieved_days, replayed_days, extrapolated
        Days between two false alarms: as asked for, and as measured by replaying the monitor
        over its own reference, which had so many days; whether that is too short to show it.
    top
        The feature, class or part that moved most.
    since
        When the run of breaches began, or the change.
    moved
        Of a breach: the features that moved, the farthest first.
    reference
        What the window is compared with, where no version names it.
    burned_by
        Of an error budget: the versions that burn it.
    segments
        Of a monitor by segment.
    not_evaluated
        Inputs without a reference, by name.
    """

    promised_days: float | None = None
    achieved_days: float | None = None
    replayed_days: float | None = None
    extrapolated: bool | None = None
    top: str | None = None
    since: datetime | None = None
    moved: tuple[str, ...] = ()
    reference: Window | None = None
    burned_by: tuple[str, ...] | None = None
    segments: EvaluatedSegments | None = None
    not_evaluated: Mapping[str, NotEvaluated] = msgspec.field(default_factory=dict)

    @property
    def implicated_features(self) -> tuple[ImplicatedFeature, ...]:
        """The features that the finding names, each once, the worst first."""
        return ()

    @property
    def started(self) -> datetime | None:
        """When the breach began; None where the finding does not date it."""
        return self.since

    def to_json(self) -> dict[str, Any]:
        """Return the form that is stored; JSON has no NaN and no infinity: they are None."""
        stored: dict[str, Any] = msgspec.json.decode(
            msgspec.json.encode(self, enc_hook=from_numpy)
        )
        return stored

    def ranked(self, features: Iterable[ImplicatedFeature]) -> tuple[ImplicatedFeature, ...]:
        """Return features, the highest score first, but for the one on top."""

        def rank(each: ImplicatedFeature) -> tuple[bool, float]:
            score = float("-inf") if each.score is None else each.score
            return each.feature != self.top, -score

        return tuple(sorted(features, key=rank))


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureScore:
    """The score of one feature, and how far it moved."""

    score: float | None = None
    effect: float | None = None


class ScoreDetail(Detail, frozen=True):
    """Scores by feature.

    Examples
    --------
    >>> scores = {"a": FeatureScore(score=2.0), "b": FeatureScore(score=1.0)}
    >>> [each.feature for each in ScoreDetail(top="b", features=scores).implicated_features]
    ['b', 'a']
    """

    features: Mapping[str, FeatureScore] = msgspec.field(default_factory=dict)

    @property
    def implicated_features(self) -> tuple[ImplicatedFeature, ...]:
        """The scored features."""
        return self.ranked(
            ImplicatedFeature(feature=name, score=one.score, effect=one.effect)
            for name, one in self.features.items()
        )


class ViewDetail(Detail, frozen=True):
    """Scores by feature and view; `view` has the highest, by that statistic of it.

    Examples
    --------
    >>> panel = ViewDetail(features={"a": {"flatline": 0.5, "periodic_hold": 3.0}})
    >>> [(each.score, each.view) for each in panel.implicated_features]
    [(3.0, 'periodic_hold')]
    """

    window_days: int | None = None
    n_windows: int | None = None
    view: str | None = None
    features: Mapping[str, Mapping[str, float | None]] = msgspec.field(default_factory=dict)

    @property
    def implicated_features(self) -> tuple[ImplicatedFeature, ...]:
        """The scored features, each in the view with its highest score."""
        return self.ranked(_highest(name, views) for name, views in self.features.items())


def each_once(named: Iterable[tuple[str, str]]) -> tuple[ImplicatedFeature, ...]:
    """Return features with what is wrong with them, each with the first that is named."""
    once: dict[str, ImplicatedFeature] = {}
    for feature, fault in named:
        message = fault.replace("_", " ")
        once.setdefault(feature, ImplicatedFeature(feature=feature, message=message))
    return tuple(once.values())


def _highest(name: str, views: Mapping[str, float | None]) -> ImplicatedFeature:
    known = {view: score for view, score in views.items() if score is not None}
    view = max(known, key=lambda each: known[each], default=None)
    score = None if view is None else known[view]
    return ImplicatedFeature(feature=name, score=score, view=view, views=views)


def from_numpy(value: Any) -> Any:
    """Return a number of numpy as a number."""
    return value.item()
