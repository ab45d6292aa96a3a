"""Fit a network: clipped gradients, a plateau schedule, early stopping, a time limit."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from core.errors import Unprocessable
from retrain.template import Epoch, FitRun, Trained, TrainingSet
from retrain.training import checkpoint
from retrain.training.checkpoint import State
from retrain.training.forecast import Forecaster, Network, NetworkShape
from retrain.windows import Floats, Windows, scaler


def limit_threads(n: int) -> None:
    """Limit how many threads of this process PyTorch computes in."""
    torch.set_num_threads(n)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to train.

    Attributes
    ----------
    learning_rate
        Of Adam; halved when the validation error has not fallen for two epochs.
    batch_size
        Windows per step.
    max_epochs, patience
        Stop after so many epochs, or so many without a better validation error.
    clip
        Largest norm of a gradient.
    """

    learning_rate: float = 1e-3
    batch_size: int = 256
    max_epochs: int = 20
    patience: int = 3
    clip: float = 1.0


def fit(
    make: Callable[[], Network],
    shape: NetworkShape,
    recipe: Recipe,
    data: TrainingSet,
    run: FitRun[Forecaster],
) -> Trained[Forecaster]:
    """Train a network, from scratch, from a base, or from the checkpoint of this training.

    Parameters
    ----------
    make, shape
        Makes the network; the shape that it has.
    recipe
        How to train it.
    data
        What to learn from. A NaN target is left out of the loss.
    run
        Seed, base, checkpoints and progress. A base of this shape gives its weights and its
        scaler, which they rely on; one of another shape gives nothing.

    Returns
    -------
    Trained
        With the weights of the epoch that validated best. After a kill it is equal to the
        last bit, on the same machine, unless the time limit ends it.

    Raises
    ------
    Unprocessable
        If there is nothing to learn from or to validate on, or training diverges.
    """
    if not len(data.learn) or not len(data.validate):
        n_learn, n_validate = len(data.learn), len(data.validate)
        raise Unprocessable(
            f"too little data: {n_learn} windows to learn from, {n_validate} to validate"
        )
    base = run.base if run.base is not None and run.base.network.config == shape else None
    mean, std = (
        (base.mean, base.std)
        if base
        else scaler(data.inputs[:, : int(data.learn.origin.max())])
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        network = make()
        if base is not None:
            network.load_state_dict(base.network.state_dict())
        course = _Course(network, recipe, _Scaled(data, mean, std))
        epochs, seconds = _train(course, checkpoint.identity(shape, recipe, data, run), run)
    return Trained(
        fitted=Forecaster(network=network.eval(), mean=mean, std=std),
        epochs=epochs,
        n_windows=len(data.learn),
        seconds=seconds,
    )


def _train(
    course: "_Course", identity: str, run: FitRun[Forecaster]
) -> tuple[tuple[Epoch, ...], float]:
    """Train until a rule stops it, and keep the best weights; return epochs and seconds."""
    began = time.monotonic()
    found = checkpoint.read(run.checkpoints, identity) if run.checkpoints else None
    before = course.restore(found) if found else 0.0
    seconds = before
    while not course.has_ended and (not course.epochs or seconds <= run.max_seconds):
        epoch = course.epoch()
        seconds = before + time.monotonic() - began
        if run.checkpoints:
            checkpoint.write(run.checkpoints, identity, course.state(seconds))
        run.on_progress(epoch)
    course.take_best()
    return (*course.epochs,), seconds


class _Scaled:
    """Standardised series, cut into windows without copying them beforehand."""

    def __init__(self, data: TrainingSet, mean: Floats, std: Floats) -> None:
        sizes = data.sizes
        self._inputs = _tensor((data.inputs - mean) / std).unfold(1, sizes.input_length, 1)
        self._targets = _tensor((data.targets - mean) / std).unfold(1, sizes.horizon, 1)
        self._input_length = sizes.input_length
        self.learn, self.validate = data.learn, data.validate

    def batch(self, windows: Windows, chosen: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Return contexts (batch, input, channel) and targets (batch, horizon, channel)."""
        entity = torch.from_numpy(windows.entity)[chosen]
        origin = torch.from_numpy(windows.origin)[chosen]
        contexts = self._inputs[entity, origin - self._input_length]
        return contexts.transpose(1, 2), self._targets[entity, origin].transpose(1, 2)


class _Course:
    """Weights, optimiser and schedule of one training."""

    def __init__(self, network: Network, recipe: Recipe, scaled: _Scaled) -> None:
        self._network = network
        self._recipe = recipe
        self._scaled = scaled
        self._optimiser = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
        self._schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self._optimiser, factor=0.5, patience=1
        )
        self._best = self._weights()
        self.epochs: list[Epoch] = []

    @property
    def has_ended(self) -> bool:
        """Whether the epochs, or the patience, are used up."""
        return (
            len(self.epochs) >= self._recipe.max_epochs
            or self._since_best >= self._recipe.patience
        )

    @property
    def _since_best(self) -> int:
        errors = [one.validation_error or 0.0 for one in self.epochs]
        return len(errors) - 1 - int(np.argmin(errors)) if errors else 0

    def _weights(self) -> dict[str, Tensor]:
        return {name: one.clone() for name, one in self._network.state_dict().items()}

    def take_best(self) -> None:
        """Give the network the weights of the epoch that validated best."""
        self._network.load_state_dict(self._best)

    def state(self, seconds: float) -> State:
        """Return all that the next epochs depend on."""
        moments: dict[int, dict[str, Tensor]] = self._optimiser.state_dict()["state"]
        return State(
            weights=self._network.state_dict(),
            best=self._best,
            moments=moments,
            schedule=self._schedule.state_dict(),
            random=torch.get_rng_state(),
            epochs=(*self.epochs,),
            seconds=seconds,
        )

    def restore(self, state: State) -> float:
        """Continue from a checkpoint; return the seconds of the training before it."""
        self._network.load_state_dict(state.weights)
        self._best = dict(state.best)
        self.epochs = [*state.epochs]
        groups: list[dict[str, Any]] = self._optimiser.state_dict()["param_groups"]
        groups[0]["lr"] = self.epochs[-1].learning_rate
        self._optimiser.load_state_dict({"state": state.moments, "param_groups": groups})
        self._schedule.load_state_dict(dict(state.schedule))
        torch.set_rng_state(state.random)
        return state.seconds

    def epoch(self) -> Epoch:
        """Go through all windows once, in random order, then validate."""
        learn, number = self._scaled.learn, len(self.epochs) + 1
        self._network.train()
        total = 0.0
        for chosen in torch.split(torch.randperm(len(learn)), self._recipe.batch_size):
            contexts, targets = self._scaled.batch(learn, chosen)
            self._optimiser.zero_grad(set_to_none=True)
            loss = _absolute_errors(self._network(contexts), targets).mean()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self._network.parameters(), self._recipe.clip)
            self._optimiser.step()
            total += float(loss.detach()) * len(chosen)
        error = self._validate(self._scaled.validate)
        if not math.isfinite(error):
            raise Unprocessable(
                f"training diverged: validation error {error} in epoch {number}"
            )
        self._schedule.step(error)
        epoch = Epoch(
            number=number,
            training_error=total / len(learn),
            validation_error=error,
            learning_rate=self._optimiser.param_groups[0]["lr"],
        )
        self.epochs.append(epoch)
        if self._since_best == 0:
            self._best = self._weights()
        return epoch

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
