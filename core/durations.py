"""Durations that people declare: ISO 8601 in JSON, such as `P7D` and `PT36H`."""

import re
from datetime import timedelta
from typing import Annotated, TypeAlias

import msgspec
from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
EXPECTED = "an ISO 8601 duration such as P7D or PT36H"
CENTURY = 36_525 * DAY  # the upper limit of what is declared
_INVALID = re.compile(r"Invalid ISO8601 duration|Expected `duration( \| null)?`")


def to_text(duration: timedelta) -> str:
    """Return a duration in ISO 8601, in days, hours, minutes and seconds.

    pydantic would write years, of 365 days.

    Examples
    --------
    >>> to_text(timedelta(hours=36)), to_text(timedelta(seconds=90.5)), to_text(400 * DAY)
    ('P1DT12H', 'PT1M30.5S', 'P400D')
    """
    minutes, seconds = divmod(abs(duration).seconds, 60)
    hours, minutes = divmod(minutes, 60)
    of_second = f"{abs(duration).microseconds:06}".rstrip("0")
    parts = {
        "H": f"{hours or ''}",
        "M": f"{minutes or ''}",
        "S": f"{seconds}.{of_second}" if of_second else f"{seconds or ''}",
    }
    time = "".join(f"{number}{unit}" for unit, number in parts.items() if number)
    days = f"{abs(duration).days}D" if abs(duration) >= DAY else ""
    sign = "-" if duration < timedelta(0) else ""
    return f"{sign}P{days}T{time}" if time else f"{sign}P{days or 'T0S'}"


def explained(error: str) -> str:
    """Return the message of a reader, with an example where it expected a duration."""
    return _INVALID.sub(f"expected {EXPECTED}", error)


def from_text(given: object) -> timedelta:
    """Read a duration in ISO 8601.

    Raises
    ------
    ValueError
        If it is anything else: a number does not tell its unit.

    Examples
    --------
    >>> str(from_text("PT36H"))
    '1 day, 12:00:00'
    """
    try:
        return msgspec.convert(given, timedelta)
    except msgspec.ValidationError:
        raise ValueError(f"expected {EXPECTED}") from None


def require_days(name: str, duration: timedelta, least: int = 1) -> None:
    """Refuse a duration that is not of whole days, or of too few.

    Raises
    ------
    ValueError
        Naming it.
    """
    if duration % DAY or duration < least * DAY:
        raise ValueError(f"{name} must be whole days, at least {to_text(least * DAY)}")


Duration: TypeAlias = Annotated[
    timedelta,
    BeforeValidator(from_text),
    PlainSerializer(to_text, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "duration"}),
]
