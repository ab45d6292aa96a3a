"""Predictions and labels of several models, whose event time runs fast.

Every batch is determined by its number, so that a batch that was not acknowledged is sent
again with the same content, however long that takes.
"""

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import httpx

START = datetime(2024, 1, 1, tzinfo=UTC)
HOURS_PER_BATCH = 6
BATCHES_PER_DAY = 24 // HOURS_PER_BATCH
ENTITIES = ("e1", "e2")
LABEL_DELAY = BATCHES_PER_DAY  # batches: labels come an event day after their predictions
CYCLE, BROKEN = 6, (3, 4)  # of six event days, two are broken
N_REFERENCE = 1_000  # as many values as the fold wants before it fixes bins
RETRY_SECONDS = 0.3


def is_broken(day: int) -> bool:
    """Return whether the model fails, and sends what breaks its contract, on an event day."""
    return day % CYCLE in BROKEN


def predictions(model: str, number: int) -> list[dict[str, Any]]:
    """Return the predictions of one batch; on a broken day the last one is quarantined."""
    rng = Random(f"{model}:{number}")
    broken = is_broken(number // BATCHES_PER_DAY)
    rows = []
    for hour in range(number * HOURS_PER_BATCH, (number + 1) * HOURS_PER_BATCH):
        for entity in ENTITIES:
            level = rng.gauss(10.0, 3.0)
            rows.append(
                {
                    "prediction_id": f"{model}:{hour}:{entity}",
                    "version": "v1",
                    "at": (START + timedelta(hours=hour)).isoformat(),
                    "entity": entity,
                    "features": {"load": level, "wind": [rng.random() for _ in range(3)]},
                    "output": {"load": [level, level, level]},
                    "status": "error" if broken else "ok",
                    "latency_seconds": 0.01,
                }
            )
    if broken:
        rows.append({**rows[-1], "prediction_id": f"{model}:{number}:bad", "features": {}})
    return rows


def reference(model: str) -> list[dict[str, Any]]:
    """Return past input, enough to fix the bins of every feature at once."""
    rng = Random(model)
    return [
        {
            "prediction_id": f"{model}:reference:{hour}",
            "at": (START - timedelta(hours=hour)).isoformat(),
            "entity": "e1",
            "features": {"load": rng.gauss(10.0, 3.0), "wind": [rng.random()] * 3},
        }
        for hour in range(1, N_REFERENCE + 1)
    ]


def labels(model: str, number: int) -> list[dict[str, Any]]:
    """Return the labels of the predictions of one batch."""
    return [
        {"prediction_id": row["prediction_id"], "actual": {"load": [9.0, 10.0, 11.0]}}
        for row in predictions(model, number)
        if not row["prediction_id"].endswith(":bad")
    ]


class Sender:
    """Sends the batches of one model, each until it is acknowledged, in order."""

    def __init__(self, url: str, key: str, model: str, day_seconds: float) -> None:
        self.model = model
        self.n_sent = 0  # batches of predictions that were acknowledged
        self.n_refused = 0
        self.wrong: list[str] = []
        self._seconds = day_seconds / BATCHES_PER_DAY
        self._http = httpx.Client(
            base_url=f"{url}/v1/models/{model}/",
            headers={"Authorization": f"Bearer {key}"},
            timeout=10,
        )
        self._stop = threading.Event()
        self._abandoned = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish the batch in hand; labels of what was sent follow."""
        self._stop.set()
        self._thread.join()
        self._http.close()

    def abandon(self) -> None:
        """Give up the batch in hand as well."""
        self._stop.set()
        self._abandoned.set()

    def acknowledged(self, kind: str) -> set[str]:
        """Return the ids of predictions, or of those whose labels, were acknowledged."""
        n = self.n_sent if kind == "predictions" else max(self.n_sent - LABEL_DELAY, 0)
        ids = {row["prediction_id"] for i in range(n) for row in labels(self.model, i)}
        if kind == "predictions":
            ids |= {row["prediction_id"] for row in reference(self.model)}
        return ids

    def _run(self) -> None:
        self._send("reference", "reference", reference(self.model))
        began, number = time.monotonic(), 0
        while not self._stop.wait(max(0.0, began + number * self._seconds - time.monotonic())):
            self._send("predictions", f"p-{number}", predictions(self.model, number))
            if number >= LABEL_DELAY:
                of = number - LABEL_DELAY
                self._send("labels", f"l-{of}", labels(self.model, of))
            number += 1
            self.n_sent = number

    def _send(self, what: str, batch_id: str, rows: Sequence[dict[str, Any]]) -> None:
        while not self._abandoned.is_set():
            try:
                answer = self._http.post(what, json={"batch_id": batch_id, "rows": [*rows]})
                if answer.status_code == 200 or _is_quarantined(answer):
                    return
                self.n_refused += 1
                if answer.status_code not in (429, 503):
                    self.wrong.append(f"{answer.status_code}: {answer.text[:200]}")
            except httpx.HTTPError:
                self.n_refused += 1
            time.sleep(RETRY_SECONDS)


def _is_quarantined(answer: httpx.Response) -> bool:
    """Return whether all rows were kept but the one that breaks the contract."""
    return answer.status_code == 422 and answer.json().get("quarantined") == 1
