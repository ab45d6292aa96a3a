"""One session, scored by champion and challenger on the same moments."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.rows import Status
from lake.lists import Floats, Ints, micros

_FAILED = pa.array([Status.ERROR.value, Status.TIMEOUT.value])


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What is stored of a session; losses are None until a label is in.

    Attributes
    ----------
    day
        Event day of the session's first row.
    served_by
        The version that answered first.
    n_expected
        Moments at which both versions forecast.
    n_labelled
        How many of them, or their worth in parts, have their labels.
    n_failed
        Answers that were an error or a time-out; failed shadows hurt nobody.
    loss_champion, loss_challenger
        Mean standardised |error| over the same labelled cells.
    """

    session_id: str
    day: date
    served_by: str
    n_expected: int
    n_labelled: int
    n_failed: int
    loss_champion: float | None
    loss_challenger: float | None


def scores(
    rows: pa.Table, errors: Floats, expected: Floats, champion: str, challenger: str
) -> list[Score]:
    """Score every session that the challenger saw.

    Parameters
    ----------
    rows
        All predictions of some sessions by these two versions, shadows
        included, in any order; each id once.
    errors : (prediction, step, target)
        Standardised |error|; NaN where there is no forecast or no label.
    expected : (prediction, step, target)
        1 where there is a forecast, else 0.
    champion, challenger
        The two versions.

    Returns
    -------
    list of Score
        A session of which nothing was served is left out.
    """
    version = np.asarray(rows["version"].to_pylist(), dtype=object)
    ids, session = np.unique(
        np.asarray(rows["session_id"].to_pylist(), dtype=str), return_inverse=True
    )
    at = micros(rows["at"])
    served = ~rows["shadow"].to_numpy()
    failed = served & pc.is_in(rows["status"], value_set=_FAILED).to_numpy()
    old, new = _pairs(session, at, version == champion, version == challenger)
    of = session[old]
    both = np.isfinite(errors[old]) & np.isfinite(errors[new])
    forecast = (expected[old] * expected[new]).sum(axis=(1, 2))
    labelled = both.sum(axis=(1, 2))
    loss = [
        np.bincount(of, np.where(both, errors[side], 0.0).sum(axis=(1, 2)), ids.size)
        for side in (old, new)
    ]
    n_cells = np.bincount(of, labelled, ids.size)
    n_expected = np.bincount(of[forecast > 0], minlength=ids.size)
    share = np.bincount(of, labelled / np.maximum(forecast, 1), ids.size)
    n_failed = np.bincount(session[failed], minlength=ids.size)
    is_seen = np.bincount(session[version == challenger], minlength=ids.size) > 0
    for_each = dict(_firsts(session, at, served))
    return [
        Score(
            session_id=str(ids[i]),
            day=_day(at[session == i].min()),
            served_by=str(version[for_each[i]]),
            n_expected=int(n_expected[i]),
            n_labelled=round(share[i]),
            n_failed=int(n_failed[i]),
            loss_champion=float(loss[0][i] / n_cells[i]) if n_cells[i] else None,
            loss_challenger=float(loss[1][i] / n_cells[i]) if n_cells[i] else None,
        )
        for i in np.flatnonzero(is_seen).tolist()
        if i in for_each
    ]


def _pairs(session: Ints, at: Ints, is_old: Floats, is_new: Floats) -> tuple[Ints, Ints]:
    """Return the places of the rows of both versions about one session and moment."""
    _, moment = np.unique(at, return_inverse=True)
    key = session * (moment.max(initial=0) + 1) + moment
    old, new = np.flatnonzero(is_old), np.flatnonzero(is_new)
    _, in_old, in_new = np.intersect1d(key[old], key[new], return_indices=True)
    return old[in_old], new[in_new]


def _firsts(session: Ints, at: Ints, served: Floats) -> Iterator[tuple[int, int]]:
    """Yield each session with the place of its first served row."""
    rows = np.flatnonzero(served)
    rows = rows[np.lexsort((at[rows], session[rows]))]
    found, first = np.unique(session[rows], return_index=True)
    yield from zip(found.tolist(), rows[first].tolist(), strict=True)


def _day(at_us: int) -> date:
    return np.datetime64(int(at_us), "us").astype("datetime64[D]").astype(date)  # type: ignore[no-any-return]
