"""Unusable answers: refused predictions whose output broke the contract."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

from core.errors import RowFault
from core.schema.feature import Sensitivity
from core.schema.masking import hashed, sensitivity_of
from core.schema.rows import Kind
from core.terms import Terms
from services.ingest.validation import contract_violations

SESSION = "session_id"

# Version, session as the log names it, whether it answered in shadow, event day.
Key = tuple[str, str, bool, date]
Counts = Counter[Key]
NONE: Counts = Counter()


def of_refused(
    faults: Iterable[RowFault],
    contents: Iterable[Mapping[str, Any]],
    kind: Kind,
    terms: Terms,
    now: datetime,
) -> Counts:
    """Count the refused rows with a missing, non-numeric, out-of-range or misshapen output.

    They are failures of the version that gave them. Rows without a session are left out:
    versions are compared by sessions.

    Parameters
    ----------
    faults, contents
        The fault of each row, and the row as it was sent.
    kind, terms
        What the rows are, and how the model's log names a session.
    now
        The event day of rows that state none.
    """
    if kind is not Kind.PREDICTIONS:
        return NONE
    counted: Counts = Counter()
    for fault, row in zip(faults, contents, strict=True):
        version, session_id = row.get("version"), _session(row.get(SESSION), terms)
        if fault.field.startswith("output") and isinstance(version, str) and session_id:
            is_shadow = row.get("shadow") is True
            counted[version, session_id, is_shadow, contract_violations.day_of(row, now)] += 1
    return counted


def _session(sent: object, terms: Terms) -> str | None:
    """Return a session's name in the log; None where it has none."""
    if not isinstance(sent, str):
        return None
    match sensitivity_of(terms.contract, SESSION):
        case Sensitivity.NONE:
            return sent
        case Sensitivity.HASH if terms.mask_key is not None:
            return hashed(terms.mask_key, SESSION, sent)
        case _:
            return None
