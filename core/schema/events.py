"""Types of events of an inference service, and the fields of each.

A new type is one row of `EVENT_TYPES`; a new field one row of `EVENT_FIELDS`, and a column
of the log.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

_ENDLESS = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventField:
    """One field that events of some types have.

    Attributes
    ----------
    type
        Of its column: a number or a text.
    unit
        For people.
    maximum
        Of a number; the minimum is 0.
    """

    type: pa.DataType
    unit: str = ""
    maximum: float = _ENDLESS


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType:
    """What an event of one type must and may have, beside the fields of all.

    Attributes
    ----------
    required
        These fields.
    any_of
        At least one of these, where there are any.
    optional
        These may be there, and no others.
    is_change
        Whether it is drawn on the charts of the model.
    """

    required: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    is_change: bool = False


_SECONDS = EventField(type=pa.float64(), unit="seconds")
_SHARE = EventField(type=pa.float64(), unit="share of what the worker may use", maximum=1.0)

EVENT_FIELDS: Mapping[str, EventField] = {
    "duration_seconds": _SECONDS,
    "cpu_share": _SHARE,
    "gpu_share": _SHARE,
    "memory_share": _SHARE,
    "sequence_length": EventField(type=pa.int64(), unit="steps or tokens"),
    "queue_length": EventField(type=pa.int64(), unit="requests"),
    "size_bytes": EventField(type=pa.int64(), unit="bytes"),
    "amount": EventField(type=pa.float64(), unit="currency"),
    "currency": EventField(type=pa.string(), unit="ISO 4217"),
    "instance_seconds": EventField(type=pa.float64(), unit="seconds of an instance"),
    "description": EventField(type=pa.string()),
}

_TIMED = EventType(required=("duration_seconds",), optional=("size_bytes", "description"))

EVENT_TYPES: Mapping[str, EventType] = {
    "load": _TIMED,
    "cold_start": _TIMED,
    "restore": _TIMED,
    "checkpoint": EventType(optional=("duration_seconds", "size_bytes", "description")),
    "out_of_memory": EventType(optional=("memory_share", "sequence_length", "description")),
    "restart": EventType(optional=("description",)),
    "resources": EventType(
        any_of=("cpu_share", "gpu_share", "memory_share"), optional=("sequence_length",)
    ),
    "queue": EventType(required=("queue_length",)),
    "session_start": EventType(required=("session_id",)),
    "session_end": EventType(required=("session_id",)),
    "deploy": EventType(required=("version",), optional=("description",), is_change=True),
    "configuration_change": EventType(required=("description",), is_change=True),
    "upstream_change": EventType(required=("description",), is_change=True),
    "cost": EventType(
        required=("amount", "currency"), optional=("instance_seconds", "description")
    ),
}

CHANGES = tuple(name for name, of in EVENT_TYPES.items() if of.is_change)

_TIME = pa.timestamp("us", tz="UTC")

EVENT_SCHEMA = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("type", pa.string(), nullable=False),
        pa.field("at", _TIME, nullable=False),
        pa.field("version", pa.string()),
        pa.field("session_id", pa.string()),
        pa.field("worker", pa.string()),
        pa.field("trace_id", pa.string()),
        *(pa.field(name, of.type) for name, of in EVENT_FIELDS.items()),
        pa.field("received_at", _TIME, nullable=False),
    ]
)
