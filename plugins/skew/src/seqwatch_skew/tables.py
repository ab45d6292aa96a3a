"""Tables of the same rows: columns of numbers, and rows matched by position or by id."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from core.errors import Unprocessable
from monitors.diagnosis import Table

Cell: TypeAlias = float | list[float | None] | None
Columns: TypeAlias = Mapping[str, Sequence[Cell]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedTables:
    """Two tables whose row i is one event.

    Attributes
    ----------
    offline, online
        By feature, or by `output.` and a target: a number for each row, or a list of steps.
        None is missing.
    at
        Event times of the rows; None when they are not known.
    n_absent
        Rows of offline that online has no counterpart of.
    left_out
        Columns of offline that are not compared.
    """

    offline: Columns
    online: Columns
    at: Sequence[datetime] | None = None
    n_absent: int = 0
    left_out: tuple[str, ...] = ()


def by_position(
    offline: Table, online: Table, at: Sequence[datetime] | None = None
) -> MatchedTables:
    """Match row i of one table with row i of the other; every column is compared."""
    return MatchedTables(
        offline={name: _cells(offline, name) for name in offline.columns},
        online={name: _cells(online, name) for name in online.columns},
        at=at,
    )


def by_id(
    offline: Table, online: Table, id_column: str, at: str | None, columns: Sequence[str]
) -> MatchedTables:
    """Match the rows of two tables that have one id.

    Parameters
    ----------
    offline, online
        In any order of rows.
    id_column
        Names a row in both.
    at
        The column of event times in offline, if it has one.
    columns
        Those to compare; empty for all that hold numbers in both.

    Raises
    ------
    Unprocessable
        If no id or no column is in both, or an id is there twice.

    Examples
    --------
    >>> offline = Table(name="a", columns={"id": [1, 2, 3], "load": [10, 20, 30]})
    >>> online = Table(name="b", columns={"id": [3, 1], "load": [31, 11]})
    >>> matched = by_id(offline, online, "id", None, [])
    >>> matched.offline["load"], matched.online["load"], matched.n_absent
    ([10.0, 30.0], [11.0, 31.0], 1)
    """
    ids, place = _ids(offline, id_column), _ids(online, id_column)
    both = [(row, place[one]) for one, row in ids.items() if one in place]
    if not both:
        raise Unprocessable(f"no {id_column} is in both files")
    here, there = [i for i, _ in both], [j for _, j in both]
    wanted = columns or [name for name in offline.columns if name not in (id_column, at)]
    names = [name for name in wanted if all(_holds_numbers(t, name) for t in (offline, online))]
    left_out = tuple(name for name in wanted if name not in names)
    if columns and left_out:
        raise Unprocessable(f"not columns of numbers in both files: {', '.join(left_out)}")
    if not names:
        raise Unprocessable("the files have no column of numbers in common")
    return MatchedTables(
        offline={name: _cells(offline, name, here) for name in names},
        online={name: _cells(online, name, there) for name in names},
        at=None if at is None or at not in offline.columns else _moments(offline, at, here),
        n_absent=len(ids) - len(both),
        left_out=left_out,
    )


def _ids(table: Table, column: str) -> dict[str, int]:
    """Return the row of each id."""
    if column not in table.columns:
        raise Unprocessable(f"{table.name}: no column {column!r}")
    rows = {str(one): row for row, one in enumerate(table.columns[column])}
    if len(rows) < len(table.columns[column]):
        raise Unprocessable(f"{table.name}: column {column!r} names a row twice")
    return rows


def _holds_numbers(table: Table, name: str) -> bool:
    try:
        _cells(table, name)
    except (KeyError, Unprocessable):
        return False
    return True


def _cells(table: Table, name: str, rows: Sequence[int] | None = None) -> list[Cell]:
    column = table.columns[name]
    try:
        return [_cell(column[row]) for row in (range(len(column)) if rows is None else rows)]
    except (TypeError, ValueError):
        raise Unprocessable(f"{table.name}: column {name!r} holds more than numbers") from None


def _cell(value: object) -> Cell:
    """Read a number, or a list of them, which in CSV is JSON."""
    if isinstance(value, str):
        value = json.loads(value)
    if isinstance(value, list):
        return [_number(step) for step in value]
    return _number(value)


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("no number")
    return float(value) if math.isfinite(value) else None


def _moments(table: Table, name: str, rows: Sequence[int]) -> list[datetime]:
    found = []
    for row in rows:
        value = table.columns[name][row]
        try:
            moment = (
                value
                if isinstance(value, datetime)
                else datetime.fromisoformat(str(value).upper())
            )
        except ValueError:
            raise Unprocessable(f"{table.name}: row {row}, {name}: no time") from None
        if moment.tzinfo is None:
            raise Unprocessable(f"{table.name}: row {row}, {name}: a time without a zone")
        found.append(moment)
    return found
