"""What a sender of rows reads: what became of them, the first thousand by name."""

from collections.abc import Sequence
from typing import Any

from core.errors import RowFault

MAX_NAMED = 1_000  # rows of one kind in one answer


def outcome(
    *,
    n_accepted: int,
    is_duplicate: bool = False,
    duplicates: Sequence[int] = (),
    faults: Sequence[RowFault] = (),
    n_quarantined: int | None = None,
) -> dict[str, Any]:
    """Return what became of a batch, row by row where it was not kept.

    Parameters
    ----------
    n_accepted
        Rows that were kept.
    is_duplicate
        The batch was here before.
    duplicates, faults
        The rows that were dropped, and those that are in quarantine.
    n_quarantined
        As many as `faults`, unless the rows are not known any more.
    """
    answer: dict[str, Any] = {
        "accepted": n_accepted,
        "duplicate": is_duplicate,
        "duplicates": [*duplicates[:MAX_NAMED]],
        "quarantined": len(faults) if n_quarantined is None else n_quarantined,
        "rows": [
            {"row": fault.row, "field": fault.field, "reason": fault.reason}
            for fault in faults[:MAX_NAMED]
        ],
    }
    if len(duplicates) > MAX_NAMED:
        answer["more_duplicates"] = len(duplicates) - MAX_NAMED
    if len(faults) > MAX_NAMED:
        answer["more_rows"] = len(faults) - MAX_NAMED
    return answer
