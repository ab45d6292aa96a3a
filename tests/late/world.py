"""One model whose rows may come in any order, evaluated as the platform evaluates it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.policy import Policy
from core.schema.contract import Contract
from core.schema.feature import Dtype, Feature
from core.schema.rows import REFERENCE, Kind
from db.base import Base
from db.session import read_only, unit_of_work
from db.tables import (
    Finding,
    LateDay,
    LogCount,
    Model,
    Monitor,
    SummaryRow,
)
from services.aggregation.fold import fold_all
from services.evaluation import schedule
from services.evaluation.baseline_cache import Baselines
from services.evaluation.evaluate_slot import evaluate_slot
from services.evaluation.reevaluate import reevaluate
from services.labels.label_join import join_all
from services.retention.archive import archive_all
from tests.streams import CONTRACT, START, add_served_model, keep, label, prediction, table

NOW = START + 900 * DAY
POLICY = Policy(label_delay=DAY)
KINDS = ("accuracy", "data_quality", "input_drift", "input_fault")

SHOPS = ("a", "b", "c")
BY_SHOP = replace(
    CONTRACT,
    features=(
        *CONTRACT.features,
        Feature(name="shop", dtype=Dtype.CATEGORY, vocabulary=SHOPS),
    ),
    segment_by="shop",
)

Row = tuple[Kind, dict[str, Any]]


class World:
    def __init__(
        self,
        sessions: sessionmaker[Session],
        lake: Path,
        name: str,
        n_reference: int,
        drift_days: int = 1,
        kinds: Sequence[str] = KINDS,
        contract: Contract = CONTRACT,
    ) -> None:
        self.sessions, self.lake, self.n_reference = sessions, lake, n_reference
        self.baselines = Baselines()
        self.contract = contract
        by_segment = {"by_segment": True} if contract.segment_by else {}
        by_day = {"window": f"P{drift_days}D"}
        params: dict[str, dict[str, Any]] = {
            "accuracy": {"objective": 0.6, "window": "P4D"},
            "calibration": by_day,
            "input_drift": {**by_day, "season": "PT24H", **by_segment},
            "mean_shift": by_segment,
            "prediction_drift": {**by_day, "season": "PT24H", **by_segment},
            "residuals": by_day,
            "segment_accuracy": by_day,
        }
        self.model_id = add_served_model(
            sessions,
            contract,
            name,
            reference_days=n_reference,
            monitors={kind: params.get(kind, {}) for kind in kinds},
        )
        with unit_of_work(sessions) as session:
            session.get_one(Model, self.model_id).policy = POLICY

    def send(self, rows: Iterable[Row]) -> None:
        """Keep rows in the inbox, those of each kind in their order."""
        every = [*rows]
        for kind in Kind:
            some = [row for of, row in every if of is kind]
            if some:
                keep(
                    self.sessions,
                    self.model_id,
                    kind,
                    table(kind, some, self.contract),
                    NOW - DAY,
                )

    def work(self) -> None:
        """Fold, archive and join what waits."""
        fold_all(self.sessions, NOW)
        archive_all(self.sessions, self.lake, NOW)
        join_all(self.sessions, self.lake, NOW)

    def evaluate_slot(self) -> int:
        """Evaluate the days that have closed."""
        self.work()
        with read_only(self.sessions) as session:
            due = schedule.due(session)
        return sum(
            evaluate_slot(self.sessions, self.baselines, self.model_id, at, NOW)
            for model_id, at in due
            if model_id == str(self.model_id)
        )

    def reevaluate(self, max_slots: int = 40) -> int:
        """Look again until nothing waits; how many findings were revised."""
        self.work()
        n_revised = 0
        while True:
            done = reevaluate(self.sessions, self.baselines, self.model_id, NOW, max_slots)
            n_revised += done.n_revised
            if not done.n_evaluations:
                return n_revised

    def rows(self, of: type[Base]) -> list[Any]:
        with read_only(self.sessions) as session:
            found = session.scalars(select(of).filter_by(model_id=self.model_id)).all()
            session.expunge_all()
            return [*found]

    def model(self) -> Model:
        with read_only(self.sessions) as session:
            model = session.get_one(Model, self.model_id)
            session.expunge_all()
            return model

    def summaries(self) -> list[object]:
        """Return everything that was summarised, each number as it is stored."""
        kept = [
            (row.stream, row.start, row.version, row.payload) for row in self.rows(SummaryRow)
        ]
        return sorted(kept, key=repr)

    def findings(self) -> dict[tuple[str, datetime], tuple[object, ...]]:
        names = {monitor.id: monitor.name for monitor in self.rows(Monitor)}
        return {
            (names[row.monitor_id], row.as_of): (
                row.outcome.value,
                row.value,
                row.threshold,
                row.cause,
                row.detail,
            )
            for row in self.rows(Finding)
        }

    def revised(self) -> list[Finding]:
        return [row for row in self.rows(Finding) if row.rev]

    def counts(self) -> dict[str, int]:
        return {row.name: row.n for row in self.rows(LogCount)}

    def late_days(self) -> list[LateDay]:
        return self.rows(LateDay)


def hours(n_reference: int, n_served: int, seed: int = 3) -> list[list[Row]]:
    """Return the rows of each day: hourly forecasts of three steps, and what happened.

    All numbers are multiples of 1/64, so that sums do not depend on their order. From the
    middle of the served days on the load is higher than it ever was.
    """
    chance = np.random.default_rng(seed)
    n = 24 * (n_reference + n_served + 1)
    hour = np.arange(n)
    noise = chance.normal(scale=0.3, size=(2, n))
    load = 4 + 2 * np.sin(2 * np.pi * hour / 24) + noise[0]
    load[24 * (n_reference + n_served // 2) :] += 3.0
    wind = 3 + np.cos(2 * np.pi * hour / 24) + noise[1]
    load, wind = np.round(load * 64) / 64, np.round(wind * 64) / 64
    days: list[list[Row]] = []
    for day in range(n_reference + n_served):
        rows: list[Row] = []
        for i in range(24 * day, 24 * day + 24):
            at = START + i * HOUR
            features = {"load": [load[i]], "wind": [wind[i]]}
            if day < n_reference:
                past: dict[str, Any] = {
                    "version": REFERENCE,
                    "output": None,
                    "features": features,
                }
                rows.append((Kind.PREDICTIONS, prediction(at, **past)))
                continue
            served: dict[str, Any] = {
                "features": features,
                "output": {"load": [load[i - 24 + step] for step in (1, 2, 3)]},
                "status": "error" if i % 97 == 0 else "ok",
                "latency_seconds": 0.01,
            }
            rows.append((Kind.PREDICTIONS, prediction(at, **served)))
            rows.append((Kind.LABELS, label(at, [float(load[i])])))
        days.append(rows)
    return days


def in_shops(days: Sequence[Sequence[Row]]) -> list[list[Row]]:
    """Return the same rows once for each shop, each on a level of its own."""
    return [
        [
            (of, _in_shop(row, i, shop))
            for of, row in rows
            for i, shop in enumerate(SHOPS if of is Kind.PREDICTIONS else SHOPS[:1])
        ]
        for rows in days
    ]


def _in_shop(row: dict[str, Any], i: int, shop: str) -> dict[str, Any]:
    if "features" not in row:
        return row
    features = {
        name: [value + i for value in values] for name, values in row["features"].items()
    }
    return row | {
        "prediction_id": f"{shop}-{row['prediction_id']}",
        "features": features | {"shop": [shop]},
    }


def shuffled(days: Sequence[Sequence[Row]], n_reference: int, seed: int = 5) -> list[list[Row]]:
    """Return the same rows by the day on which they arrive: a third of them days late.

    Some of the reference too, when days have been evaluated with the rest of it.
    """
    chance = np.random.default_rng(seed)
    arriving: list[list[Row]] = [[] for _ in days]
    for day, rows in enumerate(days):
        for row in rows:
            delay = 0
            if day >= n_reference and chance.random() < 1 / 3:
                delay = int(chance.integers(1, 9))
            elif day in (n_reference // 2 + 1, n_reference - 3):
                delay = n_reference - day + 5
            arriving[min(day + delay, len(days) - 1)].append(row)
    return [[rows[i] for i in chance.permutation(len(rows))] for rows in arriving]
