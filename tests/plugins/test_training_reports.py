"""What a trainer reports, under the token that its training was started with."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from safetensors.numpy import save
from sqlalchemy import update

from api.server.description import operations_of
from core.clock import utcnow
from core.durations import DAY
from db.session import unit_of_work
from db.tables import Rollout, RolloutEvent
from retrain.artifact_header import sha256_of
from retrain.rollout import Phase
from tests.plugins.worlds import (
    app,
    bearer,
    client,
    configure,
    event_names,
    key,
    logged,
    wait,
    world,
)
from tests.services.seasons import Seasons

__all__ = ["app", "client", "logged", "world"]  # fixtures


@pytest.fixture
def token(world: Seasons, client: TestClient, tmp_path: Path) -> Callable[[], str]:
    """Request a rollout whose trainer does nothing; return a function that starts it."""
    path = tmp_path / "request.json"
    shell = ["/bin/sh", "-c", f"cat > {path}.part; mv {path}.part {path}"]
    configure(client, world, shell)

    def begin() -> str:
        path.unlink(missing_ok=True)
        world.train()
        wait(path.exists)
        return str(json.loads(path.read_text())["token"])

    return begin


PROGRESS = {"number": 1}
ARTIFACT = save(
    {"weight": np.zeros(3, np.float32)}, {"seqwatch": json.dumps({"format": "dlinear 1"})}
)
CHECKSUM = {"sha256": sha256_of(ARTIFACT)}


def test_a_token_is_for_one_training_and_is_used_up_by_the_candidate(
    world: Seasons, client: TestClient, token: Callable[[], str]
) -> None:
    rollout = world.request("first")
    shown = bearer(token())
    own = f"/v1/rollouts/{rollout}/training"
    assert client.post(f"{own}/progress", json=PROGRESS).status_code == 401
    for other in (key(world, "operate", "ingest"), bearer("swt_" + 43 * "x")):
        assert client.post(f"{own}/progress", json=PROGRESS, headers=other).status_code in (
            401,
            403,
        )
    another = f"/v1/rollouts/{uuid4()}/training/progress"
    assert client.post(another, json=PROGRESS, headers=shown).status_code == 403
    done = client.post(f"{own}/progress", json=PROGRESS, headers=shown)
    assert (done.status_code, done.json()) == (200, {"phase": "training"})

    for _ in range(2):  # the first answer was lost
        address = f"{own}/candidate"
        taken = client.post(address, params=CHECKSUM, content=ARTIFACT, headers=shown)
        assert taken.status_code == 200, taken.text
    late = client.post(f"{own}/progress", json=PROGRESS, headers=shown)
    assert (late.status_code, "void" in late.json()["detail"]) == (409, True)
    assert client.post(f"{own}/failure", json={"error": "x"}, headers=shown).status_code == 409
    assert event_names(world, rollout) == ["requested", "start", "candidate"]

    assert world.train()  # its weights are no network
    name, cause = world.events(rollout)[-1]
    assert (name, cause.partition(":")[0]) == ("crash", "ForeignArtifact")
    over = client.post(f"{own}/progress", json=PROGRESS, headers=shown)
    assert over.status_code == 401


def test_a_token_opens_no_other_route(
    world: Seasons, app: FastAPI, client: TestClient, token: Callable[[], str]
) -> None:
    rollout = world.request("first")
    shown = bearer(token())
    places = {"model": "grid", "rollout_id": str(rollout), "order": "promote"}
    opened_routes = []
    for method, path, _ in operations_of(app.openapi()):
        if "/training/" in path or path in ("/health", "/ready", "/openapi.json"):
            continue
        for place, value in places.items():
            path = path.replace(f"{{{place}}}", value)
        answer = client.request(method, path.replace("{", "").replace("}", ""), headers=shown)
        if answer.status_code < 400 or answer.status_code >= 500:
            opened_routes.append((method, path, answer.status_code))
    assert opened_routes == []
    assert world.rollout(rollout).phase is Phase.TRAINING


def test_a_second_start_and_the_deadline_void_a_token(
    world: Seasons, client: TestClient, token: Callable[[], str]
) -> None:
    rollout = world.request("first")
    first = token()
    own = f"/v1/rollouts/{rollout}/training"
    assert client.post(f"{own}/progress", json=PROGRESS, headers=bearer(first)).is_success
    with unit_of_work(world.sessions) as session:  # as if the worker had died after the start
        session.execute(update(Rollout).values(phase=Phase.REQUESTED, reference=None))
    second = token()
    assert client.post(f"{own}/progress", json=PROGRESS, headers=bearer(second)).is_success
    void = client.post(f"{own}/progress", json=PROGRESS, headers=bearer(first))
    assert (void.status_code, "started again" in void.json()["detail"]) == (401, True)
    with unit_of_work(world.sessions) as session:
        long_ago = utcnow() - 8 * DAY
        session.execute(update(RolloutEvent).values(recorded_at=long_ago))
    expired = client.post(f"{own}/progress", json=PROGRESS, headers=bearer(second))
    assert (expired.status_code, "deadline" in expired.json()["detail"]) == (401, True)


@pytest.mark.parametrize(
    ("params", "content", "why"),
    [
        pytest.param({"sha256": 64 * "0"}, ARTIFACT, "the checksum is another", id="checksum"),
        pytest.param({}, ARTIFACT, "", id="no checksum"),
        pytest.param({**CHECKSUM, "n_windows": -1}, ARTIFACT, "", id="figures"),
        pytest.param({"sha256": sha256_of(b"PK\3\4")}, b"PK\3\4", "a zip archive", id="a zip"),
        pytest.param(
            {"sha256": sha256_of(save({"a": np.zeros(1)}))},
            save({"a": np.zeros(1)}),
            "no installed template reads; known: 'seqwatch segment-lstm 1', 'dlinear 1'",
            id="format",
        ),
    ],
)
def test_what_is_no_candidate_is_refused_and_leaves_the_token(
    world: Seasons,
    client: TestClient,
    token: Callable[[], str],
    params: dict[str, Any],
    content: bytes,
    why: str,
) -> None:
    rollout = world.request("first")
    shown = bearer(token())
    own = f"/v1/rollouts/{rollout}/training"
    refused = client.post(f"{own}/candidate", params=params, content=content, headers=shown)
    assert (refused.status_code, why in refused.text) == (422, True), refused.text
    for body in ({"number": 0}, {"number": 1, "validation_error": "x"}, {"epoch": 1}):
        bad = client.post(f"{own}/progress", json=body, headers=shown)
        assert bad.status_code == 422
    assert client.post(f"{own}/progress", json=PROGRESS, headers=shown).is_success
