"""Columns of times in a table: ISO 8601 texts, whole numbers, dates and timestamps."""

from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core import moments
from core.errors import Unprocessable
from core.schema.rows import TIME
from services.ingest.formats.columns import is_text
from services.ingest.mapping.cells import Refuse, converted, present, without
from services.ingest.mapping.layout import Unit

_ZONE = r"(Z|[+-]\d{2}:?\d{2})$"
_WHOLE = r"^[+-]?\d+$"


def read(
    name: str, column: pa.Array, refuse: Refuse, *, zone: str | None, epoch: Unit | None
) -> pa.Array:
    """Return times in UTC; one outside years 1 to 9999 is refused by the platform, by row.

    Parameters
    ----------
    name
        The field.
    column
        The column of the table.
    refuse
        Called for a row that is no time, or that is ambiguous or absent in the zone.
    zone
        Of times without a zone; None refuses such times.
    epoch
        Unit of whole numbers since 1970; None refuses them as times.

    Raises
    ------
    Unprocessable
        If the column holds no times, or its zone or unit is not known.
    """
    if is_text(column.type):
        column = _texts(name, present(column), refuse, epoch)
    elif pa.types.is_integer(column.type):
        if epoch is None:
            raise Unprocessable(f"{name} holds numbers: state their unit as epoch")
        column = _counted(name, column, refuse, epoch)
    elif pa.types.is_null(column.type):
        column = column.cast(TIME)
    elif pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("s"))
    elif not pa.types.is_timestamp(column.type):
        raise Unprocessable(f"{name}: expected times, got {column.type}")
    column = moments.clipped(column)
    if column.type.tz is None:
        column = _placed(name, column, refuse, zone)
    return column.cast(TIME)


def _counted(name: str, column: pa.Array, refuse: Refuse, epoch: Unit) -> pa.Array:
    whole = converted(
        column,
        lambda some: some.cast(pa.int64()),
        lambda row: refuse(row, name, "beyond every calendar"),
    )
    return whole.cast(pa.timestamp(epoch.value, tz="UTC"))


def _texts(name: str, column: pa.Array, refuse: Refuse, epoch: Unit | None) -> pa.Array:
    if epoch is not None and pc.all(pc.match_substring_regex(column, _WHOLE)).as_py():
        return _counted(name, column, refuse, epoch)
    column = pc.utf8_upper(column)  # RFC 3339 allows "t" and "z"
    has_zone = pc.match_substring_regex(column, _ZONE)
    kinds = {*pc.unique(has_zone.drop_null()).to_pylist()}
    if kinds == {True, False}:
        zoneless = np.flatnonzero(np.asarray(pc.invert(has_zone).fill_null(False))).tolist()
        for row in zoneless:
            refuse(row, name, "no zone, and other times have one")
        column = without(column, zoneless)
    wanted = pa.timestamp("us", tz="UTC") if True in kinds else pa.timestamp("us")
    return converted(
        column,
        lambda some: some.cast(wanted),
        lambda row: refuse(row, name, "not an ISO 8601 time"),
    )


def _placed(name: str, column: pa.Array, refuse: Refuse, zone: str | None) -> pa.Array:
    if zone is None:
        if column.null_count == len(column):
            return column.cast(TIME)
        raise Unprocessable(
            f"{name} holds times without a zone: state it as timezone, e.g. UTC"
        )

    def refuse_local(row: int) -> None:
        try:
            pc.assume_timezone(column[row], zone, ambiguous="earliest")
            what = "exists twice"
        except pa.ArrowInvalid:
            what = "does not exist"
        refuse(row, name, f"{what} in {zone}; write times in UTC, or with their offset")

    return converted(column, partial(pc.assume_timezone, timezone=zone), refuse_local)
