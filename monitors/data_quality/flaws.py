"""Data quality: what is measured, its limits, and what is beyond them."""

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from core.durations import HOUR, Duration
from monitors.detail import Detail, ImplicatedFeature, each_once


class Fact(StrEnum):
    """Kind of a data quality fault.

    The first seven are about a feature, the others about rows.
    """

    MISSING = "missing"
    REPEATS = "repeats"
    GAP = "gap"
    CONSTANT = "constant"
    BEYOND = "beyond"
    NEW_CATEGORY = "new_category"
    VOLUME = "volume"
    DUPLICATES = "duplicates"
    REFUSED_MISSING = "refused_missing"
    REFUSED_RANGE = "refused_range"
    REFUSED_CATEGORY = "refused_category"
    REFUSED_TYPE = "refused_type"


# The reasons for which the way in refuses rows, and what they are about.
REFUSED: Mapping[str, Fact] = {
    "missing": Fact.REFUSED_MISSING,
    "not_finite": Fact.REFUSED_MISSING,
    "range": Fact.REFUSED_RANGE,
    "vocabulary": Fact.REFUSED_CATEGORY,
    "type": Fact.REFUSED_TYPE,
}


_MESSAGES: Mapping[Fact, str] = {
    Fact.MISSING: "{feature}: {value:.1%} missing, baseline {typical:.1%}",
    Fact.REPEATS: "{feature}: {value:.1%} repeated, baseline {typical:.1%}",
    Fact.GAP: "{feature}: no value in {value:.0f} hours that always had one",
    Fact.CONSTANT: "{feature}: constant all day, baseline range {typical:.3g}",
    Fact.BEYOND: "{feature}: out of range by {value:.1f} times the reference range",
    Fact.NEW_CATEGORY: "{feature}: {value:.1%} in categories unknown to the reference",
    Fact.VOLUME: "{value:.0f} rows, baseline {typical:.0f}",
    Fact.DUPLICATES: "{value:.1%} of the rows are duplicates",
    Fact.REFUSED_MISSING: "{value:.1%} of the rows refused: missing values",
    Fact.REFUSED_RANGE: "{value:.1%} of the rows refused: out of range",
    Fact.REFUSED_CATEGORY: "{value:.1%} of the rows refused: unknown category",
    Fact.REFUSED_TYPE: "{value:.1%} of the rows refused: wrong type",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DataQualityParams:
    """Parameters of `data_quality`: limits of each fact.

    Attributes
    ----------
    days_between_false_alarms
        The promise for missing values, repeats and gaps, over all features
        together; their limits come from the days of the reference.
    min_missing, min_repeats
        Up to this share of a feature's values more than in the baseline is never too
        much.
    min_gap
        Up to so long without a value more than in the baseline is never too long.
    max_beyond
        How far a value may lie outside of the reference's, as a multiple of
        their range.
    max_new_category
        Share of values in categories that the reference never had.
    max_volume_ratio
        So many times as many rows as in the baseline on the weekday, or as few.
    max_duplicates
        Share of rows with an id that the day had before.
    max_refused
        Share of rows that the way in refused, by reason.
    """

    days_between_false_alarms: float = 365.0
    min_missing: float = 0.05
    min_repeats: float = 0.2
    min_gap: Duration = 3 * HOUR
    max_beyond: float = 1.0
    max_new_category: float = 0.01
    max_volume_ratio: float = 4.0
    max_duplicates: float = 0.01
    max_refused: float = 0.01

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if not value > type(value)(0):
                raise ValueError(f"{name} must be positive")
        if not self.max_volume_ratio > 1:
            raise ValueError("max_volume_ratio must be more than 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class DayVolume:
    """Volume of a day: rows, refused rows and duplicates.

    Attributes
    ----------
    n_rows
        Served on the day.
    baseline
        Rows of the same weekday in the weeks before, the newest first; 0
        where none came.
    n_duplicates
        Rows with an id that the day had before.
    refused
        Rows that the way in refused, by reason.
    """

    n_rows: int
    baseline: Sequence[int] = ()
    n_duplicates: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """A fact beyond its limit.

    Attributes
    ----------
    fact
        What.
    feature
        Whose; None: the rows'.
    value, baseline, limit
        In the unit of the fact. `typical` is None where nothing is typical.
    """

    fact: Fact
    feature: str | None
    value: float
    baseline: float | None
    limit: float

    @property
    def ratio(self) -> float:
        """Return how far beyond the limit it is; over 1."""
        if self.fact is Fact.VOLUME:
            assert self.baseline is not None
            return _fold_change(self.value, self.baseline) / math.log(self.limit)
        return self.value / self.limit

    def __str__(self) -> str:
        typical = 0.0 if self.baseline is None else self.baseline
        return _MESSAGES[self.fact].format(
            feature=self.feature, value=self.value, typical=typical
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureQuality:
    """The figures of one feature on one day, and their limits; None where not known."""

    missing: float | None = None
    missing_limit: float | None = None
    repeats: float | None = None
    repeats_limit: float | None = None
    gap_hours: float | None = None
    gap_limit: float | None = None
    stale_hours: float | None = None
    constant: bool = False
    beyond: float | None = None
    new_category: float | None = None


class DataQualityDetail(Detail, frozen=True):
    """The rows of a day, what is beyond its limit, and the figures by feature."""

    rows: int | None = None
    reference_days: int | None = None
    quality: Mapping[str, FeatureQuality] = msgspec.field(default_factory=dict)
    flaws: tuple[Flaw, ...] = ()

    @property
    def implicated_features(self) -> tuple[ImplicatedFeature, ...]:
        """The features with a flaw, each with its worst."""
        named = ((flaw.feature, flaw.fact.value) for flaw in self.flaws)
        return each_once((feature, fact) for feature, fact in named if feature is not None)

    def is_explained(self, broken: Set[str]) -> bool:
        """Return whether open input faults explain all of a finding.

        Parameters
        ----------
        broken
            The features that `monitors.input_fault.input_fault` follows.

        Examples
        --------
        >>> flaw = Flaw(fact=Fact.MISSING, feature="load", value=1.0, baseline=0.0, limit=0.1)
        >>> found = DataQualityDetail(flaws=(flaw,))
        >>> found.is_explained({"load"}), found.is_explained({"wind"})
        (True, False)
        """
        return bool(self.flaws) and all(flaw.feature in broken for flaw in self.flaws)


def _fold_change(value: float, typical: float) -> float:
    """Return how many times as many or as few, as a logarithm; half a row avoids none."""
    return abs(math.log((value + 0.5) / (typical + 0.5)))
