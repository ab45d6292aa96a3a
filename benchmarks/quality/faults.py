"""What is done to a sensor, in three strengths, and what is done to it that harms nobody.

A fault works on hours and on the hours before them, from `start` to the end.
Its strength is in the last column of `FAULTS`; amounts are in standard
deviations of the sensor, spans in hours.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.quality.series import DAY, Series
from monitors.summaries.summary import Floats

UNITS = ((0.3048, 0.0), (1.8, 32.0), (1000.0, 0.0))  # feet, Fahrenheit, thousandths


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FaultSetting:
    """What a fault may know of the sensor.

    Attributes
    ----------
    profile : (24,)
        The mean of each hour of the day, less the mean of all.
    others : (sensor, hour)
        The same hours of the other sensors, the most alike first.
    """

    mean: float
    sd: float
    profile: Floats
    others: Floats
    rng: np.random.Generator


Change = Callable[[Floats, int, float, FaultSetting], Floats]


def shift(values: Floats, start: int, strength: float, setting: FaultSetting) -> Floats:
    return np.concatenate([values[:start], values[start:] + strength * setting.sd])


def scale(values: Floats, start: int, strength: float, setting: FaultSetting) -> Floats:
    return np.concatenate(
        [values[:start], setting.mean + strength * (values[start:] - setting.mean)]
    )


def trend(values: Floats, start: int, strength: float, setting: FaultSetting) -> Floats:
    """Rise by `strength` each week."""
    weeks = np.arange(len(values) - start) / (7 * DAY)
    return np.concatenate([values[:start], values[start:] + strength * setting.sd * weeks])


def noise(values: Floats, start: int, strength: float, setting: FaultSetting) -> Floats:
    added = setting.rng.normal(0.0, strength * setting.sd, len(values) - start)
    return np.concatenate([values[:start], values[start:] + added])


def stuck(values: Floats, start: int, strength: float, setting: FaultSetting) -> Floats:
    """Repeat one value for `strength` hours, somewhere in the week after `start`."""
    room = min(len(values) - start, 7 * DAY) - int(strength)
    at = start + int(setting.rng.integers(0, room + 1))
    return np.concatenate(
        [values[:at], np.full(int(strength), values[at]), values[at + int(strength) :]]
    )


def hold(values: Floats, start: int, strength: float, setting: FaultSetting) -> Floats:
    """Let only each `strength`-th value through, and repeat it."""
    at = np.arange(len(values) - start)
    return np.concatenate([values[:start], values[start:][at - at % int(strength)]])


def drop(values: Floats, start: int, strength: float, setting: FaultSetting) -> Floats:
    gone = setting.rng.random(len(values) - start) < strength
    return np.concatenate([values[:start], np.where(gone, np.nan, values[start:])])


def late(values: Floats, start: int, strength: float, setting: FaultSetting) -> Floats:
    """Give the values of `strength` hours ago."""
    return np.concatenate(
        [values[:start], values[start - int(strength) : len(values) - int(strength)]]
    )


def unit(values: Floats, start: int, strength: float, setting: FaultSetting) -> Floats:
    factor, offset = UNITS[int(strength)]
    return np.concatenate([values[:start], values[start:] * factor + offset])


def swap(values: Floats, start: int, strength: float, setting: FaultSetting) -> Floats:
    """Give another sensor's values: 0 is the most alike, 1 the least."""
    other = setting.others[round(strength * (len(setting.others) - 1))]
    return np.concatenate([values[:start], other[start:]])


def shuffle(values: Floats, start: int, strength: float, setting: FaultSetting) -> Floats:
    """Put blocks of `strength` hours of each week in any order: no value changes."""
    out, length = values.copy(), int(strength)
    for begin in range(start, len(values), 7 * DAY):
        stretch = out[begin : begin + 7 * DAY]
        whole = len(stretch) // length * length
        blocks = stretch[:whole].reshape(-1, length)
        out[begin : begin + whole] = blocks[setting.rng.permutation(len(blocks))].ravel()
    return out


def season(values: Floats, start: int, strength: float, setting: FaultSetting) -> Floats:
    """Add `strength` times the daily profile; hour 0 of `values` is a midnight."""
    daily = setting.profile[np.arange(start, len(values)) % DAY]
    return np.concatenate([values[:start], values[start:] + strength * daily])


def holiday(
    values: Floats, start: int, strength: float, setting: FaultSetting | None = None
) -> Floats:
    """Let `strength` days in the middle of the week go as the same days a week ago."""
    at, span = start + 2 * DAY, int(strength) * DAY
    before = values[at - 7 * DAY : at - 7 * DAY + span]
    return np.concatenate([values[:at], before, values[at + span :]])


def segment(values: Floats, start: int, strength: float, setting: FaultSetting) -> Floats:
    """Take this share of the hours from senders whose values follow the daily profile."""
    at = np.arange(start, len(values))
    theirs = setting.mean + setting.profile[at % DAY]
    return np.concatenate([values[:start], (1 - strength) * values[start:] + strength * theirs])


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A change and its three strengths, the weakest first."""

    name: str
    change: Change
    strengths: tuple[float, float, float]
    needs_season: bool = False


FAULTS = (
    Fault(name="shift", change=shift, strengths=(0.25, 0.5, 1.0)),
    Fault(name="scale", change=scale, strengths=(1.1, 1.25, 1.5)),
    Fault(name="trend", change=trend, strengths=(0.5, 1.0, 2.0)),
    Fault(name="noise", change=noise, strengths=(0.1, 0.3, 0.6)),
    Fault(name="stuck", change=stuck, strengths=(6, 24, 72)),
    Fault(name="sample-and-hold", change=hold, strengths=(2, 3, 6)),
    Fault(name="dropped steps", change=drop, strengths=(0.05, 0.2, 0.4)),
    Fault(name="lag", change=late, strengths=(1, 2, 3), needs_season=True),
    Fault(name="time zone", change=late, strengths=(5, 8, 12), needs_season=True),
    Fault(name="unit", change=unit, strengths=(0, 1, 2)),
    Fault(name="channel swap", change=swap, strengths=(0.0, 0.5, 1.0), needs_season=True),
    Fault(name="block shuffle", change=shuffle, strengths=(24, 6, 2)),
    Fault(
        name="season's amplitude", change=season, strengths=(0.25, 0.5, 1.0), needs_season=True
    ),
)
BENIGN = (
    Fault(name="holiday", change=holiday, strengths=(1, 2, 3), needs_season=True),
    Fault(name="new segment", change=segment, strengths=(0.05, 0.1, 0.2), needs_season=True),
)


def sensible(series: Series, faults: tuple[Fault, ...] = FAULTS) -> tuple[Fault, ...]:
    """Return the faults that such a series can have."""
    return tuple(fault for fault in faults if series.seasonal or not fault.needs_season)


def setting(
    series: Series, sensor: int, begin: int, end: int, rng: np.random.Generator
) -> FaultSetting:
    """Describe a sensor, beside the hours [begin, end) that a fault will work on."""
    own = series.values[:, sensor]
    by_hour = own.reshape(-1, DAY).mean(axis=0)
    rest = [other for other in range(series.values.shape[1]) if other != sensor]
    # Alike is alike in value, as a model sees it, and not in shape alone.
    apart = [float(np.mean((series.values[:, other] - own) ** 2)) for other in rest]
    order = [rest[i] for i in np.argsort(apart)] or [sensor]
    return FaultSetting(
        mean=float(own.mean()),
        sd=float(own.std()),
        profile=by_hour - by_hour.mean(),
        others=series.values[begin:end, order].T,
        rng=rng,
    )
