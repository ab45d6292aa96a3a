"""Training windows: their origins, and which are complete."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Windows:
    """Windows of many series: the context ends before the origin, the target begins at it.

    Attributes
    ----------
    entity, origin : (window,)
        Index of the series, and of the first step that is to be forecast.
    """

    entity: Ints
    origin: Ints

    def __len__(self) -> int:
        return len(self.origin)

    def select(self, chosen: NDArray[np.bool_]) -> "Windows":
        """Return some of them."""
        return Windows(entity=self.entity[chosen], origin=self.origin[chosen])


def spread(n_entities: int, start: int, end: int, stride: int) -> Windows:
    """Return windows of every series with origins `start`, `start + stride`, … before `end`.

    Examples
    --------
    >>> spread(2, 96, 110, 6).origin
    array([ 96, 102, 108,  96, 102, 108])
    """
    origins = np.arange(start, max(start, end), stride, dtype=np.int64)
    return Windows(
        entity=np.repeat(np.arange(n_entities, dtype=np.int64), len(origins)),
        origin=np.tile(origins, n_entities),
    )


def join(*parts: Windows) -> Windows:
    """Return all windows of all parts."""
    return Windows(
        entity=np.concatenate([part.entity for part in parts]),
        origin=np.concatenate([part.origin for part in parts]),
    )


def whole(
    windows: Windows, inputs: Floats, targets: Floats, input_length: int, horizon: int
) -> Windows:
    """Leave out windows that reach over an end, miss an input, or have no target at all.

    Parameters
    ----------
    windows
        The candidates.
    inputs, targets : (entity, step, channel)
        NaN where nothing was logged, or no label has arrived.
    input_length, horizon
        Steps before, and from, the origin.
    """
    n_steps = inputs.shape[1]
    fits = (windows.origin >= input_length) & (windows.origin + horizon <= n_steps)
    inside = windows.select(fits)
    gaps = _running(np.any(np.isnan(inputs), axis=2))
    known = _running(np.any(~np.isnan(targets), axis=2))
    entity, origin = inside.entity, inside.origin
    n_gaps = gaps[entity, origin] - gaps[entity, origin - input_length]
    n_known = known[entity, origin + horizon] - known[entity, origin]
    return inside.select((n_gaps == 0) & (n_known > 0))


def _running(flags: NDArray[np.bool_]) -> Ints:
    """Return how many flags (entity, step) are set before each step."""
    total = np.zeros((flags.shape[0], flags.shape[1] + 1), dtype=np.int64)
    np.cumsum(flags, axis=1, out=total[:, 1:])
    return total


def scaler(inputs: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard deviation (channel,) of readings, NaN left out; no zero SD."""
    mean = np.nan_to_num(np.nanmean(inputs, axis=(0, 1)))
    std = np.nan_to_num(np.nanstd(inputs, axis=(0, 1)))
    return mean, np.where(std > 0, std, 1.0)
