"""Sums of losses by event day: what is stored, and how accuracy follows from it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

import msgspec
import numpy as np

from core.arrays import Bools, Floats, Ints
from core.errors import Unprocessable
from core.schema.contract import Contract
from core.schema.task import LABELLED, N_SUMS, NAIVE, Scored, Task, Units
from core.stored import parsed_known

DAY_OF_HOURS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedScale:
    """What a manifest states of the scaler of the targets."""

    std: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedUnits:
    """What is read of a version's manifest, which anyone may have written, to score it."""

    scaler: StatedScale | None = None
    season_steps: Annotated[int, msgspec.Meta(ge=1)] = DAY_OF_HOURS


def units(manifest: Mapping[str, Any], contract: Contract) -> Units:
    """Read the units from a version's manifest; natural units where it states none.

    Raises
    ------
    Unprocessable
        If the scaler does not have one positive number for each target, or
        the season is no count of steps.

    Examples
    --------
    >>> from core.durations import MINUTE
    >>> from core.schema.feature import Feature
    >>> contract = Contract(features=(Feature(name="x"),), targets=("a", "b"),
    ...     step=MINUTE, input_length=1, horizon=1)
    >>> units({"scaler": {"mean": [0, 0], "std": [2, 4]}}, contract).std
    array([2., 4.])
    """
    n_targets = len(contract.targets)
    stated = parsed_known(manifest, StatedUnits, "manifest")
    scaler = stated.scaler
    std = np.ones(n_targets) if scaler is None or scaler.std is None else np.array(scaler.std)
    if std.shape != (n_targets,) or not (std > 0).all():
        raise Unprocessable(f"manifest: scaler.std needs {n_targets} positive numbers")
    return Units(std=std, season_steps=stated.season_steps)


def seasonal_lag(horizon: int, season_steps: int) -> Ints:
    """Return how many steps before each target the naive forecast reads, shape (step,).

    Whole seasons, as many as needed to read only known values.

    Examples
    --------
    >>> seasonal_lag(5, 2)
    array([2, 2, 4, 4, 6])
    """
    ahead = np.arange(1, horizon + 1)
    return -(-ahead // season_steps) * season_steps


def parts(scored: Scored) -> list[Floats | Bools]:
    """Return what is added up of some predictions, each (prediction, step, target).

    Expected, labelled, the loss, the naive baseline's loss, the task's own sums, and last how
    many values the naive loss is known for.
    """
    return [
        scored.expected,
        scored.labelled,
        scored.loss,
        scored.naive,
        *scored.sums,
        scored.compared,
    ]


def total(of: Sequence[Floats | Bools]) -> Floats:
    """Return the sums over all predictions of the parts, (step, target, part).

    Examples
    --------
    >>> total([np.ones((3, 1, 1)), np.zeros((3, 1, 1))])
    array([[[3., 0.]]])
    """
    return np.stack([part.sum(axis=0, dtype=float) for part in of], axis=-1)


def by_place(of: Sequence[Floats | Bools], places: Ints) -> Iterator[tuple[int, Floats]]:
    """Yield the sums over the predictions of each place, of shape (step, target, part).

    Parameters
    ----------
    of
        From `parts`.
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
        yield int(places[start]), total([part[start:end] for part in of])


def chunk(totals: Floats) -> Floats:
    """Return what is stored of a day's sums: one less on the last axis.

    The naive baseline needs a label of a season ago as well, so it is summed
    over fewer cells; its sum is scaled up to all that are labelled, that the
    two may be compared. NaN where it is known for none of them.

    Examples
    --------
    >>> chunk(np.array([[[10.0, 8.0, 4.0, 3.0, 4.0]]]))
    array([[[10.,  8.,  4.,  6.]]])
    """
    stored = totals[..., :-1].copy()
    compared, labelled = totals[..., -1], totals[..., LABELLED]
    mean = np.divide(
        totals[..., NAIVE], compared, out=np.full_like(compared, np.nan), where=compared > 0
    )
    stored[..., NAIVE] = np.where(labelled > 0, mean * labelled, 0.0)
    return stored


def width(task: Task) -> int:
    """Return how many sums a cell has in storage."""
    return N_SUMS + len(task.sums)


def losses(scored: Scored) -> Floats:
    """Return mean losses, (prediction, step, target); NaN where no label is in."""
    n = np.asarray(scored.labelled, dtype=float)
    means: Floats = np.divide(scored.loss, n, out=np.full_like(n, np.nan), where=n > 0)
    return means


def metrics(task: Task, cells: Floats) -> dict[str, float | None]:
    """Return the task's metrics of some sums; empty without a label.

    Parameters
    ----------
    task
        Names the sums.
    cells : (..., sum)
        As they are stored.

    Examples
    --------
    >>> from core.schema.task import TASKS
    >>> metrics(TASKS.find("forecast"), np.array([[[4.0, 4.0, 2.0, 4.0, 4.0]]]))
    {'MAE': 0.5, 'RMSE': 1.0, 'relative to naive': 0.5}
    """
    summed = cells.reshape(-1, cells.shape[-1]).sum(axis=0)
    if not summed[LABELLED]:
        return {}
    names = ("expected", "labelled", "loss", "naive", *task.sums)
    of = {name: float(value) for name, value in zip(names, summed, strict=True)}
    return {metric.name: metric.of(of) for metric in task.metrics}
