"""What comes in, and what is answered."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from core.contract import Contract
from core.errors import RowFault
from core.rows import Kind


class Feed(StrEnum):
    """The three ways in. The reference is a prediction that no model has served."""

    PREDICTIONS = "predictions"
    REFERENCE = "reference"
    LABELS = "labels"

    @property
    def kind(self) -> Kind:
        """The stream that the rows join."""
        return Kind.LABELS if self is Feed.LABELS else Kind.PREDICTIONS


class Format(StrEnum):
    """The bodies that we read, by content type."""

    JSON = "application/json"
    ARROW = "application/vnd.apache.arrow.stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One request, still as it came over the wire.

    Attributes
    ----------
    model_id, model
        Whose rows they are; the name is for metrics.
    contract
        What the rows must keep to.
    batch_id
        From the `Idempotency-Key` header. A `batch_id` inside a JSON body
        goes before it; without either, the hash of the body names the batch.
    """

    model_id: UUID
    model: str
    contract: Contract
    feed: Feed
    format: Format
    body: bytes
    batch_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The batch is on disk.

    Attributes
    ----------
    n_accepted, n_quarantined
        Rows that were kept, and rows that broke the contract.
    is_duplicate
        The batch was here before; nothing was changed.
    faults
        One for each quarantined row, by row; empty in the answer to a duplicate.
    """

    n_accepted: int
    n_quarantined: int
    is_duplicate: bool = False
    faults: tuple[RowFault, ...] = ()
