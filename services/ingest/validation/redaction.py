"""Redaction of refused rows and their faults, of models with sensitive values.

The values of such a row were not checked: a text may be in place of a number, and
a name in any field. So only values that are known to be harmless are kept.
"""

import re
from typing import Any

import pyarrow as pa

from core import moments
from core.errors import AppError, RowFault, Unprocessable
from core.schema.contract import Contract
from core.schema.events import EVENT_FIELDS
from core.schema.feature import MAX_TEXT_BYTES
from core.schema.masking import MASKED
from core.schema.rows import Kind, Status, wire_schema
from core.terms import Terms
from services.ingest.validation.contract_violations import Mismatch, reason_of

_INDEX = re.compile(r"\[[^\]]*\]")
_MOMENTS = ("at", "target_at", "arrived_at")
_NUMBERS = (
    "step_index",
    "latency_seconds",
    "queue_length",
    "batch_size",
    "cost",
    *(name for name, of in EVENT_FIELDS.items() if not pa.types.is_string(of.type)),
)
_OF_EVENTS = ("event_id", "type", "currency")
_FLAGS = ("shadow", "session_start", "session_end", "cold_start")
_TEXTS = ("prediction_id", "version", "entity", "session_id", "trace_id", "worker", *_OF_EVENTS)

WITHHELD = "does not fit the contract; details are withheld: the model has sensitive values"


def fault(found: RowFault, kind: Kind, terms: Terms) -> RowFault:
    """Return a fault without field names and reasons that come from the sender."""
    if not terms.contract.is_sensitive:
        return found
    plain = _INDEX.sub("", found.field)
    field = plain if plain in _known(kind, terms.contract) else MASKED
    is_ours = reason_of(found.reason) is not Mismatch.OTHER
    reason = found.reason if is_ours else "breaks the contract"
    return RowFault(row=found.row, field=field, reason=reason)


def content(row: dict[str, Any], terms: Terms) -> dict[str, Any]:
    """Return what quarantine may keep of a row: harmless scalars, and masks of the others.

    Examples
    --------
    >>> from core.durations import MINUTE
    >>> from core.schema.feature import Feature, Sensitivity
    >>> secret = Contract(features=(Feature(name="x"),), targets=("y",), step=MINUTE,
    ...     input_length=1, horizon=1, sensitive_fields={"entity": Sensitivity.DROP})
    >>> content({"version": "v1", "entity": "Ann", "cost": "Ann"}, Terms(contract=secret))
    {'version': 'v1', 'entity': '(masked)', 'cost': '(masked)'}
    """
    if not terms.contract.is_sensitive:
        return row
    known = {*_MOMENTS, *_NUMBERS, *_FLAGS, *_TEXTS, "status", "features", "output", "actual"}
    return {
        (name if name in known else MASKED): (
            value if _is_harmless(name, value, terms.contract) else MASKED
        )
        for name, value in row.items()
    }


def error(refusal: AppError, terms: Terms) -> AppError:
    """Return the error of a whole batch without any of its content."""
    if not terms.contract.is_sensitive or not isinstance(refusal, Unprocessable):
        return refusal
    return refusal if str(refusal) in _STATIC else Unprocessable(f"the batch {WITHHELD}")


_STATIC = {
    "a batch needs at least one row",
    "the body must be an object: one row, or a batch with 'rows'",
    "batch_id must be text",
    "rows must be a list",
    "columns must be an object of lists",
}


def _is_harmless(name: str, value: object, contract: Contract) -> bool:
    match value:
        case None:
            return True
        case bool():
            return name in _FLAGS
        case int() | float():
            return name in _NUMBERS
        case str() if name not in contract.sensitive_fields:
            return _is_harmless_text(name, value)
        case _:
            return False


def _is_harmless_text(name: str, text: str) -> bool:
    if name in _MOMENTS:
        return _is_moment(text)
    if name == "status":
        return text in [status.value for status in Status]
    return name in _TEXTS and len(text) <= MAX_TEXT_BYTES


def _is_moment(text: str) -> bool:
    try:
        moments.parse(text)
    except ValueError:
        return False
    return True


def _known(kind: Kind, contract: Contract) -> set[str]:
    names = {""}
    for column in wire_schema(kind, contract):
        names.add(column.name)
        if column.name in ("features", "output", "actual"):
            names |= {f"{column.name}.{child.name}" for child in column.type}
    return names
