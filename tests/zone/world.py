"""Models whose series follow local time, evaluated as the platform evaluates them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.schema.rows import REFERENCE, Kind
from core.schema.zone import DEFAULT, Zone
from core.window import Window
from db.session import unit_of_work
from db.tables import Version
from tests.late.world import Row, World
from tests.streams import CONTRACT, label, prediction

KINDS = (
    *("accuracy", "data_quality", "input_drift", "input_fault", "mean_shift"),
    *("prediction_drift", "residuals", "window_profile"),
)
LAGS = 4  # steps of the window that a row holds


def a_world(
    sessions: sessionmaker[Session],
    folder: Path,
    name: str,
    zone: Zone,
    days: tuple[date, int],
    kinds: Sequence[str] = KINDS,
    **contract: Any,
) -> World:
    """Return a model in a zone, whose reference is of so many days from a day on."""
    first, n_reference = days
    if zone.name != DEFAULT:
        contract = {"zone": zone.name} | contract
    world = World(
        sessions, folder, name, n_reference, kinds=kinds, contract=replace(CONTRACT, **contract)
    )
    with unit_of_work(sessions) as session:
        [version] = session.query(Version).filter_by(model_id=world.model_id)
        end = zone.start(first + n_reference * DAY)
        version.reference = (Window(zone.start(first), end),)
    return world


def rows(
    zone: Zone, first: date, n_reference: int, n_served: int, lags: int = LAGS
) -> list[list[Row]]:
    """Return the rows of each local day: forecasts and what happened, hour by hour.

    Values depend on what the clock shows: two zones have the same values at the same local
    time. All are multiples of 1/64. From the middle of the served days on they are higher.
    """
    chance = np.random.default_rng(3)
    n = 24 * (n_reference + n_served + 2)
    hour = np.arange(n)
    noise = chance.normal(scale=0.3, size=(2, n))
    load = 4 + 2 * np.sin(2 * np.pi * hour / 24) + noise[0]
    load[24 * (n_reference + n_served // 2) :] += 3.0
    wind = 3 + np.cos(2 * np.pi * hour / 24) + noise[1]
    load, wind = np.round(load * 64) / 64, np.round(wind * 64) / 64
    found: list[list[Row]] = []
    for number in range(n_reference + n_served):
        day = zone.bounds(first + number * DAY)
        of_day: list[Row] = []
        at = day.start
        while at < day.end:
            place = 24 * number + (at + zone.offset(at)).hour
            is_past = number < n_reference
            of_day += _rows(
                at, slice(max(place - lags + 1, 0), place + 1), (load, wind), is_past
            )
            at += HOUR
        found.append(of_day)
    return found


def _rows(
    at: datetime, back: slice, series: tuple[Any, Any], is_past: bool
) -> list[tuple[Kind, dict[str, Any]]]:
    load, wind = series
    place = back.stop - 1
    features = {"load": load[back].tolist(), "wind": wind[back].tolist()}
    if is_past:
        past: dict[str, Any] = {"version": REFERENCE, "output": None, "features": features}
        return [(Kind.PREDICTIONS, prediction(at, **past))]
    output = {"load": [float(load[place - 24 + step]) for step in (1, 2, 3)]}
    served = prediction(at, features=features, output=output, latency_seconds=0.01)
    return [(Kind.PREDICTIONS, served), (Kind.LABELS, label(at, [float(load[place])]))]


def by_day(world: World, zone: Zone) -> dict[tuple[str, date], tuple[object, ...]]:
    """Return findings by monitor and the local day that they end."""
    return {
        (name, zone.day_of(as_of - timedelta.resolution)): found
        for (name, as_of), found in world.findings().items()
    }
