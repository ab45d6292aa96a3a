"""Kinds of contract violations: a fixed set, which senders cannot extend."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa

from core import moments
from core.errors import RowFault
from core.schema.rows import Kind
from lake.lists import Ints, micros
from services.ingest.formats import exact_numbers
from services.ingest.validation.validate import EARLIEST, MAX_AHEAD
from services.ingest.validation.validate_events import EXPECTED_CURRENCY, NO_FIELD

_EPOCH_DAY = date(1970, 1, 1)
_DAY_US = 86_400_000_000


class Mismatch(StrEnum):
    """Why a row counts as a mismatch of preprocessing."""

    MISSING = "missing"
    UNKNOWN_FIELD = "unknown_field"
    TYPE = "type"
    LENGTH = "length"
    RANGE = "range"
    VOCABULARY = "vocabulary"
    NOT_FINITE = "not_finite"
    TEXT = "text"
    TIME = "time"
    CONTRACT = "contract"
    OTHER = "other"


# The reasons of this package, as patterns of the whole text.
_REASONS = {
    Mismatch.MISSING: r"missing|name the prediction.*|names no target",
    Mismatch.UNKNOWN_FIELD: rf"unknown field|{NO_FIELD}",
    Mismatch.TYPE: r"Expected `[\w |.<>=-]*`(?:, got `[\w |.-]*`)?"
    rf"|{re.escape(exact_numbers.BOOLEAN)}|{re.escape(exact_numbers.REASON)}"
    r"|expected (?:bool|double|int64)|not a list of numbers",
    Mismatch.LENGTH: r"expected a list of [\d to]+ (?:numbers|texts)",
    Mismatch.RANGE: r"expected numbers(?: from [\w.+-]+)?(?: to [\w.+-]+)?|negative"
    r"|out_of_range",
    Mismatch.VOCABULARY: r"not in the vocabulary|expected one of [a-z_, ]+"
    rf"|{re.escape(EXPECTED_CURRENCY)}",
    Mismatch.NOT_FINITE: r"(?:missing, )?NaN or infinite",
    Mismatch.TEXT: r"empty|longer than \d+ bytes|holds a NUL character|text is not Unicode",
    Mismatch.TIME: r"in the future|before 1970-01-02|not an RFC 3339 timestamp"
    r"|timestamp without zone|not an ISO 8601 time|no zone, and other times have one"
    r"|beyond every calendar|(?:exists twice|does not exist) in [\w/+-]+; write times in UTC, "
    r"or with their offset",
}
_PATTERNS = {kind: re.compile(pattern) for kind, pattern in _REASONS.items()}


def reason_of(text: str) -> Mismatch:
    """Return the kind of a reason.

    Examples
    --------
    >>> reason_of("expected a list of 24 numbers").value, reason_of("moonlight").value
    ('length', 'other')
    """
    for kind, pattern in _PATTERNS.items():
        if pattern.fullmatch(text):
            return kind
    return Mismatch.OTHER


Counts = Counter[tuple[date, Mismatch]]


def of_refused(
    faults: Iterable[RowFault], contents: Iterable[Mapping[str, Any]], now: datetime
) -> Counts:
    """Count the rows in quarantine by their event day, or else by today."""
    return Counter(
        (day_of(row, now), reason_of(fault.reason))
        for fault, row in zip(faults, contents, strict=True)
    )


def of_foreign(rows: pa.Table, kind: Kind, now: datetime) -> Counts:
    """Count rows whose contract is not declared."""
    times = rows["target_at" if kind is Kind.LABELS else "at"]
    if times.null_count:
        times = times.fill_null(now)
    days: Ints = micros(times) // _DAY_US
    found, counts = np.unique(days, return_counts=True)
    return Counter(
        {
            (date.fromordinal(_EPOCH_DAY.toordinal() + day), Mismatch.CONTRACT): n
            for day, n in zip(found.tolist(), counts.tolist(), strict=True)
        }
    )


def day_of(row: Mapping[str, Any], now: datetime) -> date:
    """Return the event day of a refused row; that of `now` where it has none."""
    given = row.get("at", row.get("target_at"))
    try:
        moment = moments.parse(given) if isinstance(given, str) else now
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return now.date()
    return moment.date() if EARLIEST <= moment <= now + MAX_AHEAD else now.date()
