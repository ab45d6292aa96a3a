"""A pipeline of somebody's own: `python -m tests.plugins.pipeline candidate|failure|nothing`.

It reads what to train on from its standard input, and reports to the platform over REST.
"""

import json
import sys
import time
from datetime import datetime
from typing import Any

import httpx

from core.durations import from_text
from retrain.artifact_header import sha256_of
from retrain.plan import Sizes
from retrain.template import TEMPLATES, Epoch, FitRun, TrainingSet
from retrain.windows import spread
from tests.services.seasons import STEPS, daily
from tests.streams import START


def candidate(asked: dict[str, Any], client: httpx.Client) -> None:
    """Train on what this pipeline knows of the series, until the moment that it may."""
    contract = asked["contract"]
    until = datetime.fromisoformat(asked["learn_until"]) - START
    n_steps = until // from_text(contract["step"])
    series = daily().reshape(1, -1, 1)[:, :n_steps]
    length, horizon = contract["input_length"], contract["horizon"]
    border = int(0.9 * n_steps)
    data = TrainingSet(
        inputs=series,
        targets=series,
        learn=spread(1, length, border - horizon, 1),
        validate=spread(1, border, n_steps - horizon, 1),
        sizes=Sizes(input_length=length, horizon=horizon, day=STEPS),
    )
    kind = TEMPLATES.find(asked["template"])
    template = kind.load()

    def report(epoch: Epoch) -> None:
        body = {"number": epoch.number, "validation_error": epoch.validation_error}
        client.post("/progress", json=body).raise_for_status()

    run: FitRun[Any] = FitRun(seed=asked["seed"], on_progress=report)
    trained = template.fit(kind.parse(asked["params"]), data, run)
    artifact = template.encode(trained.fitted)
    figures: dict[str, str | int | float] = {
        "sha256": sha256_of(artifact),
        "code": "pipeline 7",
        "n_windows": trained.n_windows,
        "objective": 0.5,
    }
    client.post("/candidate", params=figures, content=artifact).raise_for_status()


def main(what: str) -> None:
    asked = json.load(sys.stdin)
    key = {"Authorization": f"Bearer {asked['token']}"}
    with httpx.Client(base_url=asked["url"], headers=key, timeout=30) as client:
        if what == "candidate":
            candidate(asked, client)
        elif what == "failure":
            client.post("/failure", json={"error": "out of memory"}).raise_for_status()
        else:
            time.sleep(600)


if __name__ == "__main__":
    main(sys.argv[1])
