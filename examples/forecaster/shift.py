"""Parts of the example's world: a fleet, a change of regime, a fault, a generator.

Everything is made at run time and nothing is kept: the real series may be
used as it is, and altered copies of it may not be published.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

DAY = 24  # hours
FIRST_WEEKDAY = 4  # hour 0 is the first of July 2016, a Friday; Monday is 0
N_CHANNELS = 7

# How strongly the new consumers load each channel, in its standard deviations:
# high, middle and low voltage (useful, useless), and the oil's temperature.
WEIGHTS = np.array([2.1, 0.85, 2.0, 0.7, 1.7, 1.1, 0.55])
LEVEL = 0.6  # of the base load that comes with them, in the same unit
GAIN = 0.15  # half width of the range of an entity's gains
NOISE = 0.05  # of an entity's own, in standard deviations
MEMORY = 0.7  # of that noise, from hour to hour


def shift(values: NDArray[np.float64], hours: NDArray[np.int64]) -> NDArray[np.float64]:
    """Connect new consumers: they charge at night, come home at seven, and have solar roofs.

    The level rises, the daily amplitude grows and has another shape, and the
    channels relate otherwise than before, because each is loaded differently.

    Parameters
    ----------
    values : (hour, channel)
        Readings from the moment of the change on.
    hours : (hour,)
        Their hours, counted from the start of the series.

    Returns
    -------
    (hour, channel)
        A changed copy, in the unit of the readings.

    Examples
    --------
    >>> readings = np.random.default_rng(0).normal(size=(240, 7))
    >>> bool((shift(readings, np.arange(240)).mean(axis=0) > 0.3).all())
    True
    """
    hour = hours % DAY
    night = np.exp(-0.5 * ((hour - 2) / 1.5) ** 2)
    evening = np.exp(-0.5 * ((hour - 19) / 1.5) ** 2)
    sun = np.exp(-0.5 * ((hour - 12) / 2.0) ** 2)
    pattern = night + evening - 0.8 * sun
    load: NDArray[np.float64] = (pattern + LEVEL)[:, np.newaxis] * WEIGHTS * values.std(axis=0)
    return values + load


def is_weekend(hours: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return for each hour of the series whether it is on a Saturday or a Sunday."""
    weekend: NDArray[np.bool_] = (hours // DAY + FIRST_WEEKDAY) % 7 >= 5
    return weekend


def fault(values: NDArray[np.float64], channel: int, factor: float) -> NDArray[np.float64]:
    """Return a copy (hour, channel) in which one sensor reports in another unit."""
    broken = values.copy()
    broken[:, channel] *= factor
    return broken


def fleet(series: NDArray[np.float64], n_entities: int, seed: int) -> NDArray[np.float64]:
    """Derive a fleet from one real transformer: each with its own gains and a little noise.

    Parameters
    ----------
    series : (hour, channel)
        The real one.
    n_entities
        Size of the fleet.
    seed
        Same seed, same fleet.

    Returns
    -------
    (entity, hour, channel)
        In the unit of the series.
    """
    random = np.random.default_rng(seed)
    shape = (n_entities, *series.shape)
    gains = random.uniform(1 - GAIN, 1 + GAIN, (n_entities, 1, series.shape[1]))
    shocks = random.normal(size=shape) * np.sqrt(1 - MEMORY**2)
    own: NDArray[np.float64] = lfilter([1.0], [1.0, -MEMORY], shocks, axis=1)
    made: NDArray[np.float64] = series * gains + NOISE * series.std(axis=0) * own
    return made


def synthetic(n_hours: int, seed: int) -> NDArray[np.float64]:
    """Return a synthetic series (hour, channel) like that of a transformer.

    Seven channels share three loads (useful, useless, weather), with a daily
    and a weekly season whose shape and strength wander, a slow trend, and
    noise that is autocorrelated over hours. About as hard to forecast as ETTh1.

    Examples
    --------
    >>> synthetic(1000, 1).shape
    (1000, 7)
    """
    random = np.random.default_rng(seed)
    hours = np.arange(n_hours)
    angle = 2 * np.pi * (hours % DAY) / DAY
    year = np.cos(2 * np.pi * hours / (365.25 * DAY))
    strength = 1 + 0.3 * _wander(random, n_hours, 15 * DAY)
    daily = strength * (np.sin(angle - 2.0) + 0.5 * np.sin(2 * angle + 0.4))
    weekly = np.where(is_weekend(hours), -0.6, 0.24)
    useful = daily + weekly + 0.5 * year + 0.5 * _wander(random, n_hours, 8 * DAY)
    useless = 0.6 * np.sin(angle - 1.4) * strength + _wander(random, n_hours, 20 * DAY)
    weather = -2.0 * year + 0.4 * np.sin(angle - 2.6) + _wander(random, n_hours, 5 * DAY)
    loads = np.stack([useful, useless, weather], axis=1)
    mixing = np.array(
        [
            [5.0, 1.0, 0.0],
            [1.0, 1.6, 0.0],
            [4.8, 0.6, 0.3],
            [0.7, 1.4, 0.0],
            [0.8, 0.2, -0.3],
            [0.3, 0.4, -0.1],
            [0.8, 0.0, 4.5],
        ]
    )
    level = np.array([7.4, 2.2, 4.3, 0.9, 3.1, 0.9, 13.3])
    own = np.stack([_wander(random, n_hours, 4) for _ in range(N_CHANNELS)], axis=1)
    clean = loads @ mixing.T
    made: NDArray[np.float64] = level + clean + 0.35 * clean.std(axis=0) * own
    return made


def _wander(
    random: np.random.Generator, n_hours: int, memory_hours: float
) -> NDArray[np.float64]:
    """Return noise (hour,) of unit variance, autocorrelated over `memory_hours`."""
    phi = np.exp(-1.0 / memory_hours)
    shocks = random.normal(size=n_hours) * np.sqrt(1 - phi**2)
    wandering: NDArray[np.float64] = lfilter([1.0], [1.0, -phi], shocks)
    return wandering
