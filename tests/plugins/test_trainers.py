"""A trainer from another distribution works from its registration to a promoted version."""

import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from cli.main import main
from core.durations import DAY
from core.errors import RetrainRefused, Unprocessable
from core.plugins import Loaded
from core.schema.contract import Contract
from db.session import read_only, unit_of_work
from db.tables import AuditEvent, Model, Rollout, Run
from monitors.registry import NoParams
from notify import trainer
from notify.sender import Sender
from notify.trainer import (
    TRAINERS,
    Platform,
    Refused,
    Retry,
    Start,
    Started,
    StartRequest,
    TrainerKind,
)
from retrain.rollout import Phase
from services.rollouts.rollout_transitions import command
from tests.api.conftest import CONTRACT
from tests.plugins.conftest import uninstalled
from tests.plugins.worlds import (
    app,
    client,
    configure,
    event_names,
    key,
    listening,
    logged,
    wait,
    world,
)
from tests.services.seasons import Seasons, start_once
from tests.services.test_training import hurry
from tests.streams import START

__all__ = ["app", "client", "logged", "world"]  # fixtures

PIPELINE = [sys.executable, "-m", "tests.plugins.pipeline"]
# A configuration of each kind; what the command names is not there.
CONFIGS: dict[str, dict[str, Any]] = {
    "builtin": {},
    "command": {"command": ["/no/such/program"], "password": "hunter2"},
}
EVERY = pytest.mark.parametrize("name", CONFIGS)
REQUEST = StartRequest(
    rollout_id=uuid4(),
    url="http://127.0.0.1:1/v1/rollouts/x/training",
    token="swt_secret",
    model="grid",
    contract=Contract.from_json(CONTRACT),
    template="segment_lstm",
    params={},
    base=None,
    onset=None,
    learn_from=START,
    learn_until=START + DAY,
    predictions=1,
    labels=None,
    seed=1,
    deadline=START + 7 * DAY,
)
PLATFORM = Platform(
    sender=Sender(allow=(), timeout=timedelta(seconds=1), public_url="http://127.0.0.1:1"),
    enqueue=lambda _: "job train",
)


@pytest.mark.usefixtures("plugins")
def test_every_kind_is_under_contract() -> None:
    assert set(TRAINERS.names()) == set(CONFIGS)


@EVERY
@pytest.mark.usefixtures("plugins")
def test_every_configuration_is_checked_and_survives_json(name: str) -> None:
    kind = TRAINERS.find(name)
    stored = kind.stored(CONFIGS[name])
    assert kind.stored(json.loads(json.dumps(stored))) == stored
    with pytest.raises(Unprocessable, match="no nonsense"):
        kind.stored({**CONFIGS[name], "nonsense": 1})
    shown = repr(kind.config(**stored))
    assert [one for one in kind.secrets if stored[one] in shown] == []
    assert not kind.secrets & kind.public(stored).keys()


@EVERY
@pytest.mark.usefixtures("plugins")
def test_every_kind_returns_an_outcome_and_cancels_what_has_ended(name: str) -> None:
    outcome = trainer.start(name, CONFIGS[name], REQUEST, PLATFORM)
    assert isinstance(outcome, Start)
    trainer.cancel(name, CONFIGS[name], "process 999999999", PLATFORM)
    assert "swt_secret" not in repr(outcome) + repr(REQUEST)
    assert json.loads(REQUEST.to_json())["token"] == "swt_secret"


def raising(*_: object) -> Start:
    raise ZeroDivisionError("division by zero")


def telling(_: object, request: StartRequest, __: object) -> Start:
    raise ValueError(f"no such option: --token={request.token}")


