"""OpenAPI paths of the ingest endpoints, which are plain ASGI routes."""

from collections.abc import Mapping
from typing import Any

from api.server.responses import Accepted, outcome
from services.ingest import Feed, Format
from services.ingest.batch import ALIASES
from services.ingest.formats.cloud_events import Mode
from services.ingest.formats.decode import MAX_BATCH_ID
from services.ingest.formats.decompress import Packing
from services.kserve.event import MAX_ID, STRUCTURED, TYPES
from services.kserve.pairing import Became

_ANSWERS = {
    "200": "On disk, or already there (`duplicate`).",
    "400": "The body cannot be read.",
    "401": "No key, or an unknown one.",
    "403": "The key does not reach this far.",
    "404": "No such model.",
    "408": "The body did not arrive in time.",
    "409": "The batch id was used for other content.",
    "413": "More bytes or rows than allowed.",
    "415": "A content type or content encoding that is not supported.",
    "422": "Some rows break the contract and are in quarantine; the others are kept.",
    "429": "More rows than the key may send: try again after `Retry-After` seconds.",
    "503": "Try again after `Retry-After` seconds.",
}

_SUMMARY = {
    Feed.PREDICTIONS: "Store predictions that were served.",
    Feed.REFERENCE: "Store past input that no model has served, as the reference.",
    Feed.LABELS: "Store labels.",
    Feed.EVENTS: "Store events of an inference service.",
}

ALL_ACCEPTED = outcome(n_accepted=2)


class KServeTaken(Accepted, kw_only=True):
    """Result of an event."""

    outcome: Became


_BATCH_ID = {"type": "string", "minLength": 1, "maxLength": MAX_BATCH_ID}


_COLUMN = {"type": "array", "items": {}}


def _rows(feed: Feed) -> dict[str, Any]:
    """Describe the bodies that hold rows; the contract names their features."""
    row = {"$ref": f"#/components/schemas/{feed.title()}Row"}
    batch = {
        "type": "object",
        "description": "Rows.",
        "required": ["rows"],
        "properties": {
            "batch_id": _BATCH_ID,
            "rows": {"type": "array", "minItems": 1, "items": row},
        },
    }
    columns = {
        "type": "object",
        "description": "Columns: lists of one length, features and outputs by name.",
        "required": ["columns"],
        "properties": {
            "batch_id": _BATCH_ID,
            "columns": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": {
                    "anyOf": [_COLUMN, {"type": "object", "additionalProperties": _COLUMN}]
                },
            },
        },
    }
    return {
        "description": "One row, a batch of rows, or a batch of columns.",
        "anyOf": [row, batch, columns],
    }


_BINARY = {"type": "string", "format": "binary"}

_TEXT = {"type": "string"}


def _parameter(
    place: str, name: str, description: str, schema: Mapping[str, Any] = _TEXT
) -> dict[str, Any]:
    described = {"name": name, "in": place, "description": description, "schema": schema}
    return described | ({"required": True} if place == "path" else {})


_ENCODING = _parameter(
    "header",
    "Content-Encoding",
    "How the body is compressed, if it is.",
    {"type": "string", "enum": ["identity", *Packing]},
)
_CLOUD_EVENT = {"type": "object", "required": ["specversion", "id", "source", "type"]}
_CLOUD_EVENTS = {
    Mode.STRUCTURED.value: {"schema": _CLOUD_EVENT},
    Mode.BATCH.value: {"schema": {"type": "array", "items": _CLOUD_EVENT}},
}
_OF_FEEDS = (
    _parameter("path", "model", "The model's name."),
    _parameter(
        "header",
        "Idempotency-Key",
        "Names the batch, unless the body does; by default its hash.",
        _BATCH_ID,
    ),
    _parameter(
        "header",
        "Seqwatch-Contract",
        "The digest of the contract that the rows were made under.",
    ),
    _parameter(
        "header",
        "traceparent",
        "W3C Trace Context, for rows that name no trace. Passed over if invalid.",
    ),
    _ENCODING,
)


