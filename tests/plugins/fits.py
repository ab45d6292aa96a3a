"""A small training of any template; `until_killed` dies in its midst."""

import os
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from retrain.plan import Sizes
from retrain.template import TEMPLATES, Epoch, FitRun, Trained, TrainingSet
from retrain.windows import spread

SIZES = Sizes(input_length=12, horizon=4, day=24)
PARAMS: dict[str, dict[str, Any]] = {  # small ones, for each template that is installed
    "segment_lstm": {"width": 8, "max_epochs": 5},
    "dlinear": {"kernel": 5, "epochs": 5},
}
KILLED_AFTER = 2  # epochs


def waves() -> TrainingSet:
    """Return two entities of two waves with noise, in units far from one."""
    step = np.arange(400)
    clean = np.stack([np.sin(step / 2), np.cos(step / 3)], axis=1)
    noise = np.random.default_rng(0).normal(size=(2, 400, 2))
    series = 1000.0 + np.array([40.0, 0.3]) * (clean + 0.1 * noise)
    return TrainingSet(
        inputs=series,
        targets=series,
        learn=spread(2, 12, 280, 1),
        validate=spread(2, 290, 380, 3),
        sizes=SIZES,
    )


def train(
    name: str,
    folder: Path | None = None,
    on_progress: Callable[[Epoch], None] = lambda _: None,
    seed: int = 1,
) -> tuple[Trained[Any], bytes]:
    kind = TEMPLATES.find(name)
    run: FitRun[Any] = FitRun(seed=seed, checkpoints=folder, on_progress=on_progress)
    template = kind.load()
    trained = template.fit(kind.parse(PARAMS[name]), waves(), run)
    return trained, template.encode(trained.fitted)


def kill_after(epoch: Epoch) -> None:
    if epoch.number == KILLED_AFTER:
        os.kill(os.getpid(), signal.SIGKILL)


def until_killed(name: str, folder: Path) -> None:
    train(name, folder, kill_after)


@cache
def trained_once(name: str) -> tuple[Trained[Any], bytes]:
    """Return what a training without interruption ends in."""
    return train(name)
