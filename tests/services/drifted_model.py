"""A model whose load rises in the evenings of its last days, and what happened besides."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.schema.contract import Contract
from core.schema.feature import Dtype, Feature, Sensitivity
from core.schema.rows import REFERENCE, Kind
from db.session import read_only
from db.tables import Finding, Monitor
from services.aggregation.fold import fold_all
from services.evaluation.baseline_cache import Baselines
from services.evaluation.evaluate_slot import evaluate_slot
from services.retention.archive import archive_all
from tests.streams import START, add_served_model, keep, prediction, table

N_REFERENCE, N_CALM, N_RISEN = 30, 14, 3  # days
CHANGE = START + (N_REFERENCE + N_CALM) * DAY
END = CHANGE + N_RISEN * DAY
NOW = START + 400 * DAY
EVENING, RISE = range(18, 24), 8.0
GAP = range(2, 8)  # hours without wind on the first two risen days
KINDS = {"input_drift": {"window": "P1D", "season": "PT24H"}, "data_quality": {}}
CONTRACT = Contract(
    features=(
        Feature(name="load", unit="kW"),
        Feature(name="wind", optional=True),
        Feature(name="age", sensitivity=Sensitivity.BUCKET, bucket_edges=(0, 40, 80)),
        Feature(
            name="area",
            dtype=Dtype.CATEGORY,
            vocabulary=("north", "south"),
            sensitivity=Sensitivity.HASH,
        ),
        Feature(name="tariff", dtype=Dtype.CATEGORY, vocabulary=("day", "night")),
    ),
    targets=("load",),
    step=HOUR,
    input_length=4,
    horizon=3,
)


def evaluated_drifted_model(
    sessions: sessionmaker[Session], folder: Path, where: str = "in the inbox"
) -> "DriftedModel":
    """Return the model; its rows are in the lake of the folder when they are archived."""
    return DriftedModel(sessions, folder / "lake" if where == "archived" else None)


class DriftedModel:
    """The model "grid", its reference and what it served; everything is evaluated."""

    def __init__(
        self,
        sessions: sessionmaker[Session],
        lake: Any = None,
        kinds: Mapping[str, Mapping[str, Any]] = KINDS,
    ) -> None:
        self.sessions = sessions
        self.model_id = add_served_model(
            sessions, CONTRACT, reference_days=N_REFERENCE, monitors=kinds
        )
        self._send()
        fold_all(sessions, NOW)
        if lake is not None:
            archive_all(sessions, lake, NOW)
        baselines = Baselines()
        for day in range(N_REFERENCE + N_CALM - 2, N_REFERENCE + N_CALM + N_RISEN):
            end = START + (day + 1) * DAY
            # Wall time runs with event time, an hour behind.
            evaluate_slot(sessions, baselines, self.model_id, end, end + HOUR)

    def finding(self, kind: str, as_of: datetime) -> UUID:
        with read_only(self.sessions) as session:
            return session.scalars(
                select(Finding.id)
                .join(Monitor, Monitor.id == Finding.monitor_id)
                .where(Monitor.kind == kind, Finding.as_of == as_of)
            ).one()

    def _send(self) -> None:
        chance = np.random.default_rng(4)
        rows = []
        for hour in range((N_REFERENCE + N_CALM + N_RISEN) * 24):
            at = START + hour * HOUR
            n_rows = 3 if CHANGE <= at < CHANGE + DAY else 1  # far more of them on one day
            rows += [self._row(at, i, chance) for i in range(n_rows)]
        rows += [self._row(END + i * HOUR, 0, chance) for i in range(2)]  # a day has begun
        arrow = table(Kind.PREDICTIONS, rows, CONTRACT)
        keep(self.sessions, self.model_id, Kind.PREDICTIONS, arrow, NOW - DAY)

    def _row(self, at: datetime, i: int, chance: np.random.Generator) -> dict[str, Any]:
        has_risen = at >= CHANGE
        level = 10.0 + (RISE if has_risen and at.hour in EVENING else 0.0)
        features: dict[str, Any] = {
            "load": [float(level + chance.normal())],
            "wind": [float(chance.normal(5, 1))],
            "age": [20.0 if chance.random() < 0.5 else 60.0],
            "area": ["5eba" if chance.random() < 0.5 else "77aa"],
            "tariff": ["day" if 6 <= at.hour < 22 else "night"],
        }
        if CHANGE <= at < CHANGE + 2 * DAY and at.hour in GAP:
            features["wind"] = None
        return prediction(
            at,
            i,
            version=REFERENCE if at < START + N_REFERENCE * DAY else "v1",
            features=features,
            latency_seconds=0.4 if has_risen else 0.01,
            status="error" if has_risen and at.hour % 4 == 0 else "ok",
        )
