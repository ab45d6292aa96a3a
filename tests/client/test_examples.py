"""The examples, each against the real API.

FastAPI is the real one. TorchServe and Triton cannot be installed beside our
other dependencies: their classes are called as their documentation shows, with
small stand-ins for what the two would pass.
"""

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from seqwatch import Monitor, Options, Router
from seqwatch.torch_states import state_features
from sqlalchemy.orm import Session, sessionmaker

from core.schema.contract import Contract
from core.schema.rows import Kind
from core.settings import Settings
from examples.serving import plain_loop
from examples.serving.fastapi_app import create_app
from examples.serving.model import CONTRACT, HORIZON, N_STEPS, Forecaster
from examples.serving.torchserve_handler import Handler
from tests.client.platform import Platform

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
LOAD = [float(i) for i in range(N_STEPS)]
TEMPERATURE = [0.5 * i for i in range(N_STEPS)]

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def platform(settings: Settings, sessions: sessionmaker[Session]) -> Iterator[Platform]:
    platform = Platform(settings, sessions, Contract.from_json(CONTRACT))
    platform.start()
    yield platform
    platform.stop()


@pytest.fixture
def environment(platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQWATCH_URL", platform.url)
    monkeypatch.setenv("SEQWATCH_KEY", platform.key)
    monkeypatch.setenv("SEQWATCH_SPOOL", str(tmp_path / "spool"))


def _drain(monitor: Monitor) -> None:
    assert monitor.flush()
    monitor.close()
    counts = monitor.counts()
    assert (counts.rejected, counts.dropped) == (0, {})


def test_a_plain_loop(platform: Platform, tmp_path: Path) -> None:
    options = Options(defaults={"version": "v1"})
    monitor = Monitor(
        platform.url, platform.key, "load", tmp_path / "spool", options, contract=CONTRACT
    )
    start = datetime(2026, 1, 1, tzinfo=UTC)
    hours = [
        (start + timedelta(hours=i), np.array([i / 10, i], dtype=np.float32)) for i in range(12)
    ]
    forecasts = plain_loop.serve(monitor, hours, entity="site-3", every=10)
    _drain(monitor)
    rows = platform.kept()
    assert [row["output"] for row in rows] == [{"load": values} for values in forecasts]
    assert [row["step_index"] for row in rows] == list(range(12))
    assert len({row["session_id"] for row in rows}) == 1
    norm = "state.rnn.l0.norm"
    sampled = [i for i, row in enumerate(rows) if row["features"][norm]]  # type: ignore[index]
    assert sampled == [0, 10]
    declared = {feature["name"] for feature in state_features(Forecaster())}
    assert declared <= set(rows[10]["features"])  # type: ignore[call-overload]
    assert len(platform.kept(Kind.LABELS)) == 12


def test_a_fastapi_service(platform: Platform, tmp_path: Path) -> None:
    options = Options(defaults={"worker": "w-1"})
    monitor = Monitor(platform.url, platform.key, "load", options=options, contract=CONTRACT)
    router = Router(platform.url, platform.key, "load", cache=tmp_path / "cache")
    app = create_app(monitor, router, {"v1": Forecaster().eval()}, default="v1")
    question = {
        "session_id": "s-1",
        "entity": "site-3",
        "load": LOAD,
        "temperature": TEMPERATURE,
    }
    with TestClient(app) as service:
        answer = service.post(
            "/forecasts",
            json=question,
            headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"},
        ).json()
        assert service.post("/forecasts", json={}).status_code == 422
        assert monitor.flush()
    (row,) = platform.kept()
    assert row["prediction_id"] == answer["prediction_id"]
    assert row["output"] == {"load": answer["load"]}
    assert (row["trace_id"], row["status"]) == (TRACE, "ok")
    assert row["latency_seconds"] > 0  # type: ignore[operator]


def test_a_torchserve_handler(platform: Platform, environment: None) -> None:
    """With a stand-in for TorchServe's context: what the handler reads of it."""
    context = SimpleNamespace(
        manifest={"model": {"modelName": "load", "modelVersion": "1.0"}},
        get_request_id=lambda i: f"request-{i}",
    )
    handler = Handler()
    handler.initialize(context)
    body = {"load": LOAD, "temperature": TEMPERATURE, "session_id": "s-1"}
    answers = handler.handle([{"body": body}, {"data": json.dumps(body).encode()}], context)
    _drain(handler._monitor)
    assert [len(answer["load"]) for answer in answers] == [HORIZON] * 2
    rows = platform.kept()
    assert [row["prediction_id"] for row in rows] == ["request-1", "request-0"]
    assert {(row["version"], row["batch_size"], row["status"]) for row in rows} == {
        ("1.0", 2, "ok")
    }
    assert {row["session_id"] for row in rows} == {"s-1"}


def test_a_torchserve_batch_that_fails_is_logged_and_raises(
    platform: Platform, environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = SimpleNamespace(
        manifest={"model": {"modelName": "load", "modelVersion": "1.0"}},
        get_request_id=lambda i: f"request-{i}",
    )
    handler = Handler()
    handler.initialize(context)

    def fail(*_: object) -> None:
        raise TimeoutError("the device hangs")

    monkeypatch.setattr(handler, "_model", fail)
    with pytest.raises(TimeoutError):
        handler.handle([{"body": {"load": LOAD, "temperature": TEMPERATURE}}], context)
    _drain(handler._monitor)
    (row,) = platform.kept()
    assert (row["status"], row["output"]) == ("timeout", None)


@pytest.fixture
def triton(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The backend, over a stand-in for Triton's `triton_python_backend_utils`."""

    class Tensor:
        def __init__(self, name: str, values: np.ndarray[Any, Any]) -> None:
            self.name = name
            self._values = values

        def as_numpy(self) -> np.ndarray[Any, Any]:
            return self._values

    def tensor_of(request: Any, name: str) -> Tensor:
        found: Tensor = next(tensor for tensor in request.tensors if tensor.name == name)
        return found

    stand_in: Any = ModuleType("triton_python_backend_utils")
    stand_in.Tensor = Tensor
    stand_in.get_input_tensor_by_name = tensor_of
    stand_in.TritonError = str
    stand_in.InferenceResponse = SimpleNamespace
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", stand_in)
    yield importlib.import_module("examples.serving.triton_backend")
    del sys.modules["examples.serving.triton_backend"]


def test_a_triton_backend(
    platform: Platform,
    environment: None,
    triton: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = triton.TritonPythonModel()
    model.initialize(
        {
            "model_config": json.dumps({"name": "load"}),
            "model_version": "3",
            "model_instance_name": "load_0_0",
        }
    )
    window = np.stack([LOAD, TEMPERATURE], axis=1)

    def request(name: str, *tensors: object) -> object:
        identify: Callable[[], str] = lambda: name  # noqa: E731
        return SimpleNamespace(request_id=identify, correlation_id=lambda: 17, tensors=tensors)

    tensor = triton.pb_utils.Tensor("WINDOW", window)
    (good,) = model.execute([request("r-1", tensor)])

    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(model, "_model", fail)
    (bad,) = model.execute([request("", tensor)])
    model.finalize()
    assert good.output_tensors[0].as_numpy().shape == (HORIZON,)
    assert bad.error == "out of memory"
    first, second = platform.kept()
    assert (first["prediction_id"], first["version"], first["session_id"]) == ("r-1", "3", "17")
    assert first["features"]["load"] == LOAD  # type: ignore[index]
    assert first["output"] == {"load": good.output_tensors[0].as_numpy().tolist()}
    assert (first["status"], second["status"]) == ("ok", "error")
