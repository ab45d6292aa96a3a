import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from safetensors.numpy import save

from api.server import json_route
from core.settings import Settings
from tests.api.conftest import CONTRACT, Clients
from tests.problems import error_of

WEIGHTS = save({"weight": np.arange(6.0).reshape(2, 3)})
OTHER = save({"weight": np.zeros(3)})
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


def stretch(start: str, end: str) -> dict[str, str]:
    return {"start": f"2025-{start}T00:00:00Z", "end": f"2025-{end}T00:00:00+00:00"}


REFERENCE: dict[str, Any] = {
    "reference": [stretch("06-01", "12-31"), stretch("01-01", "05-01")]
}


@pytest.fixture
def version(operator: TestClient, model: str) -> str:
    address = f"/v1/models/{model}/versions/v1"
    assert operator.put(address, json=REFERENCE).status_code == 201
    return address


def test_a_version_takes_the_models_contract(operator: TestClient, version: str) -> None:
    read = operator.get(version).json()
    starts = [part["start"] for part in read["reference"]]
    assert starts == ["2025-01-01T00:00:00Z", "2025-06-01T00:00:00Z"]  # in order
    assert read["sha256"] is None
    assert [one["name"] for one in operator.get("/v1/models/grid").json()["versions"]] == ["v1"]


def test_the_same_again_is_fine_and_the_manifest_may_change(
    operator: TestClient, version: str
) -> None:
    change = {**REFERENCE, "manifest": {"seed": 7}, "objective": 0.4}
    answer = operator.put(version, json=change)
    assert answer.status_code == 200
    assert (answer.json()["manifest"], answer.json()["objective"]) == ({"seed": 7}, 0.4)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("change", "status", "hint"),
    [
        pytest.param({}, 409, "another reference", id="without its reference"),
        pytest.param(
            {**REFERENCE, "contract": {**CONTRACT, "input_length": 48}},
            409,
            "another contract",
            id="another contract",
        ),
        pytest.param(
            {**REFERENCE, "contract": {**CONTRACT, "horizon": 48}}, 409, "horizon", id="misfit"
        ),
        pytest.param({"reference": [{"start": "2025-01-01T00:00:00Z"}]}, 422, "end", id="half"),
        pytest.param(
            {"reference": [{"start": "2025-01-01T00:00:00", "end": "2025-01-02T00:00:00Z"}]},
            422,
            "timezone",
            id="no time zone",
        ),
        pytest.param(
            {"reference": [stretch("03-01", "02-01")]},
            422,
            "2025-03-01T00:00:00+00:00 to 2025-02-01T00:00:00+00:00 ends before it starts",
            id="backwards",
        ),
        pytest.param(
            {"reference": [stretch("01-01", "02-02"), stretch("02-01", "03-01")]},
            422,
            "2025-02-01T00:00:00+00:00 to 2025-03-01T00:00:00+00:00 overlaps 2025-01-01",
            id="an overlap",
        ),
        pytest.param({**REFERENCE, "objective": 0}, 422, "objective", id="objective"),
        pytest.param(
            {**REFERENCE, "manifest": {"scaler": {"std": ["1"]}}},
            422,
            "scaler.std",
            id="scaler",
        ),
    ],
)
def test_what_a_version_came_from_never_changes(
    operator: TestClient, version: str, change: dict[str, Any], status: int, hint: str
) -> None:
    answer = operator.put(version, json=change)
    assert answer.status_code == status, answer.text
    assert hint in answer.json()["detail"]


def test_reference_is_no_version(operator: TestClient, model: str) -> None:
    answer = operator.put(f"/v1/models/{model}/versions/reference", json={})
    assert answer.status_code == 422


def test_weights_come_back_as_they_were_sent(
    operator: TestClient, as_key: Clients, version: str, settings: Settings
) -> None:
    sent = operator.put(f"{version}/artifact", content=WEIGHTS)
    assert (sent.status_code, sent.json()["sha256"]) == (200, SHA256)
    assert sent.json()["n_bytes"] == len(WEIGHTS)
    serving = as_key("ingest")
    got = serving.get(f"{version}/artifact")
    assert got.content == WEIGHTS
    assert got.headers["etag"] == f'"{SHA256}"'
    known = serving.get(f"{version}/artifact", headers={"If-None-Match": f'"{SHA256}"'})
    assert (known.status_code, known.content) == (304, b"")
    assert [path.name for path in (settings.artifacts / "grid").iterdir()] == [
        f"{SHA256}.safetensors"
    ]


def test_weights_never_change(operator: TestClient, version: str) -> None:
    assert operator.put(f"{version}/artifact", content=WEIGHTS).status_code == 200
    assert operator.put(f"{version}/artifact", content=WEIGHTS).status_code == 200
    assert operator.put(f"{version}/artifact", content=OTHER).status_code == 409


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        pytest.param(b"", "not safetensors", id="nothing"),
        pytest.param(pickle.dumps([1]), "pickle", id="a pickle"),
        pytest.param(b"PK\x03\x04" + bytes(100), "zip", id="a zip"),
        pytest.param(WEIGHTS[:-1], "not safetensors", id="cut off"),
        pytest.param(b"\xff" * 64, "not safetensors", id="noise"),
    ],
)
def test_foreign_artifacts_are_named_and_leave_nothing(
    operator: TestClient, version: str, settings: Settings, content: bytes, hint: str
) -> None:
    answer = operator.put(f"{version}/artifact", content=content)
    assert answer.status_code == 422
    assert error_of(answer) == "ForeignArtifact"
    assert hint in answer.json()["detail"]
    assert not list(Path(settings.artifacts).rglob("*.safetensors"))


@pytest.mark.parametrize("announced", [True, False], ids=["content-length", "chunked"])
def test_too_large_an_artifact_is_not_read_to_its_end(
    operator: TestClient, version: str, monkeypatch: pytest.MonkeyPatch, announced: bool
) -> None:
    monkeypatch.setattr(json_route, "MAX_BYTES", 100)
    content: Any = WEIGHTS if announced else iter([WEIGHTS])
    answer = operator.put(f"{version}/artifact", content=content)
    assert answer.status_code == 413
    assert error_of(answer) == "TooLarge"


def test_who_may_not_operate_sends_no_weights(as_key: Clients, version: str) -> None:
    assert as_key("read").put(f"{version}/artifact", content=WEIGHTS).status_code == 403


def test_without_weights_there_is_nothing_to_fetch(operator: TestClient, version: str) -> None:
    assert operator.get(f"{version}/artifact").status_code == 404
    assert operator.get("/v1/models/grid/versions/v9/artifact").status_code == 404
    assert (
        operator.put("/v1/models/grid/versions/v9/artifact", content=WEIGHTS).status_code == 404
    )
