"""A template from another distribution works from its registration to a promoted version."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from safetensors.numpy import save

from cli.main import main
from core.durations import DAY
from core.errors import ForeignArtifact, RetrainRefused, Unprocessable
from retrain.artifact_header import declared_format, sha256_of
from retrain.rollout import Phase
from retrain.template import TEMPLATES, Epoch, TemplateKind, of_artifact, predictor
from tests.api.conftest import CONTRACT, Clients, app, as_key, operator, stranger
from tests.killed import assert_killed
from tests.plugins.conftest import uninstalled
from tests.plugins.fits import KILLED_AFTER, PARAMS, SIZES, train, trained_once, until_killed
from tests.plugins.worlds import logged, policy, world
from tests.services.seasons import CHANGE, Seasons, daily
from tests.streams import START

__all__ = ["app", "as_key", "logged", "operator", "stranger", "world"]  # fixtures

ROOT = Path(__file__).parents[2]
EVERY = pytest.mark.parametrize("name", PARAMS)
CONTEXTS = 1000.0 + np.random.default_rng(3).normal(size=(5, SIZES.input_length, 2))


def in_a_process(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(site)])
    command = [sys.executable, *arguments]
    environment = os.environ | {"PYTHONPATH": paths}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.usefixtures("plugins")
def test_every_template_is_under_contract_and_has_a_format_of_its_own() -> None:
    assert set(TEMPLATES.names()) == set(PARAMS)
    assert len({kind.format for kind in TEMPLATES}) == len(PARAMS)


@EVERY
@pytest.mark.usefixtures("plugins")
def test_parameters_are_checked_and_survive_json(name: str) -> None:
    kind = TEMPLATES.find(name)
    params = kind.parse(PARAMS[name])
    assert kind.parse(json.loads(json.dumps(asdict(params)))) == params
    with pytest.raises(Unprocessable, match=f"template '{name}': no nonsense; known: "):
        kind.parse({"nonsense": 1})
    with pytest.raises(Unprocessable, match="Expected `int`"):
        kind.parse(dict.fromkeys(PARAMS[name], "many"))
    with pytest.raises(Unprocessable):
        kind.parse(dict.fromkeys(PARAMS[name], -1))


def test_what_lists_templates_loads_no_pytorch(site: Path) -> None:
    code = """if True:
        import sys
        from retrain.template import TEMPLATES
        from services.read_models.plugins import installed
        assert {*TEMPLATES.names()} == {"segment_lstm", "dlinear"}, TEMPLATES.unavailable
        assert [*installed()]
        assert "torch" not in sys.modules
    """
    done = in_a_process(site, "-c", code)
    assert done.returncode == 0, done.stderr


@EVERY
@pytest.mark.usefixtures("plugins")
def test_an_artifact_forecasts_as_what_it_was_made_of(name: str) -> None:
    trained, content = trained_once(name)
    template, sha256 = TEMPLATES.find(name).load(), sha256_of(content)
    expected = template.predict(trained.fitted, CONTEXTS)
    assert expected.shape == (5, SIZES.horizon, 2)
    assert np.isfinite(expected).all()
    np.testing.assert_array_equal(predictor(content, sha256)(CONTEXTS), expected)
    assert template.encode(template.decode(content, sha256)) == content
    assert declared_format(content) == TEMPLATES.find(name).format
    assert of_artifact(content).name == name
    with pytest.raises(ForeignArtifact, match="checksum"):
        template.decode(content, sha256_of(content[1:]))
    other = save({"weight": np.zeros(3, np.float32)})
    with pytest.raises(ForeignArtifact):
        template.decode(other, sha256_of(other))
    with pytest.raises(ValueError, match="shape"):
        template.predict(trained.fitted, CONTEXTS[:, 1:])


@EVERY
@pytest.mark.usefixtures("plugins")
def test_a_gap_in_a_context_spoils_no_other_forecast(name: str) -> None:
    trained, _ = trained_once(name)
    predict = TEMPLATES.find(name).load().predict
    gap = CONTEXTS.copy()
    gap[2, 4] = np.nan
    expected, found = predict(trained.fitted, CONTEXTS), predict(trained.fitted, gap)
    others = [0, 1, 3, 4]
    np.testing.assert_allclose(found[others], expected[others], rtol=1e-6)
    assert np.isnan(found[2]).any()


@EVERY
@pytest.mark.usefixtures("plugins")
def test_the_seed_decides_every_bit(name: str) -> None:
    epochs: list[Epoch] = []
    trained, content = train(name, on_progress=epochs.append)
    assert (*epochs,) == trained.epochs
    assert [epoch.number for epoch in epochs] == [*range(1, len(epochs) + 1)]
    assert train(name)[1] == content
    assert train(name, seed=2)[1] != content


@EVERY
@pytest.mark.usefixtures("plugins")
def test_what_was_killed_continues_with_an_equal_result(name: str, tmp_path: Path) -> None:
    assert_killed(until_killed, name, tmp_path)
    epochs: list[int] = []
    trained, content = train(name, tmp_path, lambda one: epochs.append(one.number))
    assert min(epochs) == KILLED_AFTER + 1  # what was done is not done again
    expected, artifact = trained_once(name)
    assert trained.epochs == expected.epochs
    assert content == artifact


@EVERY
@pytest.mark.usefixtures("plugins")
def test_a_callback_that_raises_stops_the_training(name: str) -> None:
    def stop(_: Epoch) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train(name, on_progress=stop)


@pytest.fixture
def dlinear(world: Seasons) -> Seasons:
    policy(world, trainer="builtin")
    return world


def test_versions_of_two_templates_meet_at_the_gate(dlinear: Seasons) -> None:
    world = dlinear
    first = world.request("first")
    assert world.train()
    assert world.rollout(first).phase is Phase.PROMOTED, world.events(first)
    [v1] = world.versions()
    expected = {"format": "dlinear 1", "template": "dlinear", "trainer": "builtin"}
    assert expected.items() <= v1.manifest.items()
    assert v1.manifest["params"] == {"kernel": 3, "epochs": 8}

    world.log(daily()[CHANGE:], first=CHANGE)
    better = {"learning_rate": 5e-3, "max_epochs": 60, "patience": 10}
    policy(world, template="segment_lstm", template_params=better, trainer="builtin")
    second = world.request("renewal", START + CHANGE * DAY)
    assert world.train()
    rollout = world.rollout(second)
    assert rollout.phase is Phase.CANARY, world.events(second)
    assert world.versions()[1].manifest["format"] == "seqwatch segment-lstm 1"
    assert not [*(world.settings().artifacts / ".training").iterdir()]


def test_one_that_was_uninstalled_ends_the_rollout_with_the_reason(
    dlinear: Seasons, site: Path
) -> None:
    world = dlinear
    opened_before = world.request("first")
    with uninstalled(site):
        assert not world.train()
        assert world.rollout(opened_before).phase is Phase.FAILED
        why = "no template 'dlinear'; known: segment_lstm"
        assert world.events(opened_before)[-1] == ("crash", f"builtin refused: {why}")
        with pytest.raises(RetrainRefused, match=why):
            world.request("second")


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("named", "why"),
    [
        pytest.param({"template": "arima"}, "no template 'arima'; known: ", id="unknown"),
        pytest.param({"template": "gru"}, "'gru' is unavailable: broken-template", id="broken"),
        pytest.param({"template_params": {"depth": 1}}, "no depth; known: width", id="params"),
        pytest.param(
            {"template": "dlinear", "template_params": {"kernel": 4}},
            "template 'dlinear': kernel must be odd",
            id="value",
        ),
    ],
)
def test_a_policy_names_a_template_and_its_parameters(
    operator: TestClient, named: dict[str, Any], why: str
) -> None:
    body = {"contract": CONTRACT, "policy": named}
    refused = operator.put("/v1/models/grid", json=body)
    assert (refused.status_code, why in refused.json()["detail"]) == (422, True), refused.text
    body["policy"] = good = {"template": "dlinear", "template_params": {"kernel": 3}}
    assert operator.put("/v1/models/grid", json=body).status_code == 201
    assert good.items() <= operator.get("/v1/models/grid").json()["policy"].items()


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_templates_are_listed_with_their_parameters(
    as_key: Clients, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = as_key("read").get("/v1/plugins?group=seqwatch.templates").json()["items"]
    assert [(one["name"], one["unavailable"]) for one in listed[:2]] == [
        ("segment_lstm", None),
        ("dlinear", None),
    ]
    kernel = listed[1]["parameters"][0]
    assert kernel == {
        "name": "kernel",
        "type": "int",
        "default": 25,
        "is_required": False,
        "is_secret": False,
    }
    why = {one["name"]: one["unavailable"] for one in listed[2:]}
    assert "No module named 'no_such_module'" in why["gru"]
    assert "in use" in why["segment_lstm (another-segment-lstm)"]
    assert main(["plugins"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "dlinear Two linear maps: of the trend" in printed
    assert "kernel = 25, epochs = 10" in printed
    assert "gru UNAVAILABLE: broken-template: ModuleNotFoundError" in printed


def test_what_is_no_template_is_refused() -> None:
    name = "segment_lstm"
    assert TEMPLATES.checked(name, TEMPLATES.find(name)).name == name
    with pytest.raises(TypeError, match="is no TemplateKind"):
        TEMPLATES.checked(name, TemplateKind)