def openapi_paths() -> dict[str, Any]:
    """Return the entries of these routes in `paths` of the OpenAPI document."""
    feeds = {f"/v1/models/{{model}}/{feed}": {"post": _feed(feed)} for feed in Feed}
    return {**feeds, "/v1/kserve": {"post": _kserve()}}


def _feed(feed: Feed) -> dict[str, Any]:
    msgpack = [Format.MSGPACK, *(name for name, of in ALIASES.items() if of is Format.MSGPACK)]
    return {
        "operationId": f"send_{feed}",
        "summary": _SUMMARY[feed],
        "tags": ["ingest"],
        "parameters": [*_OF_FEEDS],
        "requestBody": {
            "required": True,
            "description": "The same rows in any of these formats.",
            "content": {
                Format.JSON.value: {"schema": _rows(feed)},
                **{str(name): {"schema": _BINARY} for name in msgpack},
                Format.ARROW.value: {"schema": _BINARY},
                **(_CLOUD_EVENTS if feed is Feed.EVENTS else {}),
            },
        },
        "responses": {status: {"description": text} for status, text in _ANSWERS.items()},
        "security": [{"key": []}],
    }


def _kserve() -> dict[str, Any]:
    texts = {
        "200": "The event is on disk; with `paired`, so is the prediction.",
        "409": "The rows of both events are in quarantine under another id.",
        "415": "No CloudEvent, several at once, or a content encoding that is not supported.",
        "422": "No event of KServe's logger, or one that names no model.",
    }
    answers: dict[str, Any] = {
        status: {"description": texts.get(status, text)} for status, text in _ANSWERS.items()
    }
    schema = {"$ref": "#/components/schemas/KServeTaken"}
    answers["200"]["content"] = {"application/json": {"schema": schema}}
    del answers["409"]
    return {
        "operationId": "take_event",
        "summary": "Take an event of KServe's logger.",
        "tags": ["kserve"],
        "parameters": [
            _parameter("query", "model", "Goes before the event's `inferenceservicename`."),
            _parameter(
                "query", "version", "Who served, as the model's versions are named here."
            ),
            *(
                _parameter(
                    "header", f"ce-{name}", f"Binary mode: the event's `{name}`.", schema
                )
                for name, schema in _ATTRIBUTES.items()
            ),
            _ENCODING,
        ],
        "requestBody": {
            "required": True,
            "description": "In binary mode the payload alone, in structured mode all of it.",
            "content": {
                "application/json": {"schema": {"type": "object"}, "example": _PAYLOAD},
                "application/octet-stream": {"schema": _BINARY},
                STRUCTURED: {"schema": _DOCUMENT, "example": _EVENT},
            },
        },
        "responses": answers,
        "security": [{"key": []}],
    }


_ATTRIBUTES: dict[str, dict[str, Any]] = {
    "specversion": {"type": "string", "enum": ["1.0"]},
    "id": {"type": "string", "minLength": 1, "maxLength": MAX_ID},
    "type": {"type": "string", "enum": [*TYPES]},
    "time": {"type": "string", "description": "RFC 3339."},
    **dict.fromkeys(("source", "inferenceservicename", "modelversion", "traceparent"), _TEXT),
}


_DOCUMENT = {
    "type": "object",
    "required": ["specversion", "id", "type"],
    "properties": {
        **_ATTRIBUTES,
        "data": {"description": "The payload, as JSON."},
        "data_base64": {"type": "string", "description": "The payload, as base64."},
    },
}
_PAYLOAD = {"instances": [[7.1, 21.5]]}
_EVENT = {
    "specversion": "1.0",
    "id": "0009174a-24a8-4603-b098-09c8799950e9",
    "type": next(iter(TYPES)),
    "source": "http://localhost:9081/",
    "time": "2026-01-08T12:00:00Z",
    "inferenceservicename": "load",
    "data": _PAYLOAD,
}
