"""The fleet of the example: hourly readings of transformers, and scenarios of changes."""

import csv
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import Unprocessable
from core.schema.contract import Contract
from core.schema.feature import Feature
from examples.forecaster import shift

CHANNELS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
HOUR = timedelta(hours=1)
START = datetime(2016, 7, 1, tzinfo=UTC)  # of the first reading in ETTh1
STRIDE = 6  # hours between two steps of a session
STAGGER = 3  # hours between the starts of two groups of entities; divides STRIDE
N_HISTORY = 480 * 24  # hours before the service opens: sixteen months, as published splits have
N_HOURS = 17_420  # of the generated series, the length of ETTh1

CONTRACT = Contract(
    features=tuple(Feature(name=name, max_length=24) for name in CHANNELS),
    targets=CHANNELS,
    step=HOUR,
    input_length=96,
    horizon=24,
)


class Kind(StrEnum):
    """Kind of a scenario."""

    NONE = "none"
    SHIFT = "shift"
    FAULT = "fault"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A change of the fleet, and its time.

    Attributes
    ----------
    kind
        Nothing; a shift of the regime, which the readings and the truth share;
        or a faulty sensor, which falsifies the readings but not the truth.
    at
        The first hour concerned, counted from the start of the series.
    channel, factor
        Of the fault.
    until
        The hour at which the fault ends, or None.
    """

    kind: Kind = Kind.NONE
    at: int = N_HISTORY
    channel: str = "OT"
    factor: float = 3.0
    until: int | None = None

    def __post_init__(self) -> None:
        if self.channel not in CHANNELS:
            known = ", ".join(CHANNELS)
            raise Unprocessable(f"unknown channel {self.channel!r}; known: {known}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """The readings of the sensors, and the true values.

    Attributes
    ----------
    observed, actual : (entity, hour, channel)
        In the unit of the readings.
    """

    observed: NDArray[np.float64]
    actual: NDArray[np.float64]

    @property
    def entities(self) -> tuple[str, ...]:
        """The names of the transformers."""
        return tuple(f"transformer-{i:02d}" for i in range(len(self.actual)))

    @property
    def n_hours(self) -> int:
        """Hours from the first reading to the last."""
        return int(self.actual.shape[1])


def make_world(
    series: NDArray[np.float64], *, n_entities: int, seed: int, scenario: Scenario
) -> World:
    """Return a fleet to which a scenario is applied.

    Parameters
    ----------
    series : (hour, channel)
        One real transformer, from which each entity is derived.
    n_entities, seed
        Size of the fleet, and seed of the differences of its entities.

    Returns
    -------
    World
        Equal for equal arguments, to the bit.
    """
    actual = shift.fleet(series, n_entities, seed)
    hours = np.arange(scenario.at, actual.shape[1])
    observed = actual
    match scenario.kind:
        case Kind.SHIFT:
            for entity in actual:
                entity[scenario.at :] = shift.shift(entity[scenario.at :], hours)
        case Kind.FAULT:
            observed = actual.copy()
            for entity in observed:
                faulty = entity[scenario.at : scenario.until]
                faulty[:] = shift.fault(
                    faulty, CHANNELS.index(scenario.channel), scenario.factor
                )
        case Kind.NONE:
            pass
    return World(observed=observed, actual=actual)


def find_series(path: Path | None = None) -> Path | None:
    """Return the file of ETTh1: the one given, or that in `SEQWATCH_DATA`, or None.

    Raises
    ------
    Unprocessable
        When a file was given and is not there.
    """
    if path is not None:
        if not path.is_file():
            raise Unprocessable(f"no such file: {path}")
        return path
    beside = Path(os.environ.get("SEQWATCH_DATA", "../shared/data")) / "ett" / "ETTh1.csv"
    return beside if beside.is_file() else None


def read_series(path: Path | None, seed: int) -> NDArray[np.float64]:
    """Return the readings (hour, channel) of a file, or of the generator without one.

    Raises
    ------
    Unprocessable
        When the file is not hourly readings of these channels, or too short.
    """
    if path is None:
        return shift.synthetic(N_HOURS, seed)
    try:
        with path.open(newline="") as file:
            series = np.array(
                [[float(row[name]) for name in CHANNELS] for row in csv.DictReader(file)]
            )
    except (ValueError, KeyError, TypeError) as error:
        raise Unprocessable(f"{path} is not like ETTh1.csv: {error!r}") from None
    if len(series) <= N_HISTORY + CONTRACT.horizon:
        raise Unprocessable(f"{path} has {len(series)} hours; more than {N_HISTORY} are needed")
    return series


def time_of(hour: int) -> datetime:
    """Return the event time of an hour of the series."""
    return START + hour * HOUR
