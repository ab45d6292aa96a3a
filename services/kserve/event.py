"""CloudEvents as KServe's logger sends them: in headers, or as one JSON document."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from core import moments
from core.errors import Malformed, Unprocessable
from core.schema.names import printable
from db.tables.kserve import Part

STRUCTURED = "application/cloudevents+json"
MAX_ID = 150  # characters: it becomes part of a batch id

TYPES = {
    "org.kubeflow.serving.inference.request": Part.REQUEST,
    "org.kubeflow.serving.inference.response": Part.RESPONSE,
}

# Attributes of an event that are read. Other attributes are passed over.
_KNOWN = {
    "id",
    "type",
    "time",
    "specversion",
    "inferenceservicename",
    "modelversion",
    "traceparent",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A request or response event of a prediction, as it came.

    Attributes
    ----------
    event_id
        The same for a request and its response.
    at
        When it happened; None where the event has no time.
    model, version
        Model and version of the event; `?model=` and `?version=` go before it.
    traceparent
        Of the request, where the mesh adds one.
    payload
        The decoded body of the request or response; None if it cannot be read.
    """

    event_id: str
    part: Part
    at: datetime | None
    model: str | None
    version: str | None
    traceparent: str | None
    payload: Any = field(repr=False)


def from_headers(headers: Mapping[str, str], body: bytes) -> Event:
    """Read an event in binary mode: its attributes are headers, its payload the body.

    Raises
    ------
    Unprocessable
        If it is no event of KServe's logger.
    """
    attributes = {
        name: unquote(headers[f"ce-{name}"]) for name in _KNOWN if f"ce-{name}" in headers
    }
    return _event(attributes, _read(body))


def from_document(body: bytes) -> Event:
    """Read an event in structured mode: all of it is one JSON object.

    Raises
    ------
    Malformed
        If the body is not a JSON object.
    Unprocessable
        If it is no event of KServe's logger.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise Malformed("the body is not JSON") from None
    if not isinstance(document, dict):
        raise Malformed("the body is not a CloudEvent: a JSON object")
    attributes = {name: document[name] for name in _KNOWN if document.get(name) is not None}
    for name, value in attributes.items():
        if not isinstance(value, str):
            raise Unprocessable(f"{name} must be text")
    if "data_base64" not in document:
        return _event(attributes, document.get("data"))
    try:
        packed = base64.b64decode(document["data_base64"], validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise Malformed("data_base64 is not base64") from None
    return _event(attributes, _read(packed))


def _event(attributes: Mapping[str, str], payload: Any) -> Event:
    if attributes.get("specversion") != "1.0":
        raise Unprocessable(
            "not a CloudEvent of version 1.0: specversion is missing or another"
        )
    part = TYPES.get(attributes.get("type", ""))
    if part is None:
        raise Unprocessable(f"event type: expected one of {', '.join(TYPES)}")
    event_id = attributes.get("id", "")
    if not 0 < len(event_id) <= MAX_ID or printable(event_id) != event_id:
        raise Unprocessable(f"id: 1 to {MAX_ID} printable characters")
    return Event(
        event_id=event_id,
        part=part,
        at=_moment(attributes.get("time")),
        model=attributes.get("inferenceservicename"),
        version=attributes.get("modelversion"),
        traceparent=attributes.get("traceparent"),
        payload=payload,
    )


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = moments.parse(text)
    except ValueError:
        raise Unprocessable("time: not an RFC 3339 timestamp") from None
    if moment.tzinfo is None:
        raise Unprocessable("time: timestamp without zone")
    return moment


def _read(body: bytes) -> Any:
    """Return a JSON payload; with it, the tensors of the binary extension behind it.

    KServe's logger labels a response with the content type of its request: the
    content type is not set.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        pass
    try:
        # One character for each byte, so that the end of the header is found
        # whatever it holds.
        _, end = json.JSONDecoder().raw_decode(body.decode("latin-1"))
        header = json.loads(body[:end])
    except (ValueError, RecursionError):
        return None
    if not isinstance(header, dict):
        return None
    return {**header, "binary": body[end:]}
