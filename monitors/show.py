"""What a finding shows: typed views that pages and the API render; no kind brings HTML."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal, TypeAlias

import msgspec

from monitors.detail import from_numpy

Number: TypeAlias = float | None


class CellKind(StrEnum):
    """How the cells of a column are written; a change is two numbers, before and after."""

    TEXT = "text"
    NUMBER = "number"
    COUNT = "count"
    SHARE = "share"
    CHANGE = "change"


Cell: TypeAlias = str | int | float | tuple[Number, Number] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table; numbers above `limit` are marked."""

    name: str
    unit: CellKind = CellKind.NUMBER
    limit: Number = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Values over the axis of a chart; None is a gap."""

    name: str
    values: tuple[Number, ...]
    is_baseline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A paragraph."""

    title: str
    text: str
    type: Literal["text"] = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of cells, as many as there are columns; the first cell names its row."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    type: Literal["table"] = "table"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Lines over one axis.

    Attributes
    ----------
    x
        Seconds since 1970 where the axis is time.
    """

    title: str
    x: tuple[float, ...]
    series: tuple[Series, ...]
    axis: Literal["time", "step", "value", "clock"] = "time"
    type: Literal["line"] = "line"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """One bar for each name, of each series."""

    title: str
    names: tuple[str, ...]
    series: tuple[Series, ...]
    type: Literal["bars"] = "bars"


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Shares of values between edges, one more than values of each series."""

    title: str
    edges: tuple[float, ...]
    series: tuple[Series, ...]
    type: Literal["histogram"] = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """Numbers by row and column, the darker the larger."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[Number, ...], ...]
    type: Literal["heat_map"] = "heat_map"


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Numbers by pairs of the same names, such as actual and predicted classes."""

    title: str
    names: tuple[str, ...]
    values: tuple[tuple[Number, ...], ...]
    row_title: str
    column_title: str
    type: Literal["matrix"] = "matrix"


View: TypeAlias = Text | Table | Line | Bars | Histogram | HeatMap | Matrix


_MOST_ROWS = 1_000  # of a table: a page of more is not read


def checked(views: Iterable[object]) -> tuple[View, ...]:
    """Return views as they can be shown: finite numbers, and as many as there are names.

    Raises
    ------
    TypeError, ValueError
        If one is none, or has too few or too many values.

    Examples
    --------
    >>> [one] = checked([Bars(title="x", names=("a",), series=(Series(name="s",
    ...     values=(float("nan"),)),))])
    >>> one.series[0].values
    (None,)
    """
    found = []
    for view in views:
        if not isinstance(view, View):
            raise TypeError(f"{type(view).__name__} is no view")
        plain = msgspec.json.decode(
            msgspec.json.encode(view, enc_hook=from_numpy, order=None), type=type(view)
        )
        match plain:
            case Table(columns=columns, rows=rows):
                _same(len(columns), *map(len, rows))
                _cells(columns, rows)
                plain = replace(plain, rows=rows[:_MOST_ROWS])
            case Line(x=x, series=series):
                _same(len(x), *(len(one.values) for one in series))
            case Bars(names=names, series=series):
                _same(len(names), *(len(one.values) for one in series))
            case Histogram(edges=edges, series=series):
                _same(len(edges) - 1, *(len(one.values) for one in series))
            case HeatMap(rows=rows, columns=columns, values=values):
                _same(len(rows), len(values))
                _same(len(columns), *map(len, values))
            case Matrix(names=names, values=values):
                _same(len(names), len(values), *map(len, values))
            case _:
                pass
        found.append(plain)
    return tuple(found)


def _same(n: int, *lengths: int) -> None:
    if any(length != n for length in lengths):
        raise ValueError(f"expected {n} values, as there are names, edges or columns")


def _cells(columns: tuple[Column, ...], rows: tuple[tuple[Cell, ...], ...]) -> None:
    for row in rows:
        for column, cell in zip(columns[1:], row[1:], strict=True):
            is_change = isinstance(cell, tuple)
            if is_change is not (column.unit is CellKind.CHANGE):
                raise ValueError(f"{column.name}: a change is two numbers, and nothing else is")
            if isinstance(cell, str) is not (column.unit is CellKind.TEXT) and cell is not None:
                raise ValueError(f"{column.name}: expected cells of kind {column.unit}")
