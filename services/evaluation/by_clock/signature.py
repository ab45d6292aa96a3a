"""What of a finding must differ from the one before it, and what it follows from."""

import json
import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, TypeAlias

from monitors.finding import Outcome
from monitors.slo.objective import BurnRateParams
from monitors.slo.reading import SliReading
from monitors.slo.sli import NoData

Signature: TypeAlias = tuple[object, ...]


def signed(
    outcome: Outcome, cause: str, detail: Mapping[str, Any], day: date | None
) -> Signature:
    """Return outcome, reason without numbers, detail without numbers, and day.

    Parameters
    ----------
    outcome, cause, detail
        Of the finding.
    day
        On which it is stored at least once; None where that is left to others.
    """
    why = re.sub(r"\d+", "", cause) if outcome is Outcome.NO_DATA else ""
    return outcome, why, json.dumps(_without_numbers(detail), sort_keys=True), day


def basis(params: object, reading: SliReading, as_of: datetime, zone: str) -> Signature | None:
    """Return what the finding of an SLO follows from; None where time alone changes it.

    Parameters
    ----------
    params
        Of the monitor; of other kinds than `burn_rate` the finding may follow from more.
    reading
        What it reads.
    as_of, zone
        The instant that is evaluated; of the contract.
    """
    if not isinstance(params, BurnRateParams):
        return None
    is_stale = reading.is_stale(params.max_staleness)
    if is_stale and params.without_data in (NoData.GOOD, NoData.BAD):
        return None  # time without predictions counts
    return params, reading.rev, reading.newest, is_stale, as_of, zone


def _without_numbers(value: object) -> object:
    match value:
        case dict():
            return {key: _without_numbers(of) for key, of in value.items()}
        case list() | tuple():
            return [_without_numbers(of) for of in value]
        case bool() | str():
            return value
        case _:
            return None
