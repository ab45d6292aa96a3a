"""A registry with real HTTP, with weights that are one number."""

import hashlib
import io
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pyarrow as pa
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from core.durations import HOUR
from core.errors import ForeignArtifact
from core.schema.contract import Contract
from core.schema.feature import Feature
from examples.forecaster.stream import ARROW_STREAM
from examples.forecaster.versions import Forecast
from tests.client.api import Answer, Api, Seen

CONTRACT = Contract(
    features=(Feature(name="load"), Feature(name="oil")),
    targets=("load", "oil"),
    step=HOUR,
    input_length=4,
    horizon=3,
)
CONTEXT = {"load": [1.0, 2.0, 3.0, 4.0], "oil": [10.0, 20.0, 30.0, 40.0]}
VALUES = {"load": [5.0, 6.0], "oil": [50.0, 60.0]}
FAILS_WHEN_ASKED = -1.0


def load(content: bytes, sha256: str, *, horizon: int = 3) -> Forecast:
    """Forecast the last value plus a weight, which differs between windows and versions."""
    assert hashlib.sha256(content).hexdigest() == sha256
    try:
        weight = float(content)
    except ValueError:
        raise ForeignArtifact("not a number") from None

    def forecast(windows: NDArray[np.float64]) -> NDArray[np.float64]:
        if weight == FAILS_WHEN_ASKED and windows.any():
            raise RuntimeError("out of memory")
        return np.repeat(windows[:, -1:], horizon, axis=1) + weight

    return forecast


class Registry(Api):
    """Gives each version its own artifact."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: dict[str, bytes] = {}
        self.epoch = 0
        self.tables: dict[str, pa.Table] = {}

    def publish(
        self, *, share_bp: int = 0, is_shadowed: bool = False, **weights: bytes
    ) -> None:
        """Name the versions, the champion first."""
        self.weights.update(weights)
        self.epoch += 1
        served = [
            {"version": name, "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in weights.items()
        ]
        document = {
            "model": "m",
            "epoch": self.epoch,
            "champion": served[0],
            "challenger": served[1] if len(served) > 1 else None,
            "share_bp": share_bp,
            "salt": "r",
            "is_shadowed": is_shadowed,
        }
        self.document = Answer(
            status=200,
            body=json.dumps(document).encode(),
            headers={"ETag": f'"{self.epoch}"'},
        )

    def answer(self, seen: Seen) -> Answer:
        if seen.path.endswith("/artifact"):
            return Answer(status=200, body=self.weights[seen.path.split("/")[-2]])
        if seen.headers.get("content-type") == ARROW_STREAM:
            with pa.ipc.open_stream(io.BytesIO(seen.body)) as reader:
                self.tables[seen.batch_id] = reader.read_all()
            return Answer(status=200, body=b"{}")
        return super().answer(seen)

    def logged(self) -> dict[str, dict[str, Any]]:
        rows = [row for batch in self.kept.values() for row in batch]
        assert len({row["prediction_id"] for row in rows}) == len(rows)
        return {row["prediction_id"]: row for row in rows}


Start = Callable[[], AbstractContextManager[TestClient]]


def item(session: str = "s", step_index: int = 0, **fields: object) -> dict[str, object]:
    """Return one item of a request; the first step brings its context."""
    fields_: dict[str, object] = {
        "session_id": session,
        "entity": "e",
        "at": f"2026-01-01T{step_index:02d}:00:00Z",
        "step_index": step_index,
        "values": VALUES,
    }
    if step_index == 0:
        fields_ |= {"start": True, "context": CONTEXT}
    return fields_ | fields


def ask(service: TestClient, *items: dict[str, object]) -> list[dict[str, Any]]:
    response = service.post("/sessions/steps", json={"items": items})
    assert response.status_code == 200, response.text
    answers: list[dict[str, Any]] = response.json()["items"]
    return answers
