"""Events of an inference service, from the request to the inbox."""

from typing import Any

import msgspec
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from core.schema.events import EVENT_TYPES
from tests.databases import ON_SQLITE
from tests.ingest.conftest import Stored, answered, arrow_body, as_json

EVENTS = "/v1/models/grid/events"


def event(**changes: Any) -> dict[str, Any]:
    """Return an event of a model load, but for the changes."""
    row = {
        "event_id": "e-1",
        "type": "load",
        "at": "2026-01-01T00:00:00Z",
        "version": "v1",
        "duration_seconds": 1.5,
    }
    return {name: value for name, value in {**row, **changes}.items() if value is not None}


def test_an_event_is_kept_also_of_a_version_that_is_not_registered(
    client: TestClient, stored: Stored
) -> None:
    assert client.post(EVENTS, json=event(version="unheard of")).json() == answered(1)
    (row,) = stored()
    assert (row["version"], row["type"], row["duration_seconds"]) == ("unheard of", "load", 1.5)


def test_an_event_is_stored_once_in_whatever_batch_it_comes(
    client: TestClient, stored: Stored
) -> None:
    both = {"rows": [event(), event(event_id="e-2")]}
    assert client.post(EVENTS, json=both).json() == answered(2)
    again = {"rows": [event(), event(event_id="e-3"), event(event_id="e-3")]}
    answer = client.post(EVENTS, json=again).json()
    assert (answer["accepted"], answer["duplicates"]) == (1, [0, 2])
    assert [row["event_id"] for row in stored()] == ["e-1", "e-2", "e-3"]
    assert client.post(EVENTS, json=again).json() == answered(1, duplicate=True)


def test_ids_of_a_batch_that_is_refused_are_not_taken(
    client: TestClient, stored: Stored
) -> None:
    headers = {"Idempotency-Key": "one"}
    client.post(EVENTS, json=event(), headers=headers)
    other = {"rows": [event(event_id="e-2")]}
    assert client.post(EVENTS, json=other, headers=headers).status_code == 409
    assert client.post(EVENTS, json=other).json() == answered(1)
    assert [row["event_id"] for row in stored()] == ["e-1", "e-2"]


@ON_SQLITE
@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"type": "unheard_of"}, "type", f"expected one of {', '.join(EVENT_TYPES)}"),
        ({"event_id": None}, "event_id", "missing"),
        ({"duration_seconds": None}, "duration_seconds", "missing"),
        ({"duration_seconds": -1}, "duration_seconds", "negative"),
        ({"duration_seconds": "1"}, "duration_seconds", "Expected `float | null`, got `str`"),
        ({"cpu_share": 0.5}, "cpu_share", "not a field of events of this type"),
        ({"unheard_of": 1}, "unheard_of", "unknown field"),
        ({"at": "2026-01-01T00:00:00"}, "at", "timestamp without zone"),
        (
            {"type": "resources", "duration_seconds": None},
            "cpu_share",
            "expected one of cpu_share, gpu_share, memory_share",
        ),
        (
            {"type": "resources", "duration_seconds": None, "memory_share": 87.0},
            "memory_share",
            "expected numbers from 0 to 1",
        ),
        ({"type": "session_start", "duration_seconds": None}, "session_id", "missing"),
        (
            {"type": "cost", "duration_seconds": None, "amount": 1, "currency": "euro"},
            "currency",
            "expected three capital letters, e.g. EUR",
        ),
    ],
)
def test_a_bad_event_is_refused_with_its_field_and_the_others_are_kept(
    client: TestClient, stored: Stored, changes: dict[str, Any], field: str, reason: str
) -> None:
    rows = [event(**changes), event(event_id="good")]
    answer = client.post(EVENTS, json={"rows": rows})
    assert (answer.status_code, answer.json()["accepted"]) == (422, 1)
    assert answer.json()["errors"] == [{"row": 0, "field": field, "reason": reason}]
    assert [row["event_id"] for row in stored()] == ["good"]


