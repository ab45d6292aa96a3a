"""Arrow schemas of the prediction log.

One table of predictions, one of labels and one of events per model. The inbox carries
the same columns as the lake, so that archiving only appends.

Time of a list: the last element of a feature's list is at `at`, the one
before it one step earlier, and so on. Element h (from 0) of an output's list is about
`at + (h + 1) * step`, and element i of a label's list about `target_at + i * step`; where the
task compares lists, both are about the whole prediction.

What comes over the wire is wider than the log: it carries the features that
are dropped, and in a sensitive column what is hashed before it is stored.
"""

from collections.abc import Iterable
from enum import StrEnum

import pyarrow as pa

from core.schema import task
from core.schema.contract import Contract
from core.schema.events import EVENT_SCHEMA
from core.schema.feature import Dtype, Feature
from core.schema.task import LabelKey

TIME = pa.timestamp("us", tz="UTC")
NUMBERS = pa.list_(pa.float64())
TEXTS = pa.list_(pa.string())


class Kind(StrEnum):
    """The streams that a model is fed with. Each has its own order and its own table."""

    PREDICTIONS = "predictions"
    LABELS = "labels"
    EVENTS = "events"


# The streams that a join reads, in one state of the log.
JOINED = (Kind.PREDICTIONS, Kind.LABELS)


class Stage(StrEnum):
    """What is done with the rows of a stream after they are accepted."""

    FOLD = "fold"
    ARCHIVE = "archive"
    JOIN = "join"
    PAIRING = "pairing"  # of KServe's requests and responses
    RETENTION = "retention"
    ROLL_UP = "roll_up"  # of summaries


class Status(StrEnum):
    """How one prediction was served."""

    OK = "ok"
    ERROR = "error"
    TIMEOUT = "timeout"
    DEGRADED = "degraded"


# The version that past input bears which no model has served: the reference.
REFERENCE = "reference"

_HEAD = (
    pa.field("prediction_id", pa.string(), nullable=False),
    pa.field("version", pa.string(), nullable=False),
    pa.field("at", TIME, nullable=False),
    pa.field("entity", pa.string()),
    pa.field("session_id", pa.string()),
    pa.field("step_index", pa.int64()),
)
_TAIL = (
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
)
# The columns of a prediction row that hold one value each.
SCALARS: tuple[str, ...] = tuple(field.name for field in (*_HEAD, *_TAIL))


def prediction_schema(contract: Contract) -> pa.Schema:
    """Return the columns of a prediction row in the log: without features that are dropped."""
    return _prediction_schema(contract, contract.kept)


def _prediction_schema(contract: Contract, taken: Iterable[Feature]) -> pa.Schema:
    features = _lists(taken)
    output = _lists(task.of(contract).output(contract))
    return pa.schema(
        [
            *_HEAD,
            pa.field("features", features, nullable=False),
            pa.field("output", output),
            *_TAIL,
        ]
    )


def _lists(declared: Iterable[Feature]) -> pa.StructType:
    return pa.struct([pa.field(each.name, _type_of(each)) for each in declared])


def _type_of(feature: Feature) -> pa.DataType:
    return TEXTS if feature.dtype is Dtype.CATEGORY else NUMBERS


def declared(contract: Contract, group: str) -> tuple[Feature, ...]:
    """Return what the lists of `features`, `output` or `actual` of a row are."""
    if group == "features":
        return contract.features
    of = task.of(contract)
    return of.output(contract) if group == "output" else of.label(contract)


def takes_booleans(contract: Contract, group: str) -> frozenset[str]:
    """Return the lists of a group of which true and false are numbers, 1 and 0."""
    return frozenset(each.name for each in declared(contract, group) if each.takes_booleans)


def label_schema(contract: Contract) -> pa.Schema:
    """Return the columns of a label row.

    A label names the prediction by one of the keys of the task. Both times are kept: what it
    is about, and when it arrived.
    """
    of = task.of(contract)
    keys = [
        pa.field("prediction_id", pa.string()),
        pa.field("entity", pa.string()),
        pa.field("target_at", TIME),
    ]
    if LabelKey.INTERVAL in of.keys:
        keys.append(pa.field("target_end", TIME))
    if LabelKey.SESSION_STEP in of.keys:
        keys += [pa.field("session_id", pa.string()), pa.field("step_index", pa.int64())]
    return pa.schema(
        [
            *keys,
            pa.field("actual", _lists(of.label(contract)), nullable=False),
            pa.field("arrived_at", TIME, nullable=False),
            pa.field("received_at", TIME, nullable=False),
        ]
    )


def wire_schema(kind: Kind, contract: Contract) -> pa.Schema:
    """Return the columns of one stream as they are sent, before anything is masked."""
    if kind is Kind.PREDICTIONS:
        return _prediction_schema(contract, contract.features)
    return schema(kind, contract)


def schema(kind: Kind, contract: Contract) -> pa.Schema:
    """Return the columns of one stream in the log."""
    match kind:
        case Kind.PREDICTIONS:
            return prediction_schema(contract)
        case Kind.LABELS:
            return label_schema(contract)
        case Kind.EVENTS:
            return EVENT_SCHEMA
