from functools import partial

import numpy as np
import pytest
import torch

from examples.forecaster.shift import DAY, fleet, synthetic
from retrain import plan
from retrain.backtest import BATCH, backtest, seasonal_naive
from retrain.plan import Sizes
from retrain.template import FitRun, TrainingSet
from retrain.templates.segment_lstm import Params
from retrain.training.forecast import Forecaster, forecast
from retrain.training.segment_lstm import TEMPLATE, Config, SegmentLstm
from retrain.windows import Floats, Windows, spread

CONFIG = Config(n_channels=2, input_length=4, horizon=3, segment=2, width=4)
SIZES = Sizes(input_length=4, horizon=3, day=24)


def _persistence(contexts: Floats) -> Floats:
    """Predict the last value: its weights are zero."""
    network = SegmentLstm(CONFIG)
    with torch.no_grad():
        for weights in network.parameters():
            weights.zero_()
    scaler = {"mean": np.array([5.0, 50.0]), "std": np.array([2.0, 9.0])}
    return forecast(Forecaster(network=network.eval(), **scaler), contexts)


def test_errors_are_those_that_a_hand_computes() -> None:
    inputs = np.zeros((2, 8, 2))
    inputs[1, :, 0] = [9, 9, 9, 9, 1, 2, 4, 7]
    inputs[1, :, 1] = [0, 0, 0, 0, 10, 10, 20, 90]
    targets = inputs.copy()
    targets[1, 6, 0] = np.nan
    targets[1, 7] = np.nan
    windows = Windows(entity=np.array([1]), origin=np.array([5]))
    unit = np.array([1.0, 10.0])

    errors = backtest(_persistence, (inputs, targets), windows, SIZES, unit)
    #        step 5: |1 - 2| / 1 and |10 - 10| / 10; step 6: |10 - 20| / 10; step 7: no label
    np.testing.assert_allclose(errors, [[0.5, 1.0, np.nan]], atol=1e-6)

    naive = seasonal_naive((inputs, targets), windows, CONFIG.horizon, 2, unit)
    #        season of 2: steps 3, 4 and 3 again, which are (9, 0), (1, 10), (9, 0)
    np.testing.assert_allclose(naive, [[(7 + 1) / 2, 1.0, np.nan]])


@pytest.mark.parametrize("horizon", [1, 4, 6, 13])
def test_the_seasonal_naive_is_perfect_for_what_repeats(horizon: int) -> None:
    hours = np.arange(100)
    series = np.repeat(np.sin(2 * np.pi * hours / 6)[np.newaxis, :, np.newaxis], 2, axis=2)
    errors = seasonal_naive((series, series), spread(1, 24, 80, 1), horizon, 6, np.ones(2))
    assert errors.shape == (56, horizon)
    np.testing.assert_allclose(errors, 0.0, atol=1e-12)


def test_before_the_first_season_the_seasonal_naive_has_no_error() -> None:
    series = np.arange(40.0)[np.newaxis, :, np.newaxis]
    errors = seasonal_naive((series, series), spread(1, 8, 9, 1), 4, 10, np.ones(1))
    np.testing.assert_array_equal(errors, [[np.nan, np.nan, 10.0, 10.0]])


def test_windows_beyond_one_batch_are_forecast_alike() -> None:
    readings = np.random.default_rng(0).normal(size=(1, BATCH + 500, 2))
    windows = spread(1, 4, BATCH + 490, 1)
    assert len(windows) > BATCH
    together = backtest(_persistence, (readings, readings), windows, SIZES, np.ones(2))
    last = windows.select(windows.origin == windows.origin[-1])
    alone = backtest(_persistence, (readings, readings), last, SIZES, np.ones(2))
    np.testing.assert_allclose(together[-1:], alone, rtol=1e-5)


def test_no_windows_have_no_errors() -> None:
    readings = np.zeros((1, 20, 2))
    series, none = (readings, readings), spread(1, 9, 9, 1)
    errors = backtest(_persistence, series, none, SIZES, np.ones(2))
    assert errors.shape == (0, CONFIG.horizon)


@pytest.mark.slow
def test_a_first_version_beats_the_seasonal_naive_by_a_sixth() -> None:
    series = fleet(synthetic(240 * DAY, seed=1), 3, seed=2)
    sizes = Sizes(input_length=96, horizon=24, day=DAY)
    planned = plan.first(series, series, series.shape[1], sizes)
    data = TrainingSet(
        inputs=series,
        targets=series,
        learn=planned.learn,
        validate=planned.validate,
        sizes=sizes,
    )
    trained = TEMPLATE.fit(Params(width=64, max_epochs=8), data, FitRun())
    unit = series.std(axis=(0, 1))
    predict = partial(forecast, trained.fitted)
    error = backtest(predict, (series, series), planned.gate, sizes, unit).mean()
    naive = seasonal_naive((series, series), planned.gate, sizes.horizon, DAY, unit).mean()
    assert error < 5 / 6 * naive
