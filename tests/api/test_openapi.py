"""The description of the API is valid, complete and correct."""

import re
from typing import Any

import pytest
from fastapi.testclient import TestClient
from openapi_spec_validator import validate
from sqlalchemy.orm import sessionmaker

from api.main import create_app
from api.server.description import TAGS, operations_of
from api.server.examples import BODIES
from core.settings import Settings
from monitors.registry import KINDS
from tests.api.conftest import Clients

DOCUMENT: dict[str, Any] = create_app(Settings(), sessionmaker()).openapi()
OPEN = {"/health", "/ready"}
OPERATIONS = [
    pytest.param(path, operation, id=f"{method} {path}")
    for method, path, operation in operations_of(DOCUMENT)
]
# What has no example: an artifact is a file, and CloudEvents are KServe's to describe.
WITHOUT_EXAMPLE = {"put_artifact", "kserve", "take_event", "send_kserve"}


def test_the_document_is_valid() -> None:
    validate(DOCUMENT)


def test_names_of_operations_are_plain_and_given_once() -> None:
    names = [operation["operationId"] for _, _, operation in operations_of(DOCUMENT)]
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"[a-z][a-z0-9_]*", name)] == []


def test_every_tag_is_described() -> None:
    used = {tag for _, _, operation in operations_of(DOCUMENT) for tag in operation["tags"]}
    assert used == {tag["name"] for tag in DOCUMENT["tags"]}
    assert used - TAGS.keys() == set()


def test_every_part_is_referred_to() -> None:
    text = str(DOCUMENT)
    parts = DOCUMENT["components"]["schemas"]
    assert [name for name in parts if f"'#/components/schemas/{name}'" not in text] == []


@pytest.mark.parametrize(("path", "operation"), OPERATIONS)
def test_an_operation_describes_what_it_does_and_what_may_go_wrong(
    path: str, operation: dict[str, Any]
) -> None:
    assert len(operation["tags"]) == 1
    summary = operation["summary"]
    assert 5 < len(summary) <= 120
    assert not summary.endswith(".")
    assert operation["description"]
    answers = operation["responses"]
    assert [status for status in answers if status.startswith("2")] != []
    assert all(answer["description"] for answer in answers.values())
    if path in OPEN:
        assert operation["security"] == []
        return
    assert operation["security"] == [{"key": []}]
    assert {"401", "403", "503"} <= answers.keys()
    for status, answer in answers.items():
        if status >= "4":
            problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
            assert answer["content"] == {"application/problem+json": problem}


def test_no_id_can_be_taken_for_a_part_of_another_address() -> None:
    """Of one method and length, no address has a word where another has an id."""
    addresses = [(method, path.split("/")) for method, path, _ in operations_of(DOCUMENT)]
    mistaken = [
        ("/".join(one), "/".join(other))
        for method, one in addresses
        for its_method, other in addresses
        if method == its_method
        and len(one) == len(other)
        and one != other
        and all(a == b or b.startswith("{") for a, b in zip(one, other, strict=True))
    ]
    assert mistaken == []


def test_numbers_that_are_durations_bear_their_unit() -> None:
    duration = re.compile(
        "delay|late|timeout|duration|interval|window|period|cool|stale|seconds|hours|days"
    )
    unit = re.compile("(^|_)(seconds|hours|days)(_|$)|^n_|^steps$|^stage$|^template$")
    named = [
        f"{name}.{field}"
        for name, schema in DOCUMENT["components"]["schemas"].items()
        for field, of in schema.get("properties", {}).items()
        if duration.search(field) and {"number", "integer"} & {*_types(of)}
    ]
    assert len(named) > 20
    assert [one for one in named if not unit.search(one.partition(".")[2])] == []


def _types(schema: dict[str, Any]) -> list[str]:
    kinds = schema.get("type", [])
    own = [kinds] if isinstance(kinds, str) else [*kinds]
    return own + [kind for one in schema.get("anyOf", ()) for kind in _types(one)]


# What is free by its nature: what users send, or what a transition notes.
FREE = {
    "BadRow.content",
    "Difference.new",
    "Difference.old",
    "Document.info",
    "Document.paths",
    "Step.detail",
    "VersionNow.manifest",
    "VersionPut.manifest",
}


def test_every_kind_of_monitor_has_a_schema_of_its_detail() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    listed = {of["$ref"] for of in schemas["FindingPast"]["properties"]["detail"]["anyOf"]}
    for kind in KINDS:
        name = kind.detail.__name__
        assert f"#/components/schemas/{name}" in listed
        assert schemas[name]["properties"].keys() == {*kind.detail.__struct_fields__}
    assert [name for name in schemas if "." in name] == []  # namesakes


def test_every_object_has_a_schema() -> None:
    free = {
        f"{name}.{field}"
        for name, schema in DOCUMENT["components"]["schemas"].items()
        for field, of in schema.get("properties", {}).items()
        if of.get("additionalProperties") is True
        or not of.keys() & {"type", "$ref", "anyOf", "oneOf", "enum", "const"}
    }
    assert free == FREE


@pytest.mark.parametrize(("path", "operation"), OPERATIONS)
def test_every_parameter_in_the_address_is_named(path: str, operation: dict[str, Any]) -> None:
    named = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
    assert named == set(re.findall(r"{(\w+)}", path))


@pytest.mark.parametrize(("path", "operation"), OPERATIONS)
def test_a_json_body_has_an_example(path: str, operation: dict[str, Any]) -> None:
    name = operation["operationId"]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body is not None and name not in WITHOUT_EXAMPLE:
        assert body["example"] == BODIES[name]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_examples_are_accepted(as_key: Clients) -> None:
    client = as_key("admin")
    addresses = {
        operation["operationId"]: (method, path)
        for method, path, operation in operations_of(DOCUMENT)
    }
    places = {
        "model": "load",
        "version": "v1",
        "name": "input_drift",
        "order": "pause",
    }
    for name, body in BODIES.items():
        method, path = addresses[name]
        if name == "put_champion":
            continue  # needs weights: tests/api/test_versions.py
        if name == "put_source":
            continue  # needs a plug-in: tests/plugins/test_source_definitions.py
        path = path.replace("/slos/{name}", "/slos/availability")
        for place, value in places.items():
            path = path.replace(f"{{{place}}}", value)
        if "_id}" in path:
            continue  # needs a rollout, an alert or a silence: tests/api, tests/alerting
        answer = client.request(method, path, json=body)
        accepted = {"retrain": (202, 409), "erase": (200, 202), "create_backtest": (202,)}
        expected = accepted.get(name, (200, 201))
        assert answer.status_code in expected, f"{name}: {answer.text}"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_two_methods_of_one_address_are_both_described(stranger: TestClient) -> None:
    assert {"get", "post"} <= DOCUMENT["paths"]["/v1/models/{model}/predictions"].keys()
