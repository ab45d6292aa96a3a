"""The history of a fleet, as Arrow tables for the API."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.schema.rows import TIME
from examples.forecaster.world import CHANNELS, N_HISTORY, START, World

DAY = 24  # hours
DAYS_PER_TABLE = 60  # of 16 entities: 1.3 MB, well below the limit of one request


def reference_tables(world: World) -> Iterator[pa.Table]:
    """Yield the readings from before the service opened: one row per entity and day."""
    for first in range(0, N_HISTORY // DAY, DAYS_PER_TABLE):
        days = range(first, min(first + DAYS_PER_TABLE, N_HISTORY // DAY))
        where = [(entity, day) for day in days for entity in range(len(world.entities))]
        names = [world.entities[entity] for entity, _ in where]
        last_hours = np.array([day for _, day in where]) * DAY + DAY - 1
        yield pa.table(
            {
                "prediction_id": [
                    f"reference:{name}:{day}"
                    for name, (_, day) in zip(names, where, strict=True)
                ],
                "at": times(last_hours),
                "entity": names,
                "features": day_lists(world.observed, where),
            }
        )


def label_tables(world: World, arrivals: NDArray[np.float64]) -> Iterator[pa.Table]:
    """Yield the labels that had arrived before the service opened."""
    due = due_labels(arrivals, 0, N_HISTORY)
    per_table = DAYS_PER_TABLE * len(world.entities)
    for first in range(0, len(due), per_table):
        yield label_table(world, due[first : first + per_table], arrivals)


def label_table(
    world: World, where: Sequence[tuple[int, int]], arrivals: NDArray[np.float64]
) -> pa.Table:
    """Return the labels of some (entity, day), with their times of arrival."""
    first_hours = np.array([day for _, day in where]) * DAY
    return pa.table(
        {
            "entity": [world.entities[entity] for entity, _ in where],
            "target_at": times(first_hours),
            "actual": day_lists(world.actual, where),
            "arrived_at": times(np.array([arrivals[one] for one in where])),
        }
    )


def label_arrivals(world: World, seed: int) -> NDArray[np.float64]:
    """Return the time of arrival of the label of each day.

    Parameters
    ----------
    world
        The fleet.
    seed
        Same seed, same delays.

    Returns
    -------
    (entity, day)
        In hours of the series: between 6 and 30 hours after the day's end.
    """
    n_days = world.n_hours // DAY
    late = np.random.default_rng(seed).uniform(6.0, 30.0, (len(world.entities), n_days))
    return (np.arange(n_days) + 1) * DAY + late


def due_labels(arrivals: NDArray[np.float64], start: int, end: int) -> list[tuple[int, int]]:
    """Return the (entity, day) whose labels arrive in [start, end), the earliest first."""
    entities, days = np.nonzero((arrivals >= start) & (arrivals < end))
    order = np.argsort(arrivals[entities, days], kind="stable")
    return list(zip(entities[order].tolist(), days[order].tolist(), strict=True))


def day_lists(
    readings: NDArray[np.float64], where: Sequence[tuple[int, int]]
) -> pa.StructArray:
    """Return one list of 24 hours per channel for each (entity, day)."""
    n_rows = len(where)
    blocks = np.stack([readings[entity, day * DAY : (day + 1) * DAY] for entity, day in where])
    offsets = pa.array(np.arange(n_rows + 1, dtype=np.int32) * DAY)
    lists = [
        pa.ListArray.from_arrays(offsets, pa.array(blocks[:, :, i].ravel()))
        for i in range(len(CHANNELS))
    ]
    return pa.StructArray.from_arrays(lists, names=list(CHANNELS))


def times(hours: NDArray[np.float64] | NDArray[np.int64]) -> pa.Array:
    """Return hours of the series as event times."""
    start = int(START.timestamp() * 1e6)
    return pa.array(start + np.round(hours * 3.6e9).astype(np.int64)).cast(TIME)
