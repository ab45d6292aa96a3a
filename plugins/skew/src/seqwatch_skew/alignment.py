"""Alignment in time: lags, reversed steps, shifted clocks."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import fft

from monitors.summaries.summary import Floats, Ints
from seqwatch_skew.faults import MIN_PAIRS, DiagnosedFault, Fault

MAX_LAG = 1_000  # steps that are searched on either side

# Zones are whole quarters of an hour from 12 hours behind to 14 before; two zones
# are at most 26 hours apart, but a day apart is a lag.
_QUARTER = 900
_MAX_ZONE = 14 * 3_600
_DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arrangement:
    """Offline as it would be if the fault had befallen it.

    Attributes
    ----------
    named
        None for the order as it is.
    also
        Another name for the very same change.
    values : (series, step)
        NaN where it is not known.
    """

    named: DiagnosedFault | None
    values: Floats
    also: Fault | None = None


def lagged(values: Floats, steps: int) -> Floats:
    """Return what was so many steps earlier, along the last axis; NaN beyond the ends.

    Examples
    --------
    >>> lagged(np.array([[1.0, 2.0, 3.0]]), 1), lagged(np.array([[1.0, 2.0, 3.0]]), -1)
    (array([[nan,  1.,  2.]]), array([[ 2.,  3., nan]]))
    """
    moved = np.full_like(values, np.nan)
    if steps > 0:
        moved[:, steps:] = values[:, :-steps]
    elif steps < 0:
        moved[:, :steps] = values[:, -steps:]
    else:
        moved[:] = values
    return moved


def correlations(offline: Floats, online: Floats) -> tuple[Ints, Floats]:
    """Return the correlation of online with offline at each lag, over the pairs that overlap.

    Parameters
    ----------
    offline, online : (series, step)
        NaN is left out.

    Returns
    -------
    lags : (lag,)
        In steps, from negative to positive; up to half of the steps.
    correlation : (lag,)
        0 where fewer than half of the pairs overlap, or nothing varies.
    """
    n_steps = offline.shape[1]
    reach = min(n_steps // 2, MAX_LAG)
    size = fft.next_fast_len(n_steps + reach, real=True)
    lags = np.arange(-reach, reach + 1)
    there_x, x, xx = (fft.rfft(part, size) for part in _standard(offline))
    there_y, y, yy = (fft.rfft(part, size) for part in _standard(online))

    def sums(late: Floats, early: Floats) -> Floats:
        products = (late * np.conj(early)).sum(axis=0)
        found: Floats = fft.irfft(products, size)[lags % size]
        return found

    n = np.round(sums(there_y, there_x))
    enough = n >= max(MIN_PAIRS, 0.5 * n[reach])
    n = np.maximum(n, 1.0)
    sum_x, sum_y = sums(there_y, x), sums(y, there_x)
    var_x = sums(there_y, xx) - sum_x**2 / n
    var_y = sums(yy, there_x) - sum_y**2 / n
    shared = sums(y, x) - sum_x * sum_y / n
    varies = enough & (np.minimum(var_x, var_y) > 1e-9 * n)
    scale = np.sqrt(np.where(varies, var_x * var_y, 1.0))
    return lags, np.where(varies, shared / scale, 0.0)


def _standard(values: Floats) -> tuple[Floats, Floats, Floats]:
    """Return what is there, its standardised values, and their squares; 0 where nothing is."""
    there = np.isfinite(values)
    if not there.any():
        return there.astype(float), np.zeros_like(values), np.zeros_like(values)
    spread = values[there].std()
    with np.errstate(invalid="ignore"):
        moved = (values - values[there].mean()) / (spread or 1.0)
    standard = np.where(there, moved, 0.0)
    return there.astype(float), standard, standard**2


def arrangements(
    offline: Floats, online: Floats, step_seconds: float | None, seconds: Floats | None
) -> Iterator[Arrangement]:
    """Yield the orders in which offline may have become online, the likelier first.

    Parameters
    ----------
    offline, online : (series, step)
        In the order of time along the last axis, unless `seconds` is given.
    step_seconds
        Between two steps; None when it is not known.
    seconds : (step,)
        Times of steps that lie on no regular grid; None when they do.
    """
    yield Arrangement(named=None, values=offline)
    if seconds is not None:
        yield from _by_clock(offline, online, seconds)
        return
    yield Arrangement(named=DiagnosedFault(fault=Fault.REVERSED), values=offline[:, ::-1])
    for steps in best_lags(offline, online):
        named, also = _lag(steps, step_seconds)
        yield Arrangement(named=named, values=lagged(offline, steps), also=also)


def best_lags(offline: Floats, online: Floats) -> tuple[int, ...]:
    """Return the lag, other than 0, at which online resembles offline most.

    Parameters
    ----------
    offline, online : (series, step)
        NaN is left out.

    Returns
    -------
    tuple
        The shortest of those that are alike, such as the lags of a period; two
        if they differ in the sign only, none if there is no likeness at all.

    Examples
    --------
    >>> series = np.random.default_rng(1).normal(size=(1, 100))
    >>> best_lags(series, lagged(series, 3)), best_lags(series, 5 + 2 * lagged(series, -7))
    ((3,), (-7,))
    """
    lags, correlation = correlations(offline, online)
    likeness = np.where(lags == 0, 0.0, np.abs(correlation))
    if likeness.max() <= 0:
        return ()
    alike = lags[likeness >= likeness.max() - 1e-9]
    shortest = np.abs(alike).min()
    return tuple(int(steps) for steps in alike if abs(steps) == shortest)


def _lag(steps: int, step_seconds: float | None) -> tuple[DiagnosedFault, Fault | None]:
    """Return a lag by the likelier of its two names, and the other when it has two."""
    parameters: dict[str, float | str] = {"steps": float(steps)}
    if step_seconds is None:
        return DiagnosedFault(fault=Fault.LAG, parameters=parameters), None
    parameters["seconds"] = steps * step_seconds
    if not _is_zone(steps * step_seconds):
        return DiagnosedFault(fault=Fault.LAG, parameters=parameters), None
    # A window that is off by one is the commoner fault; by several whole hours, a clock.
    if abs(steps) == 1:
        return DiagnosedFault(fault=Fault.LAG, parameters=parameters), Fault.TIME_ZONE
    return DiagnosedFault(fault=Fault.TIME_ZONE, parameters=parameters), Fault.LAG


def _is_zone(seconds: float) -> bool:
    return 3_600 <= abs(seconds) <= _MAX_ZONE and seconds % _QUARTER == 0


def _by_clock(offline: Floats, online: Floats, seconds: Floats) -> Iterator[Arrangement]:
    """Yield offline as other clocks would show it, near the phase of the daily harmonic."""
    about = phase(offline[0], online[0], seconds)
    if about is None:
        return
    nearest = round(about / _QUARTER) * _QUARTER
    for quarters in (0, 1, -1, 2, -2, 3, -3, 4, -4):
        moved = nearest + quarters * _QUARTER
        moved = (
            moved - _DAY if moved > _MAX_ZONE else moved + _DAY if moved < -_MAX_ZONE else moved
        )
        if not _is_zone(moved):
            continue
        named = DiagnosedFault(fault=Fault.TIME_ZONE, parameters={"seconds": float(moved)})
        for look_up in (_at_time, _at_time_of_day):
            values = look_up(offline[0], seconds, moved)
            if np.isfinite(values).sum() >= max(MIN_PAIRS, 0.5 * values.size):
                yield Arrangement(named=named, values=values[None])
                break


def phase(offline: Floats, online: Floats, seconds: Floats) -> float | None:
    """Return by how many seconds the daily wave of online is behind that of offline.

    Parameters
    ----------
    offline, online : (step,)
        NaN is left out.
    seconds : (step,)
        Times, in seconds since any midnight of UTC.

    Returns
    -------
    float or None
        Within 12 hours; None where either has no daily wave.

    Examples
    --------
    >>> seconds = np.cumsum(np.random.default_rng(1).integers(600, 9000, 200)).astype(float)
    >>> wave = lambda at: np.cos(2 * np.pi * at / 86_400)
    >>> round(phase(wave(seconds), wave(seconds - 7_200), seconds))
    7200
    """
    there = np.isfinite(offline) & np.isfinite(online)
    if there.sum() < MIN_PAIRS:
        return None
    angle = 2 * np.pi * seconds[there] / _DAY
    design = np.stack([np.ones_like(angle), np.cos(angle), np.sin(angle)], axis=1)
    both = np.stack([offline[there], online[there]], axis=1)
    fitted = np.linalg.lstsq(design, both, rcond=None)[0]
    waves = fitted[1] - 1j * fitted[2]
    if np.any(np.abs(waves) <= 1e-9 * (np.abs(both).max(axis=0) + 1e-300)):
        return None
    turned = float(np.angle(waves[0] / waves[1]))
    return turned * _DAY / (2 * np.pi)


def _at_time(values: Floats, seconds: Floats, moved: float) -> Floats:
    """Return the value of the moment so many seconds earlier; NaN where there is none."""
    place = np.searchsorted(seconds, seconds - moved)
    place = np.minimum(place, seconds.size - 1)
    return np.where(seconds[place] == seconds - moved, values[place], np.nan)


def _at_time_of_day(values: Floats, seconds: Floats, moved: float) -> Floats:
    """Return the value of the time of day so much earlier, of a feature that is a calendar's.

    NaN where the time of day never occurs, or occurs with different values.
    """
    there = np.isfinite(values)
    if not there.any():
        return np.full_like(values, np.nan)
    times, place = np.unique(seconds[there] % _DAY, return_inverse=True)
    low, high = np.full(times.size, np.inf), np.full(times.size, -np.inf)
    np.minimum.at(low, place, values[there])
    np.maximum.at(high, place, values[there])
    known = np.where(high - low <= 1e-9 * (1 + np.abs(high)), low, np.nan)
    wanted = (seconds - moved) % _DAY
    at = np.minimum(np.searchsorted(times, wanted), times.size - 1)
    return np.where(times[at] == wanted, known[at], np.nan)
