"""Columns of times in a file: ISO 8601 texts, whole numbers, dates and timestamps."""

from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from cli.importing.cells import converted, is_text, present
from cli.importing.mapping import Unit
from core import moments
from core.errors import Unprocessable
from core.schema.rows import TIME

_ZONE = r"(Z|[+-]\d{2}:?\d{2})$"
_WHOLE = r"^[+-]?\d+$"


def read(
    name: str, column: pa.Array, first: int, *, zone: str | None, epoch: Unit | None
) -> pa.Array:
    """Return moments in UTC; one outside years 1 to 9999 is refused by the platform, by row.

    Parameters
    ----------
    name
        The field.
    column
        As the file has it.
    first
        The place of its first row in the file, for messages.
    zone
        Of times that name none themselves; None refuses such times.
    epoch
        What whole numbers count since 1970; None refuses them as times.

    Raises
    ------
    Unprocessable
        Naming the first row that is no time, or that the zone has twice or not at all.
    """
    if is_text(column):
        column = _texts(name, present(column), first, epoch)
    elif pa.types.is_integer(column.type):
        if epoch is None:
            raise Unprocessable(f"{name} holds numbers: give their unit with --epoch")
        column = _counted(name, column, first, epoch)
    elif pa.types.is_null(column.type):
        column = column.cast(TIME)
    elif pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("s"))
    elif not pa.types.is_timestamp(column.type):
        raise Unprocessable(f"{name}: expected times, got {column.type}")
    column = moments.clipped(column)
    if column.type.tz is None:
        column = _placed(name, column, first, zone)
    return column.cast(TIME)


def _counted(name: str, column: pa.Array, first: int, epoch: Unit) -> pa.Array:
    whole = converted(
        column,
        lambda some: some.cast(pa.int64()),
        lambda row: Unprocessable(f"row {first + row}, {name}: beyond every calendar"),
    )
    return whole.cast(pa.timestamp(epoch.value, tz="UTC"))


def _texts(name: str, column: pa.Array, first: int, epoch: Unit | None) -> pa.Array:
    if epoch is not None and pc.all(pc.match_substring_regex(column, _WHOLE)).as_py():
        return _counted(name, column, first, epoch)
    column = pc.utf8_upper(column)  # RFC 3339 allows "t" and "z"
    has_zone = pc.match_substring_regex(column, _ZONE)
    kinds = {*pc.unique(has_zone.drop_null()).to_pylist()}
    if kinds == {True, False}:
        raise Unprocessable(f"{name}: some times name a zone and others do not")
    wanted = pa.timestamp("us", tz="UTC") if kinds == {True} else pa.timestamp("us")
    return converted(
        column,
        lambda some: some.cast(wanted),
        lambda row: Unprocessable(f"row {first + row}, {name}: not an ISO 8601 time"),
    )


def _placed(name: str, column: pa.Array, first: int, zone: str | None) -> pa.Array:
    if zone is None:
        if column.null_count == len(column):
            return column.cast(TIME)
        raise Unprocessable(
            f"{name} holds times without a zone: give it with --timezone, e.g. UTC"
        )

    def refusal(row: int) -> Unprocessable:
        try:
            pc.assume_timezone(column[row], zone, ambiguous="earliest")
            what = "exists twice"
        except pa.ArrowInvalid:
            what = "does not exist"
        local = column[row].as_py().isoformat(" ")
        return Unprocessable(
            f"row {first + row}, {name}: {local} {what} in {zone}; write times in UTC, "
            "or with their offset"
        )

    return converted(column, partial(pc.assume_timezone, timezone=zone), refusal)
