"""Timestamps as text and as columns: RFC 3339, clipped to the calendar."""

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

# A day inside years 1 to 9999, so that a conversion between time zones stays within them.
FIRST_YEAR_US = -62_135_510_400_000_000  # 0001-01-02 00:00 UTC
LAST_YEAR_US = 253_402_214_400_000_000  # 9999-12-31 00:00 UTC
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000}


def parse(text: str) -> datetime:
    """Read an RFC 3339 timestamp, whose letters may be of either case.

    Raises
    ------
    ValueError
        If it is none.

    Examples
    --------
    >>> parse("2026-01-01t00:00:00z").isoformat()
    '2026-01-01T00:00:00+00:00'
    """
    return datetime.fromisoformat(text.upper())


def clipped(column: pa.Array) -> pa.Array:
    """Return timestamps in microseconds; those outside years 1 to 9999 become the nearest.

    Parameters
    ----------
    column
        Timestamps of any unit, with a time zone or without. Nanoseconds are cut.

    Returns
    -------
    pyarrow.Array
        Of the same zone, null where the column is. What was clipped is before 1970 or in the
        future: the check of event times refuses its row.

    Examples
    --------
    >>> far = pa.array([2**62, None, 0]).cast(pa.timestamp("s", tz="UTC"))
    >>> [moment and moment.year for moment in clipped(far).to_pylist()]
    [9999, None, 1970]
    """
    unit, zone = column.type.unit, column.type.tz
    if unit != "ns":  # whose range ends in 2262
        count = column.cast(pa.int64())
        bounds = pc.min_max(count).as_py()
        scale = _PER_SECOND[unit]
        first, last = (us * scale // 1_000_000 for us in (FIRST_YEAR_US, LAST_YEAR_US))
        if (
            column.null_count < len(column)
            and not first <= bounds["min"] <= bounds["max"] <= last
        ):
            count = pc.min_element_wise(
                pc.max_element_wise(count, pa.scalar(first), skip_nulls=False),
                pa.scalar(last),
                skip_nulls=False,
            )
            column = count.cast(column.type)
    return column.cast(pa.timestamp("us", tz=zone), safe=False)


def written(moment: pa.Scalar) -> str | None:
    """Return one timestamp as text, also where no calendar holds it.

    Examples
    --------
    >>> written(pa.scalar(2**62, pa.timestamp("us", tz="UTC")))
    '4611686018427387904 us since 1970'
    """
    if not moment.is_valid:
        return None
    near = clipped(pa.array([moment.value]).cast(pa.timestamp(moment.type.unit, tz="UTC")))
    if near[0].value in (FIRST_YEAR_US, LAST_YEAR_US):
        return f"{moment.value} {moment.type.unit} since 1970"
    return str(near[0].as_py().isoformat())
