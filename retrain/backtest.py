"""Errors of forecasts on past windows."""

import numpy as np

from retrain.plan import Sizes
from retrain.template import Predict
from retrain.windows import Floats, Windows

BATCH = 2048  # windows at once
LARGEST = 1e100  # of a forecast: what is larger is refused when it is served


def backtest(
    predict: Predict,
    series: tuple[Floats, Floats],
    windows: Windows,
    sizes: Sizes,
    unit: Floats,
) -> Floats:
    """Forecast every window and compare with what happened.

    Parameters
    ----------
    predict
        The forecast function that is tested.
    series : inputs and targets, each (entity, step, channel)
        In the unit of the readings.
    windows
        Whole ones, none of which was learned from.
    sizes
        Steps of the input and of the horizon.
    unit : (channel,)
        What errors are divided by: the same for all that are compared.

    Returns
    -------
    (window, horizon)
        Mean absolute error over channels; NaN where no label has arrived, infinite
        where the forecast of what has one is no number, or too large to be one.
    """
    inputs, targets = series
    errors = np.full((len(windows), sizes.horizon), np.nan)
    for first in range(0, len(windows), BATCH):
        part = slice(first, first + BATCH)
        contexts = _cut(inputs, windows, part, -sizes.input_length, 0)
        predicted = predict(contexts)
        true = _cut(targets, windows, part, 0, sizes.horizon)
        usable = np.abs(predicted) <= LARGEST  # false of NaN
        errors[part] = _error(np.where(usable, predicted, 0.0), true, unit)
        failed = (~usable & ~np.isnan(true)).any(axis=2)
        errors[part][failed] = np.inf
    return errors


def seasonal_naive(
    series: tuple[Floats, Floats], windows: Windows, horizon: int, season: int, unit: Floats
) -> Floats:
    """Do the same for the forecast that needs no model: what was a season ago.

    Parameters
    ----------
    series : inputs and targets, each (entity, step, channel)
        In the unit of the readings.
    windows
        Those that are compared.
    horizon, season
        Steps ahead, and steps after which things repeat.
    unit : (channel,)
        What errors are divided by.

    Returns
    -------
    (window, horizon)
        NaN also where nothing is known of a season ago.
    """
    inputs, targets = series
    ahead = np.arange(horizon)
    ago = windows.origin[:, np.newaxis] + ahead - season * (ahead // season + 1)
    predicted = inputs[windows.entity[:, np.newaxis], np.maximum(ago, 0)]
    predicted[ago < 0] = np.nan
    true = _cut(targets, windows, slice(0, len(windows)), 0, horizon)
    return _error(predicted, true, unit)


def _cut(values: Floats, windows: Windows, part: slice, start: int, end: int) -> Floats:
    """Return (window, step, channel) from `start` to `end`, relative to each origin."""
    steps = windows.origin[part, np.newaxis] + np.arange(start, end)
    cut: Floats = values[windows.entity[part, np.newaxis], steps]
    return cut


def _error(predicted: Floats, true: Floats, unit: Floats) -> Floats:
    errors = np.abs(predicted - true) / unit
    known = ~np.isnan(errors)
    n_known = known.sum(axis=2)
    total = np.where(known, errors, 0.0).sum(axis=2)
    return np.where(n_known > 0, total / np.maximum(n_known, 1), np.nan)
