"""Split of the history into training, validation and gate windows."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from retrain.windows import Floats, Windows, join, spread, whole

MAX_WINDOWS = 20_000  # to learn from: beyond, two cores gain minutes and no accuracy
FOLD_WINDOWS = 10_000  # the same for a fold, which only has to show how hard each season is
STRIDES = (1, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47)  # no season divides them
FIRST_SHARE = 0.1  # of a first version's history: for validation, and again for the gate
REPLAY_DAYS = 90  # of before the change: so that what was known is not forgotten
N_FOLDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How long things are, in steps."""

    input_length: int
    horizon: int
    day: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """Windows for each purpose, each later than the one before; targets never overlap."""

    learn: Windows
    validate: Windows
    gate: Windows
    gate_start: int


def first(inputs: Floats, targets: Floats, end: int, sizes: Sizes) -> Plan:
    """Plan the first version: all history.

    Parameters
    ----------
    inputs, targets : (entity, step, channel)
        NaN where missing.
    end
        Steps from here on have not all their labels yet.
    sizes
        How long things are.
    """
    span = end - sizes.input_length
    gate_start = end - int(FIRST_SHARE * span)
    validate_start = gate_start - int(FIRST_SHARE * span)
    return _plan(inputs, targets, sizes, (sizes.input_length, validate_start, gate_start, end))


def renewal(
    inputs: Floats, targets: Floats, onset: int, gate_days: int, end: int, sizes: Sizes
) -> Plan:
    """Plan a new version after a change at `onset`: what is new, and a replay of the old.

    The parameters are those of `first`, and the first step of the change.
    """
    gate_start = end - gate_days * sizes.day
    # At least a day of origins: targets reach a horizon further, and end before the gate's.
    n_validate = max(sizes.horizon + sizes.day, int(0.15 * (gate_start - onset)))
    validate_start = gate_start - n_validate
    new_start = min(onset + sizes.day, validate_start)
    plan = _plan(inputs, targets, sizes, (new_start, validate_start, gate_start, end))
    old_start = max(sizes.input_length, onset - REPLAY_DAYS * sizes.day)
    old = spread(len(inputs), old_start, onset - sizes.horizon, STRIDES[2])
    old = whole(old, inputs, targets, sizes.input_length, sizes.horizon)
    return replace(plan, learn=join(old, plan.learn))


def gate_windows(
    inputs: Floats, targets: Floats, gate_start: int, end: int, sizes: Sizes
) -> Windows:
    """Return the windows whose targets begin at `gate_start` or later, and end by `end`."""
    every = spread(len(inputs), gate_start, end - sizes.horizon + 1, STRIDES[1])
    return whole(every, inputs, targets, sizes.input_length, sizes.horizon)


def folds(
    inputs: Floats, targets: Floats, end: int, sizes: Sizes
) -> list[tuple[Windows, Windows, Windows]]:
    """Cut the history so that each part is forecast by a network that never saw it.

    A year's error has seasons; a hold-out of one month would promise what the
    next month cannot keep.

    Returns
    -------
    list of (learn, validate, test)
        Purged: a window of one never overlaps a window of another.
    """
    purge = sizes.input_length + sizes.horizon
    borders = np.linspace(sizes.input_length, end - sizes.horizon, N_FOLDS + 1).astype(int)
    n = len(inputs)
    cuts = []
    for start, stop in pairwise(borders.tolist()):
        stride = _stride(n, end - (stop - start), FOLD_WINDOWS)
        rest = join(
            spread(n, sizes.input_length, start - purge, stride),
            spread(n, stop + purge, end - sizes.horizon, stride),
        )
        origins = np.unique(rest.origin)
        border = origins[int((1 - FIRST_SHARE) * (len(origins) - 1))] if len(origins) else end
        parts = (
            rest.select(rest.origin < border - sizes.horizon),
            rest.select(rest.origin >= border),
            spread(n, start, stop, STRIDES[1]),
        )
        learn, validate, test = (
            whole(part, inputs, targets, sizes.input_length, sizes.horizon) for part in parts
        )
        cuts.append((learn, validate, test))
    return cuts


def _plan(
    inputs: Floats, targets: Floats, sizes: Sizes, borders: tuple[int, int, int, int]
) -> Plan:
    learn_start, validate_start, gate_start, end = borders
    n = len(inputs)
    stride = _stride(n, validate_start - learn_start)
    parts = (
        spread(n, learn_start, validate_start - sizes.horizon, stride),
        spread(n, validate_start, gate_start - sizes.horizon, STRIDES[1]),
    )
    learn, validate = (
        whole(part, inputs, targets, sizes.input_length, sizes.horizon) for part in parts
    )
    gate = gate_windows(inputs, targets, gate_start, end, sizes)
    return Plan(learn=learn, validate=validate, gate=gate, gate_start=gate_start)


def _stride(n_entities: int, n_steps: int, n_windows: int = MAX_WINDOWS) -> int:
    wanted = n_entities * n_steps / n_windows
    return next((stride for stride in STRIDES if stride >= wanted), STRIDES[-1])
