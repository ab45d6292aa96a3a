"""Errors that a caller may receive, as one tree.

AppError
├── Malformed             400  the body cannot be read at all
├── Unauthorized          401  no key, or one we do not know
├── Forbidden             403  the key is known and does not reach this far
├── NotFound              404  the named thing does not exist
│   └── NotFoundYet       404  not among the rows searched so far; there are more
├── Conflict              409  the thing exists but is in another state
│   ├── StaleChampion     409  someone else promoted first
│   ├── RetrainRefused    409  not allowed by the policy now
│   └── BatchMismatch     409  this batch id was used for other content
├── PreconditionFailed    412  changed since the state that the request names
├── TooLarge              413  more than the limit allows
├── UnsupportedFormat     415  a content type or encoding we do not read
├── Unprocessable         422  the payload is well formed but means nothing here
│   ├── BadRows           422  some rows break the contract; each is named
│   ├── InvalidConfiguration 422  a configuration with faults; each is named
│   ├── ForeignArtifact   422  not weights that we could load safely
│   └── EarlierInstallation    files or tables of a version before the first release
├── NotInstalled          501  a plug-in that the request needs is missing or broken
└── Later                      the same request may pass after a while
    ├── TooMany           429  the key has sent more rows than it may
    └── Busy              503  try again in a moment

Anything else that escapes is a bug and becomes a 500.
"""

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import ClassVar


class AppError(Exception):
    """Base class: a business outcome, not a crash."""

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR


class Malformed(AppError):
    """The body cannot be read at all."""

    status = HTTPStatus.BAD_REQUEST


class Unauthorized(AppError):
    """No key, or one that we do not know."""

    status = HTTPStatus.UNAUTHORIZED


class Forbidden(AppError):
    """The key is known and does not reach this far."""

    status = HTTPStatus.FORBIDDEN


class NotFound(AppError):
    """The named thing does not exist."""

    status = HTTPStatus.NOT_FOUND


class NotFoundYet(NotFound):
    """Not among the rows that were searched so far; `next_cursor` goes on."""

    def __init__(self, searched_back_to: datetime, next_cursor: str) -> None:
        super().__init__(f"not among events since {searched_back_to.isoformat()}")
        self.searched_back_to = searched_back_to
        self.next_cursor = next_cursor


class Conflict(AppError):
    """The thing exists but is in a state that forbids the request."""

    status = HTTPStatus.CONFLICT


class StaleChampion(Conflict):
    """The champion changed between the decision and the promotion."""


class RetrainRefused(Conflict):
    """The policy does not allow retraining now; the message holds the reason."""


class BatchMismatch(Conflict):
    """The batch id was used before, for other content."""


class PreconditionFailed(AppError):
    """The thing has changed since the state that the request names."""

    status = HTTPStatus.PRECONDITION_FAILED


class TooSlow(AppError):
    """The body did not arrive in time: the room that it was given is for others."""

    status = HTTPStatus.REQUEST_TIMEOUT


class TooLarge(AppError):
    """More than the limit allows."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UnsupportedFormat(AppError):
    """A content type or encoding that we do not read."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class Unprocessable(AppError):
    """The payload is well formed but means nothing here."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFault:
    """One row that breaks the contract: where, and why. Never the value itself."""

    row: int
    field: str
    reason: str


class BadRows(Unprocessable):
    """Some rows break the contract; the others are kept."""

    def __init__(
        self,
        faults: tuple[RowFault, ...],
        n_accepted: int,
        duplicates: tuple[int, ...] = (),
    ) -> None:
        first = faults[0]
        super().__init__(
            f"{len(faults)} bad rows, {n_accepted} accepted; "
            f"first: row {first.row}, {first.field}: {first.reason}"
        )
        self.faults = faults
        self.n_accepted = n_accepted
        self.duplicates = duplicates


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of a configuration: a JSON pointer (RFC 6901) into it, and why."""

    pointer: str
    reason: str


class InvalidConfiguration(Unprocessable):
    """A configuration with faults; nothing was changed."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        first = faults[0]
        super().__init__(f"{len(faults)} faults; first: {first.pointer}: {first.reason}")
        self.faults = faults


class ForeignArtifact(Unprocessable):
    """Not weights that we could load safely."""


class EarlierInstallation(Unprocessable):
    """Tables or files of a version before the first release; nothing was written to them."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} was made by an earlier version of Seqwatch: export its rows with that "
            "version (`seqwatch export`) and import them (`seqwatch import`) with an empty "
            "database and empty folders"
        )


class NotInstalled(AppError):
    """A plug-in that the request needs is missing or broken; the message holds the reason."""

    status = HTTPStatus.NOT_IMPLEMENTED


class Later(AppError):
    """Not now: the same request may pass after `retry_after` seconds."""

    def __init__(self, detail: str, retry_after: float = 1.0) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class TooMany(Later):
    """The key has sent more rows than it may."""

    status = HTTPStatus.TOO_MANY_REQUESTS


class Busy(Later):
    """Try again in a moment."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