@ON_SQLITE
@pytest.mark.parametrize("name", EVENT_TYPES)
def test_each_type_takes_its_fields_and_no_other(client: TestClient, name: str) -> None:
    of = EVENT_TYPES[name]
    values: dict[str, Any] = {"currency": "EUR", "description": "x", "session_id": "s"}
    given = {field: values.get(field, 1) for field in (*of.required, *of.any_of, *of.optional)}
    row = event(**{"duration_seconds": None, **given, "type": name, "version": "v1"})
    assert client.post(EVENTS, json=row).json() == answered(1)


def cloud_event(**changes: Any) -> dict[str, Any]:
    document = {
        "specversion": "1.0",
        "id": "7",
        "source": "/pods/a",
        "type": "com.example.cold_start",
        "time": "2026-01-01T00:00:00Z",
        "data": {"version": "v1", "duration_seconds": 0.4},
    }
    return {**document, **changes}


@ON_SQLITE
def test_a_cloud_event_is_the_same_event_in_each_mode(
    client: TestClient, stored: Stored
) -> None:
    document = cloud_event()
    structured = {"Content-Type": "application/cloudevents+json"}
    sent = client.post(EVENTS, content=as_json(document), headers=structured)
    assert sent.json() == answered(1)
    data = document.pop("data")
    binary = {f"ce-{name}": value for name, value in document.items()}
    again = client.post(EVENTS, json=data, headers=binary)
    assert again.json() == answered(1, duplicate=True)
    batched = {"Content-Type": "application/cloudevents-batch+json; charset=utf-8"}
    both = [cloud_event(), cloud_event(source="/pods/b")]
    answer = client.post(EVENTS, content=as_json(both), headers=batched).json()
    assert (answer["accepted"], answer["duplicates"]) == (1, [0])
    assert [(row["event_id"], row["type"]) for row in stored()] == [
        ("/pods/a#7", "cold_start"),
        ("/pods/b#7", "cold_start"),
    ]


@ON_SQLITE
@pytest.mark.parametrize(
    ("document", "field", "reason"),
    [
        (cloud_event(specversion="0.3"), "specversion", "expected 1.0"),
        (cloud_event(id=7), "id", "Expected `str`"),
        (cloud_event(source=""), "source", "missing"),
        (cloud_event(data=[1]), "data", "Expected `object`"),
        (cloud_event(data={"at": "2026-01-01T00:00:00Z"}), "data.at", "unknown field"),
        ("no event", "", "Expected `object`"),
    ],
)
def test_what_is_no_cloud_event_is_refused_alone(
    client: TestClient, stored: Stored, document: object, field: str, reason: str
) -> None:
    batched = {"Content-Type": "application/cloudevents-batch+json"}
    body = as_json([document, cloud_event()])
    answer = client.post(EVENTS, content=body, headers=batched)
    assert (answer.status_code, answer.json()["accepted"]) == (422, 1)
    assert answer.json()["errors"] == [{"row": 0, "field": field, "reason": reason}]
    assert [row["event_id"] for row in stored()] == ["/pods/a#7"]


@ON_SQLITE
@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/cloudevents-batch+json", b"{}", 400),
        ("application/cloudevents+json", b"{", 400),
        ("application/cloudevents+avro", b"", 415),
    ],
)
def test_a_body_that_is_no_cloud_event_at_all_is_refused(
    client: TestClient, content_type: str, body: bytes, status: int
) -> None:
    headers = {"Content-Type": content_type}
    assert client.post(EVENTS, content=body, headers=headers).status_code == status


@ON_SQLITE
def test_events_also_come_as_columns_and_msgpack(client: TestClient, stored: Stored) -> None:
    columns = {"columns": {name: [value] for name, value in event().items()}}
    headers = {"Content-Type": "application/msgpack"}
    body = msgspec.msgpack.encode(columns)
    assert client.post(EVENTS, content=body, headers=headers).json() == answered(1)
    table = pa.Table.from_pylist([event(event_id="e-2")])
    headers = {"Content-Type": "application/vnd.apache.arrow.stream"}
    assert client.post(EVENTS, content=arrow_body(table), headers=headers).json() == answered(1)
    assert len(stored()) == 2
