"""Fit a forecaster: clipped gradients, a plateau schedule, early stopping, a time limit."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from core.errors import Unprocessable
from retrain.training.forecast import Forecaster
from retrain.training.segment_lstm import Config, SegmentLstm
from retrain.windows import Floats, Windows


def limit_threads(n: int) -> None:
    """Limit how many threads of this process PyTorch computes in."""
    torch.set_num_threads(n)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to train.

    Attributes
    ----------
    seed
        Same seed and data, same weights on the same machine.
    learning_rate
        Of Adam; halved when the validation error has not fallen for two epochs.
    batch_size
        Windows per step.
    max_epochs, patience
        Stop after so many epochs, or so many without a better validation error.
    max_seconds
        Stop after the epoch in which this much time has passed.
    clip
        Largest norm of a gradient.
    """

    seed: int = 0
    learning_rate: float = 1e-3
    batch_size: int = 256
    max_epochs: int = 20
    patience: int = 3
    max_seconds: float = 1800.0
    clip: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """How far training is. Errors are mean absolute, standardised."""

    number: int
    training_error: float
    validation_error: float
    learning_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A forecaster, and how it came about."""

    forecaster: Forecaster
    epochs: tuple[Epoch, ...]
    n_windows: int
    seconds: float

    @property
    def validation_error(self) -> float:
        """The error of the weights that were kept."""
        return min(epoch.validation_error for epoch in self.epochs)


def fit(
    series: tuple[Floats, Floats],
    windows: tuple[Windows, Windows],
    config: Config,
    recipe: Recipe,
    base: Forecaster | None = None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> Trained:
    """Train a network, from scratch or from a base.

    Parameters
    ----------
    series : inputs and targets, each (entity, step, channel)
        In the unit of the readings. A NaN target is left out of the loss;
        windows with a NaN input must have been left out before.
    windows
        To learn from, and to validate on: the later ones.
    config, recipe
        The shape of the network, and how to train it.
    base
        Start from its weights and keep its scaler, which they rely on.
    on_epoch
        Called after each epoch; may raise to stop training.

    Returns
    -------
    Trained
        With the weights of the epoch that validated best.

    Raises
    ------
    Unprocessable
        If there is nothing to learn from or to validate on, or training diverges.
    """
    learn, validate = windows
    if not len(learn) or not len(validate):
        raise Unprocessable(
            f"too little data: {len(learn)} windows to learn from, {len(validate)} to validate"
        )
    began = time.monotonic()
    inputs, targets = series
    mean, std = (base.mean, base.std) if base else scaler(inputs[:, : int(learn.origin.max())])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = SegmentLstm(config)
        if base is not None:
            network.load_state_dict(base.network.state_dict())
        course = _Course(network, recipe, _Scaled(inputs, targets, mean, std, config))
        epochs: list[Epoch] = []
        best = {k: v.clone() for k, v in network.state_dict().items()}
        for number in range(1, recipe.max_epochs + 1):
            epochs.append(course.epoch(number, learn, validate))
            on_epoch(epochs[-1])
            since_best = number - 1 - int(np.argmin([e.validation_error for e in epochs]))
            if since_best == 0:
                best = {k: v.clone() for k, v in network.state_dict().items()}
            if since_best >= recipe.patience or time.monotonic() - began > recipe.max_seconds:
                break
    network.load_state_dict(best)
    return Trained(
        forecaster=Forecaster(network=network.eval(), mean=mean, std=std),
        epochs=tuple(epochs),
        n_windows=len(learn),
        seconds=time.monotonic() - began,
    )


def scaler(inputs: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard deviation (channel,) of readings, NaN left out; no zero SD."""
    mean = np.nan_to_num(np.nanmean(inputs, axis=(0, 1)))
    std = np.nan_to_num(np.nanstd(inputs, axis=(0, 1)))
    return mean, np.where(std > 0, std, 1.0)


class _Scaled:
    """Standardised series, cut into windows without copying them beforehand."""

    def __init__(
        self, inputs: Floats, targets: Floats, mean: Floats, std: Floats, config: Config
    ) -> None:
        self._inputs = _tensor((inputs - mean) / std).unfold(1, config.input_length, 1)
        self._targets = _tensor((targets - mean) / std).unfold(1, config.horizon, 1)
        self._input_length = config.input_length

    def batch(self, windows: Windows, chosen: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Return contexts (batch, input, channel) and targets (batch, horizon, channel)."""
        entity = torch.from_numpy(windows.entity)[chosen]
        origin = torch.from_numpy(windows.origin)[chosen]
        contexts = self._inputs[entity, origin - self._input_length]
        return contexts.transpose(1, 2), self._targets[entity, origin].transpose(1, 2)


class _Course:
    """Optimiser and schedule of one training."""

    def __init__(self, network: SegmentLstm, recipe: Recipe, scaled: _Scaled) -> None:
        self._network = network
        self._recipe = recipe
        self._scaled = scaled
        self._optimiser = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
        self._schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self._optimiser, factor=0.5, patience=1
        )

    def epoch(self, number: int, learn: Windows, validate: Windows) -> Epoch:
        """Go through all windows once, in random order, then validate."""
        size = self._recipe.batch_size
        self._network.train()
        total = 0.0
        for chosen in torch.split(torch.randperm(len(learn)), size):
            contexts, targets = self._scaled.batch(learn, chosen)
            self._optimiser.zero_grad(set_to_none=True)
            loss = _absolute_errors(self._network(contexts), targets).mean()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self._network.parameters(), self._recipe.clip)
            self._optimiser.step()
            total += float(loss.detach()) * len(chosen)
        error = self._validate(validate)
        if not math.isfinite(error):
            raise Unprocessable(
                f"training diverged: validation error {error} in epoch {number}"
            )
        self._schedule.step(error)
        return Epoch(
            number=number,
            training_error=total / len(learn),
            validation_error=error,
            learning_rate=self._optimiser.param_groups[0]["lr"],
        )

    def _validate(self, windows: Windows) -> float:
        self._network.eval()
        total, n_known = 0.0, 0
        with torch.inference_mode():
            for first in range(0, len(windows), 4 * self._recipe.batch_size):
                chosen = slice(first, first + 4 * self._recipe.batch_size)
                contexts, targets = self._scaled.batch(windows, chosen)
                errors = _absolute_errors(self._network(contexts), targets)
                total += float(errors.sum())
                n_known += len(errors)
        return total / max(1, n_known)


def _absolute_errors(predicted: Tensor, true: Tensor) -> Tensor:
    """Return the errors (known,) of targets that are known; a NaN forecast of one stays NaN."""
    known = ~true.isnan()
    return (predicted[known] - true[known]).abs()


def _tensor(values: Floats) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
