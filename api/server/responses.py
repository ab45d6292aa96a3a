"""The shapes of answers: problem details, and what became of a batch of rows."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from core.errors import RowFault

PROBLEM = "application/problem+json"
WEIGHTS = {
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
        },
    }
}
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {
    304: {"description": "Not changed since the answer that `If-None-Match` names."}
}
MAX_NAMED = 1_000  # rows of one kind in one answer


def created(kind: type[Any]) -> dict[int | str, dict[str, Any]]:
    """Declare that a thing may be new; else it was there and has changed."""
    return {201: {"model": kind, "description": "It is new."}}


def problem(name: str, status: int, detail: str, **members: Any) -> dict[str, Any]:
    """Return problem details (RFC 9457).

    Examples
    --------
    >>> problem("StaleChampion", 409, "the champion is v2")["type"]
    'urn:seqwatch:error:StaleChampion'
    >>> problem("StaleChampion", 409, "the champion is v2")["title"]
    'Stale champion'
    """
    return {
        "type": f"urn:seqwatch:error:{name}",
        "title": re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).capitalize(),
        "status": int(status),
        "detail": detail,
        **members,
    }


def name_of(status: HTTPStatus) -> str:
    """Return the name of an error that has none but its status.

    Examples
    --------
    >>> name_of(HTTPStatus.METHOD_NOT_ALLOWED)
    'MethodNotAllowed'
    """
    return status.phrase.title().replace(" ", "")


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
        "errors": [
            {"row": fault.row, "field": fault.field, "reason": fault.reason}
            for fault in faults[:MAX_NAMED]
        ],
    }
    if len(duplicates) > MAX_NAMED:
        answer["more_duplicates"] = len(duplicates) - MAX_NAMED
    if len(faults) > MAX_NAMED:
        answer["more_errors"] = len(faults) - MAX_NAMED
    return answer
