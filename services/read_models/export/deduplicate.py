"""Detection of repeated ids within an event day, in bounded memory."""

from collections.abc import Iterator, Sequence
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake.lists import Ints, days_of, micros
from lake.search import KEYS, Within
from services.read_models.lookup.snapshot import State

_EPOCH = date(1970, 1, 1)


class Firsts:
    """Of each id of a day, the row that was received first: as for accuracy.

    A day's ids are compared by their hashes, eight bytes each; only where two
    are alike are the ids themselves read.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._repeated: dict[int, tuple[pa.Array, dict[str, tuple[int, int]]]] = {}
        self._seen: set[tuple[int, str]] = set()
        days, hashes = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for rows in state.predictions.tables():
            days.append(days_of(rows["at"]))
            hashes.append(_hashes(rows["prediction_id"]))
        self._days, self._hashes = np.concatenate(days), np.concatenate(hashes)

    def of(self, rows: pa.Table) -> pa.Table:
        """Leave out of some rows what had been received before.

        Parameters
        ----------
        rows
            Whole rows; each is to be asked for once.
        """
        days = days_of(rows["at"])
        keep = np.ones(rows.num_rows, np.bool_)
        for day in np.unique(days).tolist():
            if day not in self._repeated:
                self._repeated[day] = self._scan(day)
            ids, firsts = self._repeated[day]
            if not len(ids):
                continue
            suspects = pc.is_in(rows["prediction_id"], value_set=ids).to_numpy()
            for place in np.flatnonzero(suspects & (days == day)).tolist():
                name = rows["prediction_id"][place].as_py()
                key = (rows["received_at"][place].value, rows["at"][place].value)
                keep[place] = firsts[name] == key and (day, name) not in self._seen
                if keep[place]:
                    self._seen.add((day, name))
        return rows if keep.all() else rows.filter(pa.array(keep))

    def forget(self, before: date) -> None:
        """Let go of days that will not be asked for again."""
        last = (before - _EPOCH).days
        self._repeated = {day: kept for day, kept in self._repeated.items() if day >= last}

    def _scan(self, day: int) -> tuple[pa.Array, dict[str, tuple[int, int]]]:
        hashes = [_hashes(rows["prediction_id"]) for rows in self._of_day(day, KEYS[1:2])]
        hashes.append(self._hashes[self._days == day])
        every = np.sort(np.concatenate(hashes))
        twice = every[1:][every[1:] == every[:-1]]
        firsts: dict[str, tuple[int, int]] = {}
        n_rows: dict[str, int] = {}
        if twice.size:
            for rows in self._every(day):
                alike = rows.filter(pa.array(np.isin(_hashes(rows["prediction_id"]), twice)))
                names = alike["prediction_id"].to_pylist()
                keys = zip(micros(alike["received_at"]), micros(alike["at"]), strict=True)
                for name, (received, at) in zip(names, keys, strict=True):
                    key = (int(received), int(at))
                    firsts[name] = min(firsts.get(name, key), key)
                    n_rows[name] = n_rows.get(name, 0) + 1
        return pa.array([name for name, n in n_rows.items() if n > 1], pa.string()), firsts

    def _of_day(self, day: int, columns: Sequence[str]) -> Iterator[pa.Table]:
        return self._state.lake.stream(pc.scalar(True), columns, Within.of_day(day))

    def _every(self, day: int) -> Iterator[pa.Table]:
        yield from self._of_day(day, KEYS)
        for rows in self._state.predictions.tables():
            is_day = days_of(rows["at"]) == day
            yield rows.select(KEYS).filter(pa.array(is_day))


def _hashes(ids: pa.ChunkedArray) -> Ints:
    return np.fromiter(map(hash, ids.to_pylist()), np.int64, len(ids))
