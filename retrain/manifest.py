"""Manifest of a version that the platform has tested: how it was made, and from what."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from core.stored import parsed_known


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaler:
    """Mean and standard deviation of each target: the unit of a model's errors."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRows:
    """Which rows a version may have learned from.

    Attributes
    ----------
    predictions, labels
        Versions of the Delta tables.
    start, cut
        First step, and newest event, in event time.
    onset
        Since when the base is wrong; None where that is unknown.
    """

    predictions: int | None
    labels: int | None
    start: datetime
    cut: datetime
    onset: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFigures:
    """How a training went; None where its trainer did not report it."""

    n_windows: int | None = None
    n_epochs: int | None = None
    seconds: float | None = None
    validation_error: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Mean absolute errors in the days of the gate, in units of the scaler."""

    mae: float | None
    mae_of_champion: float | None
    mae_of_seasonal_naive: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """How a version was made.

    Attributes
    ----------
    format, template
        Of its artifact, and the template that reads it.
    params, trainer
        What the policy asked for.
    code
        Version of the code that trained.
    base
        The champion of that time; None for a first version.
    season_steps
        Steps of a day: the season of the naive forecast.
    """

    format: str
    template: str
    params: Mapping[str, Any]
    trainer: str
    code: str
    seed: int
    base: str | None
    data: TrainingRows
    training: TrainingFigures
    metrics: Metrics
    scaler: Scaler
    season_steps: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """Return the form that is stored."""
        stored: dict[str, Any] = msgspec.to_builtins(self)
        return stored


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseManifest:
    """What a training reads of the manifest of its base, which anyone may have written."""

    format: str | None = None
    scaler: Scaler | None = None

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "BaseManifest":
        """Read the stored form.

        Raises
        ------
        Unprocessable
            If the format is no text, or the scaler has no lists of numbers.

        Examples
        --------
        >>> BaseManifest.from_json({"format": "a 1", "author": "ann"}).format
        'a 1'
        """
        return parsed_known(stored, cls, "manifest")
