"""View `spectrum`: power by frequency."""

import numpy as np

from monitors.statistics.view import Statistic, View, cut, log_size, stack
from monitors.summaries.hourly import HOURS, Hourly
from monitors.summaries.summary import Bools, Floats

# Cycles per hour; between the lines of the daily rhythm.
_SLOW, _FAST = 1 / 12, 1 / 4

_LEAST = 1e-20  # of the power of one full step: rounding, not movement

_PARTS = tuple(
    Statistic(
        name=f"log {name}",
        grain=0.05,
        more=f"more variance {where}",
        less=f"less variance {where}",
    )
    for name, where in (
        ("daily", "with the hour of the day"),
        ("slow", "over half a day and longer, apart from its daily rhythm"),
        ("middle", "within 4 to 12 hours, apart from its daily rhythm"),
        ("fast", "within 2 to 4 hours, apart from its daily rhythm"),
    )
)


def spectrum() -> View:
    """Return the view of the pace of movement.

    The steps from hour to hour are evaluated, not the values: their spectrum
    is nearly flat, and so one band does not leak into the next. In windows of
    whole days the daily rhythm lies on frequencies of its own.

    Returns
    -------
    View
        Logarithm of the root of the mean power of the daily rhythm and of
        three bands between its harmonics. A window of one day has nothing
        between: NaN.

    References
    ----------
    .. [1] D. S. Coates and P. J. Diggle, "Tests for comparing two estimated
       spectral densities", J. Time Ser. Anal. 7(1), 1986, 7-20.
    """
    return View(name="spectrum", parts=_PARTS, before=1, statistics=_statistics)


def _statistics(hours: Hourly, window: int, step: int) -> Floats:
    windows = cut(hours.mean[1:] - hours.mean[:-1], window, step)
    size = windows.mean(np.abs(windows.values))
    unit = np.where(size > 0, size, 1.0)
    waves = np.fft.rfft(windows.values / unit[..., np.newaxis], axis=-1)
    power = (waves.real**2 + waves.imag**2) / windows.n[..., np.newaxis]
    return stack(*(_strength(power, band) + log_size(size) for band in _bands(window)))


def _bands(window: int) -> tuple[Bools, ...]:
    pace = np.fft.rfftfreq(window)
    turns = pace * HOURS
    daily = (np.abs(turns - np.round(turns)) < 1e-6) & (turns > 0.5)
    between = ~daily & (pace > 0)
    return (
        daily,
        between & (pace < _SLOW),
        between & (pace >= _SLOW) & (pace < _FAST),
        between & (pace >= _FAST),
    )


def _strength(power: Floats, band: Bools) -> Floats:
    if not band.any():
        return np.full(power.shape[:-1], np.nan)
    strength: Floats = 0.5 * np.log(np.maximum(power[..., band].mean(axis=-1), _LEAST))
    return strength
