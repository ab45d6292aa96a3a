"""What the description says of the ways in, which are plain ASGI routes."""

from typing import Any

from services.ingest import Feed, Format
from services.ingest.batch import ALIASES
from services.ingest.formats.decode import MAX_BATCH_ID
from services.ingest.formats.decompress import Packing
from services.kserve.event import MAX_ID, STRUCTURED, TYPES
from services.kserve.pairing import Became

_ANSWERS = {
    "200": "On disk, or already there (`duplicate`).",
    "400": "The body cannot be read.",
    "401": "No key, or one that we do not know.",
    "403": "The key does not reach this far.",
    "404": "No such model.",
    "408": "The body did not arrive in time.",
    "409": "The batch id was used for other content.",
    "413": "More bytes or rows than allowed.",
    "415": "A content type or content encoding that we do not read.",
    "422": "Some rows break the contract and are in quarantine; the others are kept.",
    "429": "More rows than the key may send: try again after `Retry-After` seconds.",
    "503": "Try again after `Retry-After` seconds.",
}

_SUMMARY = {
    Feed.PREDICTIONS: "Keep predictions that were served.",
    Feed.REFERENCE: "Keep past input that no model has served, to compare with.",
    Feed.LABELS: "Keep what really happened.",
}

_NAMES = {"type": "array", "items": {"type": "integer"}}
_FAULTS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["field", "reason"],
        "properties": {
            "row": {"type": "integer", "description": "Its place in a batch, from 0."},
            "field": {"type": "string"},
            "reason": {"type": "string"},
        },
    },
}

# What became of the rows of one batch; in an error too, where some were kept.
OUTCOME: dict[str, Any] = {
    "accepted": {"type": "integer", "description": "Rows that were kept."},
    "duplicate": {"type": "boolean", "description": "The batch was here before."},
    "duplicates": {
        **_NAMES,
        "description": "Rows whose `prediction_id` stood in the batch before: dropped.",
    },
    "quarantined": {"type": "integer", "description": "Rows that broke the contract."},
    "errors": {**_FAULTS, "description": "What is wrong where; of rows, the first thousand."},
    "more_duplicates": {"type": "integer", "description": "How many more there are."},
    "more_errors": {"type": "integer", "description": "How many more there are."},
}
NOTHING_ODD = {
    "accepted": 2,
    "duplicate": False,
    "duplicates": [],
    "quarantined": 0,
    "errors": [],
}
ACCEPTED: dict[str, Any] = {
    "type": "object",
    "description": "The batch is on disk.",
    "required": [*NOTHING_ODD],
    "properties": OUTCOME,
    "example": NOTHING_ODD,
}

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

_ENCODING = {
    "name": "Content-Encoding",
    "in": "header",
    "description": "How the body is compressed, if it is.",
    "schema": {"type": "string", "enum": ["identity", *Packing]},
}
_TRACEPARENT = {
    "name": "traceparent",
    "in": "header",
    "description": "W3C Trace Context, for rows that name no trace. Passed over if invalid.",
    "schema": {"type": "string"},
}
_MODEL = {
    "name": "model",
    "in": "path",
    "required": True,
    "description": "The model's name.",
    "schema": {"type": "string"},
}


def openapi_paths() -> dict[str, Any]:
    """Return what these routes add to `paths` of the API's description."""
    feeds = {f"/v1/models/{{model}}/{feed}": {"post": _feed(feed)} for feed in Feed}
    return {**feeds, "/v1/kserve": {"post": _kserve()}}


def _feed(feed: Feed) -> dict[str, Any]:
    msgpack = [Format.MSGPACK, *(name for name, of in ALIASES.items() if of is Format.MSGPACK)]
    return {
        "operationId": f"send_{feed}",
        "summary": _SUMMARY[feed],
        "tags": ["ingest"],
        "parameters": [
            _MODEL,
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "Names the batch, unless the body does; by default its hash.",
                "schema": _BATCH_ID,
            },
            {
                "name": "Seqwatch-Contract",
                "in": "header",
                "description": "The digest of the contract that the rows were made under.",
                "schema": {"type": "string"},
            },
            _TRACEPARENT,
            _ENCODING,
        ],
        "requestBody": {
            "required": True,
            "description": "The same rows in any of these formats.",
            "content": {
                Format.JSON.value: {"schema": _rows(feed)},
                **{str(name): {"schema": _BINARY} for name in msgpack},
                Format.ARROW.value: {"schema": _BINARY},
            },
        },
        "responses": {status: {"description": text} for status, text in _ANSWERS.items()},
        "security": [{"key": []}],
    }


def _kserve() -> dict[str, Any]:
    texts = {
        "200": "The event is on disk; with `paired`, so is the prediction.",
        "409": "The rows of both halves are in quarantine under another id.",
        "415": "No CloudEvent, several at once, or a content encoding that we do not read.",
        "422": "No event of KServe's logger, or one that names no model.",
    }
    answers: dict[str, Any] = {
        status: {"description": texts.get(status, text)} for status, text in _ANSWERS.items()
    }
    said = {
        "type": "object",
        "required": ["outcome", *NOTHING_ODD],
        "properties": {"outcome": {"type": "string", "enum": [*Became]}, **OUTCOME},
        "example": {"outcome": Became.PAIRED.value, **NOTHING_ODD},
    }
    answers["200"]["content"] = {"application/json": {"schema": said}}
    del answers["409"]
    return {
        "operationId": "take_event",
        "summary": "Take an event of KServe's logger.",
        "tags": ["kserve"],
        "parameters": [
            _query("model", "Goes before the event's `inferenceservicename`."),
            _query("version", "Who served, as the model's versions are named here."),
            *(_attribute(name, schema) for name, schema in _attributes().items()),
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


def _query(name: str, description: str) -> dict[str, Any]:
    schema = {"type": "string"}
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _attribute(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    description = f"Binary mode: the event's `{name}`."
    return {"name": f"ce-{name}", "in": "header", "description": description, "schema": schema}


def _attributes() -> dict[str, dict[str, Any]]:
    return {
        "specversion": {"type": "string", "enum": ["1.0"]},
        "id": {"type": "string", "minLength": 1, "maxLength": MAX_ID},
        "type": {"type": "string", "enum": [*TYPES]},
        "time": {"type": "string", "description": "RFC 3339."},
        "source": {"type": "string"},
        "inferenceservicename": {"type": "string"},
        "modelversion": {"type": "string"},
        "traceparent": {"type": "string"},
    }


_DOCUMENT = {
    "type": "object",
    "required": ["specversion", "id", "type"],
    "properties": {
        **_attributes(),
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
