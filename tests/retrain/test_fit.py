from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from core.errors import Unprocessable
from retrain.backtest import backtest, seasonal_naive
from retrain.plan import Sizes
from retrain.template import Epoch, FitRun, Trained, TrainingSet
from retrain.training import fit as training
from retrain.training.fit import Recipe
from retrain.training.forecast import Forecaster, forecast
from retrain.training.segment_lstm import Config, SegmentLstm
from retrain.windows import Windows, scaler, spread

CONFIG = Config(n_channels=2, input_length=24, horizon=6, segment=6, width=16, dropout=0.0)
SIZES = Sizes(input_length=24, horizon=6, day=24)
RECIPE = Recipe(learning_rate=1e-2, batch_size=32, max_epochs=12)
N_STEPS = 600
LEARN, VALIDATE, TEST = spread(3, 24, 400, 1), spread(3, 406, 490, 3), spread(3, 500, 595, 5)


def fit(
    series: tuple[NDArray[np.float64], NDArray[np.float64]],
    recipe: Recipe = RECIPE,
    windows: tuple[Windows, Windows] = (LEARN, VALIDATE),
    **run: Any,
) -> Trained[Forecaster]:
    inputs, targets = series
    data = TrainingSet(
        inputs=inputs, targets=targets, learn=windows[0], validate=windows[1], sizes=SIZES
    )
    return training.fit(
        lambda: SegmentLstm(CONFIG), CONFIG, recipe, data, FitRun(**{"seed": 3, **run})
    )


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Let tests that run side by side not wait for each other's threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def waves() -> NDArray[np.float64]:
    """Three entities of two waves with a little noise, in units far from one."""
    random = np.random.default_rng(0)
    hours = np.arange(N_STEPS)
    clean = np.stack([np.sin(2 * np.pi * hours / 12), np.sign(np.sin(hours / 2.5))], axis=1)
    noise = random.normal(size=(3, N_STEPS, 2))
    result: NDArray[np.float64] = 1000.0 + np.array([40.0, 0.3]) * (clean + 0.1 * noise)
    return result


@pytest.fixture(scope="module")
def trained(waves: NDArray[np.float64]) -> Trained[Forecaster]:
    return fit((waves, waves))


def _error(
    waves: NDArray[np.float64], trained: Trained[Forecaster], windows: Windows = TEST
) -> float:
    unit = waves.std(axis=(0, 1))
    return float(np.nanmean(_errors(trained, waves, windows, unit)))