@pytest.mark.parametrize(
    ("start", "why"),
    [
        pytest.param(raising, "ZeroDivisionError: division by zero", id="an exception"),
        pytest.param(telling, "--token=(token)", id="an exception with the token"),
        pytest.param(lambda *_: None, "None is neither Started nor Retry", id="nothing"),
        pytest.param(lambda *_: Started(reference=7), "Expected `str`", id="a number"),  # type: ignore[arg-type]
    ],
)
def test_what_goes_wrong_in_a_kind_is_tried_again(
    start: Callable[..., Start], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = TrainerKind(
        name="bad", question="?", config=NoParams, start=start, cancel=lambda *_: None
    )
    monkeypatch.setitem(TRAINERS.__dict__, "_loaded", Loaded(plugins={"bad": kind}))
    outcome = trainer.start("bad", {}, REQUEST, PLATFORM)
    assert isinstance(outcome, Retry)
    assert why in outcome.error


def test_a_candidate_of_a_pipeline_is_tested_and_promoted(
    world: Seasons,
    app: FastAPI,
    client: TestClient,
    site: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*sys.path, str(site)]))
    configure(client, world, [*PIPELINE, "candidate"])
    rollout = world.request("first")
    with listening(app) as address:
        assert not world.train(public_url=address)  # nothing for us to train
        begun = world.rollout(rollout)
        assert begun.phase is Phase.TRAINING
        assert (begun.reference or "").startswith("process ")
        wait(lambda: "candidate" in world.rollout(rollout).progress)
    assert world.rollout(rollout).progress["epoch"]["number"] > 1
    assert world.train()
    assert world.rollout(rollout).phase is Phase.PROMOTED, world.events(rollout)
    assert event_names(world, rollout) == [
        "requested",
        "start",
        "candidate",
        "trained",
        "first_passed",
    ]
    [version] = world.versions()
    expected = {"trainer": "pipeline", "code": "pipeline 7", "format": "dlinear 1"}
    assert expected.items() <= version.manifest.items()
    assert version.objective == 0.5
    assert version.sha256 == version.manifest["sha256"]
    read = client.get(f"/v1/rollouts/{rollout}", headers=key(world, "read")).json()
    assert {"template": "dlinear", "trainer": "pipeline"}.items() <= read.items()


def test_a_failure_ends_the_rollout_with_its_reason(
    world: Seasons, app: FastAPI, client: TestClient
) -> None:
    configure(client, world, [*PIPELINE, "failure"])
    rollout = world.request("first")
    with listening(app) as address:
        world.train(public_url=address)
        wait(lambda: world.rollout(rollout).phase is Phase.FAILED)
    assert world.events(rollout)[-1] == ("crash", "pipeline: out of memory")


def test_a_rollout_that_a_person_ends_cancels_its_training(
    world: Seasons, client: TestClient
) -> None:
    configure(client, world, [*PIPELINE, "nothing"])
    rollout = world.request("first")
    world.train()
    pid = int((world.rollout(rollout).reference or "").removeprefix("process "))
    os.kill(pid, 0)  # it runs
    with unit_of_work(world.sessions) as session:
        command(session, rollout, "rollback", "ann", "not now", START)
    assert start_once(world.settings(), world.sessions)
    _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM
    assert world.rollout(rollout).phase is Phase.FAILED


def test_a_trainer_that_is_busy_is_asked_again_until_it_takes_it(
    world: Seasons, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes: list[Start] = [
        Started(reference="run 7"),
        Retry(error="no machine is free"),
        Retry(error="no machine is free", after=timedelta(hours=9)),
    ]
    kind = TrainerKind(
        name="command",
        question="?",
        config=TRAINERS.find("command").config,
        start=lambda *_: outcomes.pop(),
        cancel=lambda *_: None,
    )
    monkeypatch.setitem(TRAINERS.__dict__, "_loaded", Loaded(plugins={"command": kind}))
    configure(client, world, ["/bin/true"])
    rollout = world.request("first")
    for n_left in (2, 1, 0):
        world.train()
        assert len(outcomes) == n_left
        world.train()  # not before the pause is over
        assert len(outcomes) == n_left
        hurry(world)
    assert world.rollout(rollout).reference == "run 7"
    assert event_names(world, rollout) == ["requested", "start_retried", "start"]
    with read_only(world.sessions) as session:
        starts = session.scalars(select(Run.slot).where(Run.job == "start_training"))
        assert len({*starts}) == 3


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param("/no/such/program: No such file or directory", id="by its trainer"),
        pytest.param("no trainer 'pipeline'; known: builtin", id="deleted"),
        pytest.param("no kind of trainer 'command'; known: builtin", id="uninstalled"),
    ],
)
def test_a_training_that_cannot_be_started_ends_with_the_reason(
    world: Seasons, client: TestClient, site: Path, refusal: str
) -> None:
    configure(client, world, ["/no/such/program"])
    rollout = world.request("first")
    if "no trainer" in refusal:
        deleted = client.delete("/v1/trainers/pipeline", headers=key(world, "admin", "read"))
        assert deleted.status_code == 204
    if "no kind" in refusal:  # the template goes with the trainer
        with unit_of_work(world.sessions) as session:
            session.execute(update(Rollout).values(template="segment_lstm", template_params={}))
    with uninstalled(site) if "no kind" in refusal else nullcontext():
        world.train()
        assert world.rollout(rollout).phase is Phase.FAILED
        assert world.events(rollout)[-1] == ("crash", f"pipeline refused: {refusal}")
        if "/no/such" not in refusal:
            with pytest.raises(RetrainRefused, match=refusal):
                world.request("second")


