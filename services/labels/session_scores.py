"""Scores of champion and challenger on the same moments of one session."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.arrays import Bools, Floats, Ints
from core.schema.rows import Status
from lake.lists import micros

_FAILED = pa.array([Status.ERROR.value, Status.TIMEOUT.value])

# Refused answers by session, version and whether in shadow.
Failed: TypeAlias = Mapping[tuple[str, str, bool], int]


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
        Answers of the version that served which were an error, a time-out, or
        cannot be used.
    n_failed_shadow
        The same of the version in shadow; None where none answered in shadow.
    loss_champion, loss_challenger
        Mean loss of the model's task over the same labelled cells.
    """

    session_id: str
    day: date
    served_by: str
    n_expected: int
    n_labelled: int
    n_failed: int
    n_failed_shadow: int | None
    loss_champion: float | None
    loss_challenger: float | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """What two versions answered in some sessions.

    Attributes
    ----------
    rows
        All predictions of these sessions by both versions, shadows included, in
        any order; each id once.
    errors : (prediction, step, target)
        Losses; NaN where there is no forecast or no label.
    expected : (prediction, step, target)
        Whether there is a forecast.
    usable : (prediction,)
        Whether the answer is whole: a number at each step of each target.
    failed
        Answers that are no rows: they were refused.
    """

    rows: pa.Table
    errors: Floats
    expected: Bools
    usable: Bools
    failed: Failed


def scores(answers: Answers, champion: str, challenger: str) -> list[Score]:
    """Score every session in which the challenger answered, or failed to.

    Parameters
    ----------
    answers
        Of some sessions.
    champion, challenger
        The two versions.

    Returns
    -------
    list of Score
        A session of which nothing was served is left out.
    """
    rows, errors, expected = answers.rows, answers.errors, answers.expected
    version = np.asarray(rows["version"].to_pylist(), dtype=object)
    ids, session = np.unique(
        np.asarray(rows["session_id"].to_pylist(), dtype=str), return_inverse=True
    )
    at = micros(rows["at"])
    served = ~rows["shadow"].to_numpy()
    failed = ~answers.usable | pc.is_in(rows["status"], value_set=_FAILED).to_numpy()
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
    for_each = dict(_firsts(session, at, served))
    names = {i: str(version[first]) for i, first in for_each.items()}
    n_answers, n_failed = {}, {}
    for name in (champion, challenger):
        own = version == name
        refused = np.array([_refused(answers.failed, str(one), name) for one in ids])
        n_answers[name] = np.bincount(session[own], minlength=ids.size) + refused.sum(axis=1)
        n_failed[name] = np.bincount(session[own & failed], minlength=ids.size) + refused.sum(
            axis=1
        )
        for i in np.flatnonzero(refused[:, 0]).tolist():
            names.setdefault(i, name)
    other = {champion: challenger, challenger: champion}
    return [
        Score(
            session_id=str(ids[i]),
            day=_day(at[session == i].min()),
            served_by=names[i],
            n_expected=int(n_expected[i]),
            n_labelled=round(share[i]),
            n_failed=int(n_failed[names[i]][i]),
            n_failed_shadow=(
                int(n_failed[other[names[i]]][i]) if n_answers[other[names[i]]][i] else None
            ),
            loss_champion=float(loss[0][i] / n_cells[i]) if n_cells[i] else None,
            loss_challenger=float(loss[1][i] / n_cells[i]) if n_cells[i] else None,
        )
        for i in np.flatnonzero(n_answers[challenger]).tolist()
        if i in names
    ]


def _refused(failed: Failed, session_id: str, version: str) -> tuple[int, int]:
    """Return how many answers were refused: served, and in shadow."""
    return failed.get((session_id, version, False), 0), failed.get(
        (session_id, version, True), 0
    )


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
