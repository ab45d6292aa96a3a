"""The columns of the prediction log, as Arrow schemas.

One table of predictions and one of labels per model. The inbox carries the
same columns as the lake, so that archiving only appends.

Time of a list: the last element of a feature's list is at `at`, the one
before it one step earlier, and so on. Element h (from 0) of an output's list
is the forecast for `at + (h + 1) * step`. Element i of a label's list is what
happened at `target_at + i * step`.
"""

from enum import StrEnum

import pyarrow as pa

from core.contract import Contract

TIME = pa.timestamp("us", tz="UTC")
NUMBERS = pa.list_(pa.float64())


class Kind(StrEnum):
    """The streams that a model is fed with. Each has its own order and its own table."""

    PREDICTIONS = "predictions"
    LABELS = "labels"


class Status(StrEnum):
    """How one prediction was served."""

    OK = "ok"
    ERROR = "error"
    TIMEOUT = "timeout"
    DEGRADED = "degraded"


# The version that past input bears which no model has served: the reference.
REFERENCE = "reference"


def prediction_schema(contract: Contract) -> pa.Schema:
    """Return the columns of a prediction row."""
    features = pa.struct([pa.field(name, NUMBERS) for name in contract.feature_names])
    output = pa.struct([pa.field(name, NUMBERS) for name in contract.targets])
    return pa.schema(
        [
            pa.field("prediction_id", pa.string(), nullable=False),
            pa.field("version", pa.string(), nullable=False),
            pa.field("at", TIME, nullable=False),
            pa.field("entity", pa.string()),
            pa.field("session_id", pa.string()),
            pa.field("step_index", pa.int64()),
            pa.field("features", features, nullable=False),
            pa.field("output", output),
            pa.field("status", pa.string(), nullable=False),
            pa.field("shadow", pa.bool_(), nullable=False),
            pa.field("latency_seconds", pa.float64()),
            pa.field("session_start", pa.bool_()),
            pa.field("session_end", pa.bool_()),
            pa.field("cold_start", pa.bool_()),
            pa.field("queue_length", pa.int64()),
            pa.field("batch_size", pa.int64()),
            pa.field("trace_id", pa.string()),
            pa.field("cost", pa.float64()),
            pa.field("worker", pa.string()),
            pa.field("received_at", TIME, nullable=False),
        ]
    )


def label_schema(contract: Contract) -> pa.Schema:
    """Return the columns of a label row.

    A label names either the prediction, or the entity and the first target
    time. Both times are kept: what it is about, and when it arrived.
    """
    actual = pa.struct([pa.field(name, NUMBERS) for name in contract.targets])
    return pa.schema(
        [
            pa.field("prediction_id", pa.string()),
            pa.field("entity", pa.string()),
            pa.field("target_at", TIME),
            pa.field("actual", actual, nullable=False),
            pa.field("arrived_at", TIME, nullable=False),
            pa.field("received_at", TIME, nullable=False),
        ]
    )


def schema(kind: Kind, contract: Contract) -> pa.Schema:
    """Return the columns of one stream."""
    if kind is Kind.PREDICTIONS:
        return prediction_schema(contract)
    return label_schema(contract)
