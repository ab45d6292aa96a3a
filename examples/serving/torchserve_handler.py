"""A TorchServe handler: `torch-model-archiver --handler torchserve_handler.py …`.

TorchServe makes one `Handler` in each worker process, calls `initialize` once
and `handle` with every batch.
"""

import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from seqwatch import Monitor, Options

from examples.serving.model import CONTRACT, Forecaster


class Handler:
    """Forecasts a batch of requests, and logs each of them."""

    def __init__(self) -> None:
        self.initialized = False

    def initialize(self, context: Any) -> None:
        """Load the model and connect, in the worker process.

        Parameters
        ----------
        context
            TorchServe's: `manifest` names the model and its version.
        """
        model = context.manifest["model"]
        # The workers share the folder: each uses its own subfolder.
        self._monitor = Monitor(
            os.environ["SEQWATCH_URL"],
            os.environ["SEQWATCH_KEY"],
            model["modelName"],
            Path(os.environ["SEQWATCH_SPOOL"]),
            Options(
                defaults={"version": model["modelVersion"], "worker": f"pid-{os.getpid()}"}
            ),
            contract=CONTRACT,
        )
        self._model = Forecaster().eval()
        self.initialized = True

    def handle(self, requests: list[dict[str, Any]], context: Any) -> list[dict[str, Any]]:
        """Answer every request of the batch, in order."""
        questions = [_content(request) for request in requests]
        windows = torch.tensor([[q["load"], q["temperature"]] for q in questions])
        predictions = [
            self._monitor.predict(
                prediction_id=context.get_request_id(i),
                session_id=question.get("session_id"),
                entity=question.get("entity"),
                features={"load": question["load"], "temperature": question["temperature"]},
                batch_size=len(questions),
            )
            for i, question in enumerate(questions)
        ]
        with torch.no_grad(), ExitStack() as blocks:  # one block for each row of the batch
            for prediction in predictions:
                blocks.enter_context(prediction)
            output, _ = self._model(windows.transpose(1, 2))
            answers: list[list[float]] = output.tolist()
            for prediction, values in zip(predictions, answers, strict=True):
                prediction.output = {"load": values}
        return [{"load": values} for values in answers]


def _content(request: dict[str, Any]) -> dict[str, Any]:
    body: Any = request.get("body", request.get("data"))
    content: dict[str, Any] = json.loads(body) if isinstance(body, bytes | str) else body
    return content
