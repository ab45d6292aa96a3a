"""What to do after a response of the API, or without one, as a value."""

import json
from dataclasses import dataclass
from typing import Any

FIRST_DELAY = 0.2  # seconds
LONGEST_DELAY = 30.0  # seconds

# The operator can repair these (a key, a model not yet registered), and the others
# are temporary.
_PASSING = frozenset({401, 403, 404, 408, 425, 429})


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """The API has stored the batch; sending it again would change nothing.

    `faulty` are the indices of the rows that went to quarantine, or None when
    the answer does not list them (a batch that was delivered before,
    or more than an answer lists). `n_doubled` rows had the id of another row
    of the batch.
    """

    n_accepted: int
    n_rejected: int
    faulty: frozenset[int] | None
    n_doubled: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Try later; no sooner than `after` seconds when the server asked for it.

    `is_crash` when the server failed with it: perhaps because of this batch, so
    that others should be sent first.
    """

    after: float | None = None
    is_crash: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """It would always be refused: drop the batch, and count the reason."""

    reason: str


def read_answer(
    status: int, body: bytes, n_rows: int, retry_after: str | None = None
) -> Delivered | Again | Refused:
    """Decide what to do with a batch after its response.

    Parameters
    ----------
    status, body, retry_after
        The answer: HTTP status, content, and the header `Retry-After`.
    n_rows
        Rows in the batch.

    Examples
    --------
    >>> read_answer(200, b'{"accepted": 3, "duplicate": false, "quarantined": 0}', 3)
    Delivered(n_accepted=3, n_rejected=0, faulty=frozenset(), n_doubled=0)
    >>> read_answer(503, b"", 3, "2")
    Again(after=2.0, is_crash=False)
    >>> read_answer(413, b"", 3)
    Refused(reason='refused_413')
    """
    content = _content(body)
    if status == 200 or (status == 422 and _is_receipt(content)):
        return _delivered(content, n_rows)
    if status in _PASSING or not 400 <= status < 500:
        return Again(after=_seconds(retry_after), is_crash=status == 500)
    return Refused(reason=f"refused_{status}")


def delay(attempts: int, jitter: float) -> float:
    """Return the pause before the next attempt, in seconds.

    Parameters
    ----------
    attempts
        Failed attempts so far, at least 1.
    jitter
        A random number in [0, 1): services that lost the API at the same time must
        not return at the same time.

    Examples
    --------
    >>> [round(delay(attempts, 0.5), 2) for attempts in (1, 3, 20)]
    [0.15, 0.6, 22.5]
    """
    longest = min(FIRST_DELAY * 2 ** min(attempts - 1, 16), LONGEST_DELAY)
    return float(longest * (0.5 + 0.5 * jitter))


def _is_receipt(content: dict[str, Any]) -> bool:
    return isinstance(content.get("accepted"), int) and isinstance(content.get("errors"), list)


def _delivered(content: dict[str, Any], n_rows: int) -> Delivered:
    named = content.get("errors")
    faulty = frozenset(fault["row"] for fault in named) if named else frozenset[int]()
    n_rejected = int(content.get("quarantined", len(faulty)))
    n_accepted = int(content.get("accepted", n_rows - n_rejected))
    return Delivered(
        n_accepted=n_accepted,
        n_rejected=n_rejected,
        faulty=faulty if len(faulty) == n_rejected else None,
        n_doubled=max(n_rows - n_accepted - n_rejected, 0),
    )


def _content(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _seconds(retry_after: str | None) -> float | None:
    if retry_after is None or not retry_after.isdigit():
        return None
    return min(float(retry_after), 10 * LONGEST_DELAY)