def test_trainers_are_configured_by_administrators_and_their_secrets_are_not_read(
    world: Seasons, client: TestClient
) -> None:
    configure(client, world, ["/bin/true"])
    admin, operator = key(world, "admin", "ingest"), key(world, "operate")
    path = "/v1/trainers/pipeline"
    assert client.get(path, headers=operator).status_code == 403
    read = client.get(path, headers=admin)
    body = {"kind": "command", "config": {"command": ["/bin/false"]}}
    stale = client.put(path, json=body, headers={**admin, "If-Match": '"x"'})
    assert stale.status_code == 412
    changed = client.put(path, json=body, headers={**admin, "If-Match": read.headers["ETag"]})
    assert (changed.status_code, changed.json()["config"]) == (200, body["config"])
    listed = client.get("/v1/trainers", headers=admin).json()["items"]
    assert [one["name"] for one in listed] == ["pipeline"]
    with read_only(world.sessions) as session:
        details = [json.dumps(one) for one in session.scalars(select(AuditEvent.detail))]
    assert "hunter2" not in "".join([*details, read.text, changed.text, json.dumps(listed)])


@pytest.mark.parametrize(
    ("body", "why"),
    [
        pytest.param({"kind": "ray"}, "no kind of trainer 'ray'; known: ", id="kind"),
        pytest.param({"kind": "cluster"}, "is unavailable: broken-trainer", id="broken"),
        pytest.param({"kind": "command"}, "command", id="nothing"),
        pytest.param(
            {"kind": "command", "config": {"command": ["ls"]}}, "absolute path", id="value"
        ),
    ],
)
def test_a_configuration_that_is_none_is_refused(
    world: Seasons, client: TestClient, body: dict[str, Any], why: str
) -> None:
    admin = key(world, "admin")
    refused = client.put("/v1/trainers/pipeline", json=body, headers=admin)
    assert (refused.status_code, why in refused.json()["detail"]) == (422, True), refused.text
    ours = client.put("/v1/trainers/builtin", json={"kind": "builtin"}, headers=admin)
    assert ours.status_code == 422
    contract = Contract.to_json(world_contract(world))
    model = {"contract": contract, "policy": {"trainer": "nobody"}}
    unknown = client.put("/v1/models/grid", json=model, headers=admin)
    assert "no trainer 'nobody'; known: builtin" in unknown.json()["detail"]


def world_contract(world: Seasons) -> Contract:
    with read_only(world.sessions) as session:
        return session.scalars(select(Model)).one().contract


@pytest.mark.usefixtures("plugins")
def test_broken_and_clashing_trainers_are_listed_and_stop_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["plugins"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "command Starts a process of this machine. command, password" in printed
    assert "cluster UNAVAILABLE: broken-trainer: ModuleNotFoundError" in printed
    assert "builtin (another-builtin) UNAVAILABLE: the name 'builtin' is in use" in printed
    refused = trainer.start("cluster", {}, REQUEST, PLATFORM)
    assert isinstance(refused, Refused)
    assert "broken-trainer" in refused.reason
