"""Horizon buckets: groups of steps of a forecast.

Neighbouring steps of a long forecast are nearly equal, and the
further ahead the more so. Each part is therefore four times as long as the one
before it: what is kept of a target is bounded, however long the horizon.
"""

from itertools import pairwise

# The last step of each part but the last, counted from 1. Halving the parts doubles what is
# kept of every hour, and neighbouring parts are nearly equal.
_LAST_STEPS = (1, 4, 16, 64)

BINS = 16  # between the edges: half of what input has, for there are up to five parts


def parts(horizon: int) -> list[slice]:
    """Return the steps of a forecast, from 0, part by part.

    Examples
    --------
    >>> parts(24)
    [slice(0, 1, None), slice(1, 4, None), slice(4, 16, None), slice(16, 24, None)]
    >>> parts(1)
    [slice(0, 1, None)]
    """
    bounds = [0, *(last for last in _LAST_STEPS if last < horizon), horizon]
    return [slice(start, stop) for start, stop in pairwise(bounds)]


def names(targets: tuple[str, ...], horizon: int) -> tuple[str, ...]:
    """Return what each part of each target is called: by its steps ahead, from 1.

    Examples
    --------
    >>> names(("load",), 24)
    ('load+1', 'load+2..4', 'load+5..16', 'load+17..24')
    """
    ahead = [
        str(part.stop) if part.stop - part.start == 1 else f"{part.start + 1}..{part.stop}"
        for part in parts(horizon)
    ]
    return tuple(f"{target}+{steps}" for target in targets for steps in ahead)