def _errors(
    trained: Trained[Forecaster],
    targets: NDArray[np.float64],
    windows: Windows,
    unit: NDArray[np.float64],
    inputs: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    series = targets if inputs is None else inputs, targets
    return backtest(partial(forecast, trained.fitted), series, windows, SIZES, unit)


def test_it_learns(waves: NDArray[np.float64], trained: Trained[Forecaster]) -> None:
    unit = waves.std(axis=(0, 1))
    naive = float(seasonal_naive((waves, waves), TEST, CONFIG.horizon, 12, unit).mean())
    assert _error(waves, trained) < 0.5 * naive


def test_the_same_seed_gives_the_same_weights(waves: NDArray[np.float64]) -> None:
    brief = replace(RECIPE, max_epochs=2)
    one, same, other = (fit((waves, waves), brief, seed=seed) for seed in (1, 1, 2))
    assert one.epochs == same.epochs
    assert one.epochs != other.epochs


def test_the_best_epoch_is_kept(
    waves: NDArray[np.float64], trained: Trained[Forecaster]
) -> None:
    errors = _errors(trained, waves, VALIDATE, trained.fitted.std)
    assert float(errors.mean()) == pytest.approx(trained.validation_error, rel=1e-4)
    assert trained.validation_error == min(e.validation_error or 0.0 for e in trained.epochs)


def test_a_warm_start_begins_where_its_base_ended(
    waves: NDArray[np.float64], trained: Trained[Forecaster]
) -> None:
    still = replace(RECIPE, learning_rate=1e-9, max_epochs=1)
    again = fit((waves, waves), still, base=trained.fitted)
    assert again.validation_error == pytest.approx(trained.validation_error, rel=1e-4)
    shifted = waves + 50.0
    kept = fit((shifted, shifted), still, base=trained.fitted)
    np.testing.assert_array_equal(kept.fitted.mean, trained.fitted.mean)


def test_training_leaves_its_base_alone(
    waves: NDArray[np.float64], trained: Trained[Forecaster]
) -> None:
    before = _error(waves, trained)
    fit((waves, waves), base=trained.fitted)
    assert _error(waves, trained) == before


def test_progress_is_reported_and_may_end_the_training(waves: NDArray[np.float64]) -> None:
    class Stopped(Exception):
        pass

    reported: list[Epoch] = []

    def stop_after_two(epoch: Epoch) -> None:
        reported.append(epoch)
        if epoch.number == 2:
            raise Stopped

    with pytest.raises(Stopped):
        fit((waves, waves), on_progress=stop_after_two)
    assert [epoch.number for epoch in reported] == [1, 2]


def test_training_ends_when_its_time_is_up(waves: NDArray[np.float64]) -> None:
    assert len(fit((waves, waves), max_seconds=0.0).epochs) == 1


def test_training_ends_when_nothing_gets_better(waves: NDArray[np.float64]) -> None:
    idle = replace(RECIPE, learning_rate=0.0, max_epochs=50, patience=2)
    trained = fit((waves, waves), idle)
    assert len(trained.epochs) == 3


def test_a_plateau_divides_the_step_size_by_two(waves: NDArray[np.float64]) -> None:
    long = replace(RECIPE, max_epochs=25, patience=25, learning_rate=3e-2)
    rates = [e.learning_rate or 0.0 for e in fit((waves, waves), long).epochs]
    assert rates[-1] < rates[0]
    assert all(after in (before, before / 2) for before, after in pairwise(rates))


def test_missing_labels_are_left_out_of_the_loss(
    waves: NDArray[np.float64], trained: Trained[Forecaster]
) -> None:
    targets = waves.copy()
    targets[np.random.default_rng(1).random(targets.shape) < 0.5] = np.nan
    sparse = fit((waves, targets))
    assert _error(waves, sparse) < 1.1 * _error(waves, trained)


@pytest.mark.parametrize(
    ("learn", "validate"),
    [
        pytest.param(spread(3, 9, 9, 1), VALIDATE, id="nothing to learn from"),
        pytest.param(LEARN, spread(3, 9, 9, 1), id="nothing to validate on"),
    ],
)
def test_too_little_is_refused(
    waves: NDArray[np.float64], learn: Windows, validate: Windows
) -> None:
    with pytest.raises(Unprocessable, match="too little data"):
        fit((waves, waves), windows=(learn, validate))


def test_a_training_that_diverges_is_no_model(waves: NDArray[np.float64]) -> None:
    network = SegmentLstm(CONFIG)
    torch.nn.init.constant_(network.output.bias, float("nan"))
    base = Forecaster(network=network, mean=np.zeros(2), std=np.ones(2))
    with pytest.raises(Unprocessable, match=r"training diverged: .* epoch 1"):
        fit((waves, waves), base=base)


def test_a_channel_that_never_moves_is_not_divided_by_zero() -> None:
    readings = np.dstack([np.full((2, 50), 7.0), np.full((2, 50), np.nan)])
    readings[0, 3, 1] = 5.0
    mean, std = scaler(readings)
    np.testing.assert_array_equal(mean, [7.0, 5.0])
    np.testing.assert_array_equal(std, [1.0, 1.0])


def test_an_error_counts_the_labels_that_are_in(
    waves: NDArray[np.float64], trained: Trained[Forecaster]
) -> None:
    targets = waves.copy()
    targets[:, 550:, 0] = np.nan
    targets[:, 560:] = np.nan
    unit = waves.std(axis=(0, 1))
    full = _errors(trained, waves, TEST, unit)
    sparse = _errors(trained, targets, TEST, unit, waves)
    step = TEST.origin[:, np.newaxis] + np.arange(CONFIG.horizon)
    np.testing.assert_array_equal(np.isnan(sparse), step >= 560)
    np.testing.assert_array_equal(sparse[step < 550], full[step < 550])


def test_a_checkpoint_of_other_data_or_a_damaged_one_is_not_used(
    waves: NDArray[np.float64], tmp_path: Path
) -> None:
    brief = replace(RECIPE, max_epochs=2)
    fit((waves + 1.0, waves), brief, checkpoints=tmp_path)
    fresh = fit((waves, waves), brief)
    assert fit((waves, waves), brief, checkpoints=tmp_path).epochs == fresh.epochs
    [kept] = tmp_path.iterdir()
    kept.write_bytes(kept.read_bytes()[:-9])
    assert fit((waves, waves), brief, checkpoints=tmp_path).epochs == fresh.epochs


def test_a_base_of_another_shape_gives_nothing(
    waves: NDArray[np.float64], trained: Trained[Forecaster]
) -> None:
    wide = replace(CONFIG, width=8)
    other = Forecaster(network=SegmentLstm(wide), mean=np.zeros(2), std=np.ones(2))
    brief = replace(RECIPE, max_epochs=1)
    again = fit((waves, waves), brief, base=other)
    assert again.epochs == fit((waves, waves), brief).epochs
