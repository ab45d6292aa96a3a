"""Detection of dtype casts from the levels that they leave."""

from collections.abc import Callable

import numpy as np

from monitors.summaries.summary import Floats

# Levels that a column must take before their distance is called a level width.
_MIN_LEVELS = 4


def _float16(values: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return values.astype(np.float16).astype(np.float64)


def _bfloat16(values: Floats) -> Floats:
    """Keep the upper half of a float32, rounded half to even."""
    with np.errstate(over="ignore"):
        bits = values.astype(np.float32).view(np.uint32).astype(np.uint64)
    bits += 0x7FFF + ((bits >> 16) & 1)
    return ((bits >> 16) << 16).astype(np.uint32).view(np.float32).astype(np.float64)


def _float32(values: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return values.astype(np.float32).astype(np.float64)


_CASTS: dict[str, Callable[[Floats], Floats]] = {
    "float32": _float32,
    "float16": _float16,
    "bfloat16": _bfloat16,
    "an integer, cut off": np.trunc,
    "an integer, rounded": np.round,
    "an integer, rounded down": np.floor,
}
_CASTS |= {
    f"{n} decimals": lambda values, n=n: np.round(values, n)  # type: ignore[misc]
    for n in range(1, 7)
}


def exact(offline: Floats, online: Floats) -> str | None:
    """Name the cast that makes online of offline, to the last bit.

    Parameters
    ----------
    offline, online : (pair,)
        All finite.

    Returns
    -------
    str or None
        None where no cast does, and where nothing needs one; nor where online
        is one value, which is less than a cast.

    Examples
    --------
    >>> values = np.random.default_rng(1).normal(size=30)
    >>> exact(values, values.astype(np.float32).astype(float)), exact(values, values)
    ('float32', None)
    >>> exact(10 * values, np.trunc(10 * values))
    'an integer, cut off'
    """
    if np.array_equal(offline, online) or np.ptp(online) == 0:
        return None
    for name, cast in _CASTS.items():
        if np.array_equal(cast(offline), online):
            return name
    return None


def width(online: Floats) -> float | None:
    """Return the distance of the levels that a column takes; None where it takes none.

    Parameters
    ----------
    online : (pair,)
        All finite.

    Examples
    --------
    >>> values = np.random.default_rng(1).normal(size=30)
    >>> width(values) is None, width(np.round(4 * values) / 4)
    (True, 0.25)
    """
    levels = np.unique(online)
    if not _MIN_LEVELS <= levels.size <= online.size / 2:
        return None
    apart = float(np.diff(levels).min())
    steps = (levels - levels[0]) / apart
    return apart if np.abs(steps - np.round(steps)).max() < 1e-6 * steps.max() + 1e-6 else None


def beyond(predicted: Floats, online: Floats, level_width: float) -> Floats:
    """Return by how much pairs are further apart than rounding to levels can explain.

    Parameters
    ----------
    predicted, online : (pair,)
        Online as it would be without levels, and as it is.
    level_width
        Of the levels of online.

    Returns
    -------
    (pair,)
        0 within half a level, for rounding to the nearest or down, whichever fits better.
        The differences themselves where the prediction moves by less than a level: then
        levels would explain anything.
    """
    apart = online - predicted
    if predicted.std() < level_width or _on_levels(predicted, level_width):
        return apart
    found = [
        np.maximum(np.abs(apart + down) - level_width / 2, 0.0)
        for down in (0.0, level_width / 2)
    ]
    better: Floats = min(found, key=lambda excess: float(excess @ excess))
    return better


def _on_levels(predicted: Floats, level_width: float) -> bool:
    """Whether offline has the same levels, so that rounding changes nothing."""
    steps = (predicted - predicted[0]) / level_width
    return bool(np.mean(np.abs(steps - np.round(steps)) < 1e-3) > 0.5)
