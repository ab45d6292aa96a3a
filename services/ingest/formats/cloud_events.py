"""CloudEvents 1.0 as events: structured, batched, and in binary mode."""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any
from urllib.parse import unquote

from core.errors import Malformed, RowFault, UnsupportedFormat
from core.schema.names import printable
from services.ingest.formats.encodings import JSON

_TYPE = "application/cloudevents"
_REQUIRED = ("specversion", "id", "source", "type")
_TEXTS = (*_REQUIRED, "time")


class Mode(StrEnum):
    """How a request carries CloudEvents, by its content type."""

    STRUCTURED = f"{_TYPE}+json"
    BATCH = f"{_TYPE}-batch+json"
    BINARY = "application/json"


def mode_of(headers: Mapping[str, str]) -> Mode | None:
    """Return how a request carries CloudEvents; None where it carries none.

    Raises
    ------
    UnsupportedFormat
        If its CloudEvents are not JSON.
    """
    given = headers.get("content-type", "").partition(";")[0].strip().lower()
    is_binary = "ce-specversion" in headers
    if not is_binary and not given.startswith(_TYPE):
        return None
    if given in (Mode.STRUCTURED, Mode.BATCH) or (is_binary and given == Mode.BINARY):
        return Mode(given)
    raise UnsupportedFormat(f"content type: expected one of {', '.join(Mode)} for CloudEvents")


def to_rows(
    body: bytes, mode: Mode, headers: Mapping[str, str], now: str
) -> tuple[bytes, tuple[RowFault, ...]]:
    """Convert CloudEvents to a batch of events in JSON.

    The id is that of source and event together, as they are unique only so; the type is the
    part after the last dot; what else an event has is in `data`.

    Parameters
    ----------
    body
        Unpacked.
    mode, headers
        How it carries them.
    now
        The time of events without one.

    Returns
    -------
    body
        A batch with `rows`, in the order of the events.
    faults
        Of events that are none, by row.

    Raises
    ------
    Malformed
        If the body is not JSON, or not a list in batched mode.
    """
    JSON.refuse_bombs(body)
    found: Any = JSON.untyped(body)
    if mode is Mode.BINARY:
        names = (name for name in headers if name.startswith("ce-"))
        found = {name[3:]: unquote(headers[name]) for name in names} | {"data": found}
    if mode is Mode.BATCH and not isinstance(found, list):
        raise Malformed("the body is not a batch of CloudEvents: a JSON list")
    rows, faults = [], []
    for no, document in enumerate(found if mode is Mode.BATCH else [found]):
        fault = _fault(document)
        if fault is None:
            rows.append(_row(document, now))
        else:
            rows.append(document)
            faults.append(RowFault(row=no, field=fault[0], reason=fault[1]))
    return json.dumps({"rows": rows}).encode(), tuple(faults)


def _fault(document: object) -> tuple[str, str] | None:
    """Return the field and the reason for which something is not a CloudEvent with data."""
    if not isinstance(document, dict):
        return "", "Expected `object`"
    for name in _TEXTS:
        if not isinstance(document.get(name, ""), str):
            return name, "Expected `str`"
    for name in _REQUIRED:
        if not document.get(name):
            return name, "missing"
    if document["specversion"] != "1.0":
        return "specversion", "expected 1.0"
    data = document.get("data") or {}
    if not isinstance(data, dict):
        return "data", "Expected `object`"
    taken = sorted({"event_id", "type", "at"} & data.keys())
    return (printable(f"data.{taken[0]}"), "unknown field") if taken else None


def _row(document: Mapping[str, Any], now: str) -> dict[str, Any]:
    return {
        "event_id": f"{document['source']}#{document['id']}",
        "type": document["type"].rpartition(".")[2],
        "at": document.get("time", now),
        **(document.get("data") or {}),
    }
