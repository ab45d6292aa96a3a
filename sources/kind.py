"""The extension point for sources of rows: what a kind declares, and what it returns.

A kind is one module that ends in `KIND = SourceKind(...)`, registered in the entry point
group `seqwatch.sources` under its name.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyarrow as pa

from core.errors import Unprocessable
from core.plugins import SECRET as SECRET  # as plug-ins import it
from core.plugins import C, Configured, Registry

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The next rows of a source.

    Attributes
    ----------
    table : (row,)
        At most as many rows as asked for, with every column of the source, also where all of
        its values are null. It may be empty.
    watermark
        Marks the last row, for the pull of the next page; plain JSON. It separates rows
        read from those with an equal value of the watermark column that are not.
    is_last
        Whether the source has nothing more now.
    """

    table: pa.Table
    watermark: Json
    is_last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceKind(Configured[C]):
    """One kind of source.

    Attributes
    ----------
    pull
        Returns the first rows after a watermark, in an order that does not change: by the
        watermark column, then by an id. None is before the first row. The same arguments give
        the same rows, unless rows were added. It keeps nothing in memory from one page to the
        next, and ends within a time-out of its own; what it raises is recorded, and tried
        again.
    """

    pull: Callable[[C, Json, int], Page]


SOURCES = Registry[SourceKind[Any]]("seqwatch.sources", "kind of source", SourceKind)


def pull(name: str, config: Mapping[str, object], after: Json, limit: int) -> Page:
    """Return the next page of a source of the kind `name`, checked.

    Parameters
    ----------
    name, config
        As stored.
    after
        The watermark of the page before; None at the start.
    limit
        Most rows.

    Raises
    ------
    Unprocessable
        If the kind is unavailable, or what it returned is no page.
    """
    kind = SOURCES.find(name)
    page = kind.pull(kind.parsed(config), after, limit)
    wrong = _fault(page, after, limit)
    if wrong:
        raise Unprocessable(f"kind of source {name!r}: {wrong}")
    return page


def written(watermark: Json) -> str:
    """Return a watermark as it is stored: equal ones are equal texts.

    Examples
    --------
    >>> written({"value": 7, "ids": ["b"]})
    '{"ids": ["b"], "value": 7}'
    """
    return json.dumps(watermark, sort_keys=True, allow_nan=False)


def _fault(page: object, after: Json, limit: int) -> str:
    """Return what is wrong with a page; empty if nothing is."""
    if not isinstance(page, Page) or not isinstance(page.table, pa.Table):
        return "pull returned no Page with a pyarrow.Table"
    if page.table.num_rows > limit:
        return f"{page.table.num_rows} rows, and {limit} were asked for"
    if len({*page.table.column_names}) < page.table.num_columns:
        return "two columns have the same name"
    try:
        has_moved = written(page.watermark) != written(after)
    except (TypeError, ValueError):
        return "the watermark is no plain JSON"
    if not has_moved and (page.table.num_rows or not page.is_last):
        return "the watermark has not moved"
    return ""
