"""Batches and their results."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

import pyarrow as pa

from core.errors import RowFault
from core.schema.contract import Contract
from core.schema.rows import Kind
from core.terms import Terms


class Feed(StrEnum):
    """The ingest routes. Reference rows are predictions that no model has served."""

    PREDICTIONS = "predictions"
    REFERENCE = "reference"
    LABELS = "labels"
    EVENTS = "events"

    @property
    def kind(self) -> Kind:
        """The stream that the rows belong to."""
        return Kind.PREDICTIONS if self is Feed.REFERENCE else Kind(self.value)


class Format(StrEnum):
    """Supported formats of bodies, by content type."""

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
    """One request, with its body as received.

    Attributes
    ----------
    model_id, model
        The model of the rows; the name is for metrics.
    terms
        The contract of the rows, and which values may be stored.
    batch_id
        From the `Idempotency-Key` header. A `batch_id` inside the body has
        precedence; without either, the hash of the body is the id.
    body
        Unpacked, so that a compressed and a plain body are the same batch.
    contract_digest
        Digest of the contract that the sender uses; None when it sends none.
    trace_id
        From the `traceparent` header, for the rows without one.
    faults
        Faults of rows that are known before the body is read.
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
        Rows that were stored, and rows that broke the contract.
    is_duplicate
        The batch was received before; nothing was changed.
    faults
        One for each quarantined row, by row; empty in the answer to a duplicate.
    duplicates
        Rows with the `prediction_id` of an earlier row of the batch, and events with the
        `event_id` of any earlier one: dropped.
        Empty in the answer to a duplicate.
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
