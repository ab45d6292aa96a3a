"""What of a finding must differ from the one before it for it to be stored."""

import json
import re
from collections.abc import Mapping
from datetime import date
from typing import Any, TypeAlias

from monitors.finding import Outcome

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
