"""The shapes of responses: problem details, and the result of a batch of rows."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

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
More: TypeAlias = Annotated[int, Meta(description="How many more there are.")] | UnsetType


class BadValue(msgspec.Struct, kw_only=True):
    """One invalid value."""

    row: Annotated[int, Meta(description="Its place in a batch, from 0.")] | UnsetType = UNSET
    field: str
    reason: str


class Accepted(msgspec.Struct, kw_only=True):
    """The batch is on disk."""

    accepted: Annotated[int, Meta(description="Rows that were kept.")]
    duplicate: Annotated[bool, Meta(description="The batch was here before.")]
    duplicates: Annotated[
        list[int],
        Meta(
            description="Rows whose `prediction_id` stood in the batch before, events whose "
            "`event_id` stood in any: dropped."
        ),
    ]
    quarantined: Annotated[int, Meta(description="Rows that broke the contract.")]
    errors: Annotated[
        list[BadValue], Meta(description="What is wrong where; of rows, the first thousand.")
    ]
    more_duplicates: More = UNSET
    more_errors: More = UNSET


def created(kind: type[Any]) -> dict[int | str, dict[str, Any]]:
    """Declare 201 for a resource that is created; 200 is for one that is changed."""
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
    """Return the result of a batch, with each row that was not stored.

    Parameters
    ----------
    n_accepted
        Rows that were stored.
    is_duplicate
        The batch was received before.
    duplicates, faults
        The rows that were dropped, and those that are in quarantine.
    n_quarantined
        By default the number of `faults`; given where the rows are no longer known.
    """
    accepted = Accepted(
        accepted=n_accepted,
        duplicate=is_duplicate,
        duplicates=[*duplicates[:MAX_NAMED]],
        quarantined=len(faults) if n_quarantined is None else n_quarantined,
        errors=[
            BadValue(row=fault.row, field=fault.field, reason=fault.reason)
            for fault in faults[:MAX_NAMED]
        ],
        more_duplicates=_more(duplicates),
        more_errors=_more(faults),
    )
    answer: dict[str, Any] = msgspec.to_builtins(accepted)
    return answer


def _more(of: Sequence[object]) -> int | UnsetType:
    return len(of) - MAX_NAMED if len(of) > MAX_NAMED else UNSET
