"""Diagnoses are found by their entry points; one that is unavailable stops nothing else."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from cli.main import main
from core.errors import NotInstalled, TooLarge, Unprocessable
from core.plugins import Loaded, parse
from core.schema.contract import Contract
from monitors import diagnosis
from monitors.diagnosis import DIAGNOSES, DiagnosisRequest, Table
from tests.api.conftest import CONTRACT, Clients, app, as_key, operator, stranger
from tests.monitors.streams import grid

__all__ = ["app", "as_key", "operator", "stranger"]  # fixtures

LOAD = np.random.default_rng(1).normal(20, 5, 60).tolist()
HISTORY = grid(np.random.default_rng(1).normal(size=(24 * 28, 2)))


def request(offline: list[Any], online: list[Any], **more: Any) -> DiagnosisRequest:
    return DiagnosisRequest(
        offline=Table(name="offline", columns={"load": offline}),
        online=Table(name="online", columns={"load": online}),
        **more,
    )


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("name", ["missing_values", "scaler_parity", "skew"])
@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(request(LOAD, LOAD), id="equal"),
        pytest.param(request(LOAD, [1000 * one for one in LOAD]), id="another unit"),
        pytest.param(request(LOAD, LOAD[::-1]), id="another order"),
        pytest.param(request([None] * 60, [None] * 60), id="missing"),
        pytest.param(request([1.0] * 60, [1.0] * 60), id="constant"),
        pytest.param(request([1e99] * 60, [-1e99] * 60), id="huge"),
        pytest.param(request([1.0], [2.0]), id="one row"),
        pytest.param(request([], []), id="no row"),
        pytest.param(request(LOAD, LOAD[1:]), id="fewer rows"),
        pytest.param(request(["a"], [[1.0, "b"]]), id="texts"),
        pytest.param(DiagnosisRequest(), id="nothing"),
        pytest.param(
            request(LOAD, LOAD, contract=Contract.from_json(CONTRACT), history=HISTORY),
            id="a model",
        ),
    ],
)
def test_every_diagnosis_returns_a_report_that_fits_into_json_or_refuses(
    name: str, asked: DiagnosisRequest
) -> None:
    found = DIAGNOSES.find(name)
    try:
        report = found.report(found.run({}, asked))
    except (Unprocessable, TooLarge):
        return
    assert found.report(found.run({}, asked)) == report
    json.dumps(report.document, allow_nan=False)
    assert not report.text or report.text.endswith("\n")


@pytest.mark.usefixtures("plugins")
def test_every_diagnosis_is_under_contract_and_its_defaults_survive_json() -> None:
    assert DIAGNOSES.names() == ("scaler_parity", "skew", "missing_values")
    for one in DIAGNOSES:
        params = parse(one.name, one.params, {})
        assert parse(one.name, one.params, json.loads(json.dumps(asdict(params)))) == params
        with pytest.raises(Unprocessable, match="no nonsense; known: "):
            one.run({"nonsense": 1}, DiagnosisRequest())


@pytest.mark.usefixtures("plugins")
def test_ours_keeps_its_name_and_the_clash_is_listed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["plugins"]) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "skew Do training and serving" in printed
    assert "skew (another-skew) UNAVAILABLE: the name 'skew' is in use" in printed
    assert diagnosis.find("skew", "seqwatch-skew").params is not None


WHY = "seqwatch-skew: ModuleNotFoundError: No module named 'scipy'"


@pytest.fixture(
    params=[
        pytest.param({}, id="missing"),
        pytest.param({"skew": WHY, "scaler_parity": WHY}, id="broken"),
    ]
)
def unavailable(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the reason that is reported."""
    monkeypatch.setitem(DIAGNOSES.__dict__, "_loaded", Loaded(unavailable=request.param))
    return str(request.param.get("skew", "not installed"))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_without_the_plug_in_the_routes_name_what_to_install(
    operator: TestClient, as_key: Clients, unavailable: str
) -> None:
    assert operator.put("/v1/models/grid", json={"contract": CONTRACT}).status_code == 201
    client = as_key("read")
    body = {"offline": {"load": LOAD}, "online": {"load": LOAD}}
    address = "/v1/models/grid/skew"
    for answer in (client.post(address, json=body), client.get(address)):
        assert answer.status_code == 501
        problem = answer.json()
        assert problem["type"] == "urn:seqwatch:error:NotInstalled"
        assert f"({unavailable}): install seqwatch-skew" in problem["detail"]
    assert client.get("/v1/models/grid").status_code == 200


def test_without_the_plug_in_the_command_prints_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, unavailable: str
) -> None:
    files = [str(tmp_path / "golden.csv"), str(tmp_path / "served.csv")]
    assert main(["skew", *files]) == 2
    printed = capsys.readouterr()
    assert printed.err == (
        f"NotInstalled: diagnosis 'skew' is unavailable ({unavailable}): "
        "install seqwatch-skew and restart\n"
    )
    assert not printed.out


def test_one_that_is_no_diagnosis_is_not_found() -> None:
    with pytest.raises(NotInstalled, match="'smell' is unavailable \\(not installed\\)"):
        diagnosis.find("smell", "a distribution")
