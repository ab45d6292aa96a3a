"""A model of Triton's Python backend: `model.py` of a model repository.

Triton calls `initialize` once in each instance's process, and `execute` with
the requests that it has batched.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
import triton_python_backend_utils as pb_utils
from seqwatch import Monitor, Options

from examples.serving.model import CONTRACT, Forecaster


class TritonPythonModel:
    """Forecasts one request at a time, and logs each of them."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model and connect."""
        defaults = {"version": args["model_version"], "worker": args["model_instance_name"]}
        self._monitor = Monitor(
            os.environ["SEQWATCH_URL"],
            os.environ["SEQWATCH_KEY"],
            json.loads(args["model_config"])["name"],
            Path(os.environ["SEQWATCH_SPOOL"]),
            Options(defaults=defaults),
            contract=CONTRACT,
        )
        self._model = Forecaster().eval()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer every request, an error included."""
        return [self._answer(request) for request in requests]

    def finalize(self) -> None:
        """Send what is left before the process ends."""
        self._monitor.close()

    def _answer(self, request: Any) -> Any:
        try:
            # Of a sequence, Triton's correlation id names the session.
            with self._monitor.predict(
                prediction_id=request.request_id() or None,
                session_id=str(request.correlation_id() or "") or None,
            ) as prediction:
                window = pb_utils.get_input_tensor_by_name(request, "WINDOW").as_numpy()
                prediction.features = window  # (step, feature): split by the contract's names
                with torch.no_grad():
                    output, _ = self._model(torch.from_numpy(window.astype(np.float32))[None])
                values = output[0].numpy()
                prediction.output = values
        except Exception as error:  # noqa: BLE001 - Triton wants it as an answer
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))
        return pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor("LOAD", values)])
