"""Bounded random sample of the input of a window."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from core.durations import DAY
from core.window import Window
from lake.lists import Floats, flatten
from lake.reading import Log


def sample_input(
    log: Log, windows: Iterable[Window], features: Sequence[str], n_rows: int, seed: int
) -> Floats:
    """Draw steps of input, each as likely as any other.

    Parameters
    ----------
    log
        The range of event time.
    windows
        Of event time. They are read day by day, so that memory is bounded by one
        day of input.
    features
        Which.
    n_rows
        How many steps at most.
    seed
        The same rows and the same seed give the same sample.

    Returns
    -------
    (row, feature)
        One row per step of the series, prediction after prediction in event
        time; NaN where a feature has no value.
        Shadows are left out: their input was served.
    """
    rng = np.random.default_rng(seed)
    kept, lots = np.empty((0, len(features))), np.empty(0)
    for day in _days(windows):
        rows = log.predictions(
            day, ["prediction_id", "at", "features"], only=~ds.field("shadow")
        )
        if rows is None or not rows.num_rows:
            continue
        steps = by_step(
            rows.sort_by([("at", "ascending"), ("prediction_id", "ascending")]), features
        )
        kept = np.concatenate([kept, steps])
        lots = np.concatenate([lots, rng.random(len(steps))])
        # Those with the lowest lots so far: at the end, the lowest of all.
        drawn = np.sort(np.argsort(lots)[:n_rows])
        kept, lots = kept[drawn], lots[drawn]
    return kept


def _days(windows: Iterable[Window]) -> Iterator[Window]:
    for window in windows:
        start = window.start
        while start < window.end:
            end = min(start + DAY, window.end)
            yield Window(start, end)
            start = end


def by_step(rows: pa.Table, features: Sequence[str]) -> Floats:
    """Lay out lists as one row per step; lists of one prediction end together.

    Parameters
    ----------
    rows
        With `features`.
    features
        Which.

    Returns
    -------
    (step, feature)
        Prediction after prediction, as many steps as its longest list has;
        NaN before the start of a shorter list.

    Examples
    --------
    >>> lists = pa.array([{"load": [1.0, 2.0], "oil": [3.0]}, {"load": [4.0], "oil": [5.0]}],
    ...     type=pa.struct({"load": pa.list_(pa.float64()), "oil": pa.list_(pa.float64())}))
    >>> by_step(pa.table({"features": lists}), ["load", "oil"])
    array([[ 1., nan],
           [ 2.,  3.],
           [ 4.,  5.]])
    """
    flats = [flatten(rows, "features", name) for name in features]
    ends = np.cumsum(np.max([flat.lengths for flat in flats], axis=0))
    steps = np.full((int(ends[-1]), len(features)), np.nan)
    for i, flat in enumerate(flats):
        steps[ends[flat.rows] - 1 - flat.back, i] = flat.values
    return steps
