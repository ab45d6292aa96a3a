"""What comes in, and what is answered."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

import pyarrow as pa

from core.errors import RowFault
from core.schema.contract import Contract
from core.schema.rows import Kind
from core.terms import Terms


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
    MSGPACK = "application/msgpack"
    ARROW = "application/vnd.apache.arrow.stream"


# What else msgpack is called: the name was registered late.
ALIASES = {
    "application/vnd.msgpack": Format.MSGPACK,
    "application/x-msgpack": Format.MSGPACK,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One request, still as it came over the wire.

    Attributes
    ----------
    model_id, model
        Whose rows they are; the name is for metrics.
    terms
        What the rows must keep to, and what of them may be stored.
    batch_id
        From the `Idempotency-Key` header. A `batch_id` inside the body goes
        before it; without either, the hash of the body names the batch.
    body
        Unpacked: the same batch is the same whether it was compressed or not.
    contract_digest
        Of the contract that the sender believes in; None when it does not say.
    trace_id
        From the `traceparent` header, for the rows that bear none.
    faults
        What is known to be wrong with rows before any is read.
    """

    model_id: UUID
    model: str
    terms: Terms
    feed: Feed
    format: Format
    body: bytes
    batch_id: str | None = None
    contract_digest: str | None = None
    trace_id: str | None = None
    faults: tuple[RowFault, ...] = ()

    @property
    def contract(self) -> Contract:
        """The contract of the model."""
        return self.terms.contract


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
    duplicates
        Rows whose `prediction_id` stood in the batch before: dropped, the
        first one counts. Empty in the answer to a duplicate.
    """

    n_accepted: int
    n_quarantined: int
    is_duplicate: bool = False
    faults: tuple[RowFault, ...] = ()
    duplicates: tuple[int, ...] = ()


def ipc_stream(table: pa.Table) -> bytes:
    """Return a table as the body of a batch in Arrow's format."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    body: bytes = sink.getvalue().to_pybytes()
    return body
