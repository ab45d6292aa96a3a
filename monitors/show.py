"""What a finding shows: typed views that pages and the API render; no kind brings HTML."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

Number: TypeAlias = float | None


class CellKind(StrEnum):
    """How the cells of a column are written; a change is two numbers, before and after."""

    TEXT = "text"
    NUMBER = "number"
    COUNT = "count"
    SHARE = "share"
    CHANGE = "change"


Cell: TypeAlias = str | float | tuple[Number, Number] | None


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
