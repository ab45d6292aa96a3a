"""Predictions and events counted since a model was first folded, by cell of the SLIs.

Summaries are rolled up with their age, and deleted. These counts only grow, in the transaction
that folds: the counters of `/metrics` are made of them. A model has one row for each stream,
and one for each version of what was served; none is read but for a scrape.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from core.streams import Additive, Level
from db.queries.summaries import Part
from monitors.slo import cells
from monitors.slo.cells import NO_SEGMENT, STRIDE, CellCounts
from monitors.slo.serving import SERVING

START = datetime(1970, 1, 1, tzinfo=UTC)  # of every row
ALL_VERSIONS = ""


def stream(name: str) -> Additive[CellCounts]:
    """Return the stream that holds all that was ever counted of a stream of the SLIs."""
    return replace(
        cells.stream(name),
        name=f"total_{name}",
        split=lambda found: [(START, total(found))],
        level=Level.DAY,
        whole=None,
        is_published=False,
    )


SERVED = stream(SERVING.name)


def total(found: CellCounts) -> CellCounts:
    """Return what was counted by cell alone.

    Examples
    --------
    >>> found = cells.summarise(np.array([0, 20_000_000]), np.array([3, 3]), np.array([1, 2]))
    >>> total(found).cells.tolist(), total(found).counts.tolist()
    ([3], [2])
    """
    counts = np.bincount(found.cells, found.counts, minlength=STRIDE).astype(np.int64)
    some = np.flatnonzero(counts)
    return CellCounts(keys=NO_SEGMENT * STRIDE + some, counts=counts[some])


def parts(counted: Iterable[tuple[str, Mapping[str, CellCounts]]]) -> list[Part]:
    """Return what is added to the totals of a model.

    Parameters
    ----------
    counted
        Version, and what was counted of it by stream; each version once.
    """
    found, every = list[Part](), dict[str, list[CellCounts]]()
    for version, own in counted:
        for name, one in own.items():
            every.setdefault(name, []).append(total(one))
        if SERVING.name in own:
            found.append((SERVED, version, every[SERVING.name][-1]))
    together = [(stream(name), ALL_VERSIONS, cells.merged(of)) for name, of in every.items()]
    return [*found, *together]
