"""Sums of forecast errors by event day."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.errors import Unprocessable
from core.schema.contract import Contract
from core.schema.feature import LARGEST
from lake.lists import Floats, Ints

Bools: TypeAlias = NDArray[np.bool_]

EXPECTED, LABELLED, ABSOLUTE, SQUARED, NAIVE = range(5)  # the last axis of a chunk
DAY_OF_HOURS = 24


def loss_column(contract: Contract) -> int:
    """Return which sum of a chunk is the loss: |e| of forecasters, e^2 of classifiers.

    |p - y| is no proper score: it is least for a model that always answers with the more
    frequent class. The squared error of a probability is one: the Brier score [1]_.

    References
    ----------
    .. [1] G. W. Brier, "Verification of forecasts expressed in terms of probability",
       Monthly Weather Review 78(1), 1950, pp. 1-3.
    """
    return SQUARED if contract.is_classifier else ABSOLUTE


def n_classes(contract: Contract) -> int:
    """Return how many targets one loss is the sum over: all classes, or 1 of a forecaster.

    The Brier score of a prediction is summed over classes as in [1]_ of `loss_column`: from
    0 to 2 where one class happens. The loss of a forecaster is a mean over its targets.
    """
    return len(contract.targets) if contract.is_classifier else 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Units:
    """In what a version's errors are counted.

    Attributes
    ----------
    std : (target,)
        The version's scaler; an error of 1 is one standard deviation of
        what it was trained on. Ones of a classifier.
    season_steps
        The naive forecast repeats what happened so many steps ago.
    """

    std: Floats
    season_steps: int = DAY_OF_HOURS

    def apart(self, forecast: Floats, actual: Floats) -> Floats:
        """Return forecast less what happened, in units; (prediction, step, target).

        Of a magnitude of at most 1e100, however small the units: squares add up.
        """
        apart: Floats = forecast - actual
        flat = apart.reshape(len(apart), -1)  # many times as fast as along so short an axis
        with np.errstate(over="ignore"):
            flat /= np.tile(self.std, apart.shape[1])
        return np.clip(apart, -LARGEST, LARGEST, out=apart)


def units(manifest: Mapping[str, Any], contract: Contract) -> Units:
    """Read the units from a version's manifest; natural units where it states none.

    Raises
    ------
    Unprocessable
        If the scaler does not have one positive number for each target, or
        the season is no count of steps.

    Examples
    --------
    >>> from core.schema.contract import Feature
    >>> contract = Contract(features=(Feature(name="x"),), targets=("a", "b"),
    ...     step_seconds=60, input_length=1, horizon=1)
    >>> units({"scaler": {"mean": [0, 0], "std": [2, 4]}}, contract).std
    array([2., 4.])
    """
    n_targets = len(contract.targets)
    scaler = manifest.get("scaler") or {}
    try:
        std = np.asarray(scaler.get("std", np.ones(n_targets)), dtype=float)
        season_steps = int(manifest.get("season_steps", DAY_OF_HOURS))
    except (TypeError, ValueError, AttributeError) as error:
        raise Unprocessable(f"manifest: scaler or season_steps: {error}") from None
    if std.shape != (n_targets,) or not (std > 0).all():
        raise Unprocessable(f"manifest: scaler.std needs {n_targets} positive numbers")
    if season_steps < 1:
        raise Unprocessable("manifest: season_steps must be at least 1")
    if contract.is_classifier:  # a probability has no unit
        std = np.ones(n_targets)
    return Units(std=std, season_steps=season_steps)


def seasonal_lag(horizon: int, season_steps: int) -> NDArray[np.int64]:
    """Return how many steps before each target the naive forecast reads, shape (step,).

    Whole seasons, as many as needed to read only known values.

    Examples
    --------
    >>> seasonal_lag(5, 2)
    array([2, 2, 4, 4, 6])
    """
    ahead = np.arange(1, horizon + 1)
    return -(-ahead // season_steps) * season_steps


def cells(
    error: Floats, naive: Floats, is_expected: Bools, *, is_classifier: bool = False
) -> list[Floats | Bools]:
    """Return what is added up of some forecasts' errors, each (prediction, step, target).

    Parameters
    ----------
    error, naive : (prediction, step, target)
        Of the forecast and of the naive one, in units, from `Units.apart`. NaN
        where there is no forecast, no label, nothing known a season ago.
    is_expected : (prediction, step, target)
        Whether there is a forecast.
    is_classifier
        The naive forecast's errors are squared, as its rival's are.

    Returns
    -------
    list
        Expected, labelled, |e|, e^2, the naive forecast's loss, and where that is
        known of what is labelled.
    """
    labelled, compared = np.isfinite(error), np.isfinite(naive) & is_expected
    size = np.abs(np.where(labelled, error, 0.0))
    size_naive = np.abs(np.where(compared, naive, 0.0))
    if is_classifier:
        size_naive *= size_naive
    return [is_expected, labelled, size, size * size, size_naive, compared]


def total(parts: Sequence[Floats | Bools]) -> Floats:
    """Return the sums over all predictions of the parts of `cells`, (step, target, 6).

    Examples
    --------
    >>> in_units = Units(std=np.array([2.0]))
    >>> cell = np.ones((1, 1, 1))
    >>> error = in_units.apart(3 * cell, 1 * cell)
    >>> total(cells(error, np.nan * cell, np.isfinite(error)))
    array([[[1., 1., 1., 1., 0., 0.]]])
    """
    return np.stack([part.sum(axis=0, dtype=float) for part in parts], axis=-1)


def by_place(parts: Sequence[Floats | Bools], places: Ints) -> Iterator[tuple[int, Floats]]:
    """Yield the sums over the predictions of each place, of shape (step, target, 6).

    Parameters
    ----------
    parts
        From `cells`.
    places : (prediction,)
        Ascending: so every cell is read once.

    Examples
    --------
    >>> found = by_place([np.ones((3, 1, 1))] * 6, np.array([0, 2, 2]))
    >>> [(place, sums[0, 0, 0].item()) for place, sums in found]
    [(0, 1.0), (2, 2.0)]
    """
    starts = np.flatnonzero(np.diff(places, prepend=-1))
    for start, end in pairwise([*starts.tolist(), len(places)]):
        yield int(places[start]), total([part[start:end] for part in parts])


def chunk(totals: Floats) -> Floats:
    """Return what is stored of a day's sums: one less on the last axis.

    The naive forecast needs a label of a season ago as well, so it is summed
    over fewer cells; its sum is scaled up to all that are labelled, that the
    two may be compared. NaN where it is known for none of them.

    Examples
    --------
    >>> chunk(np.array([[[10.0, 8.0, 4.0, 2.0, 3.0, 4.0]]]))
    array([[[10.,  8.,  4.,  2.,  6.]]])
    """
    stored = totals[..., :5].copy()
    compared, labelled = totals[..., 5], totals[..., LABELLED]
    mean = np.divide(
        totals[..., NAIVE], compared, out=np.full_like(compared, np.nan), where=compared > 0
    )
    stored[..., NAIVE] = np.where(labelled > 0, mean * labelled, 0.0)
    return stored
