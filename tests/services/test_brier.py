"""Classifiers are measured by the Brier score: a proper score, which |p - y| is not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy.orm import Session, sessionmaker

from core.durations import HOUR
from core.schema.rows import Kind
from core.schema.task import TASKS, Matched, Units
from db.session import read_only
from services.aggregation.fold import fold_all
from services.labels import error_days
from services.labels.error_days import ErrorDay
from services.labels.label_join import join_all
from services.read_models.overview.accuracy import by_day, by_step
from services.retention.archive import archive_all
from tests.streams import CONTRACT, START, add_model, keep, label, prediction, table

RARE = replace(
    CONTRACT, targets=("no", "yes"), label_map=("no", "yes"), horizon=1, task="classification"
)
N = 2000


def probabilities() -> tuple[list[float], list[float]]:
    """Return calibrated probabilities of a rare event, with an AUC near .929, and events."""
    chance = np.random.default_rng(18)
    p = 1 / (1 + np.exp(4.15 - 2.05 * chance.standard_normal(N)))
    return p.tolist(), (chance.random(N) < p).astype(float).tolist()


@pytest.fixture
def chunks(sessions: sessionmaker[Session], tmp_path: Path) -> list[ErrorDay]:
    """One day on which "calibrated" served, and "always no" in shadow."""
    model_id = add_model(sessions, RARE)
    rows, labels = [], []
    for i, (p, happened) in enumerate(zip(*probabilities(), strict=True)):
        at = START + i * (20 * HOUR / N)
        actual = {"no": [1 - happened], "yes": [happened]}
        for version, claimed in (("calibrated", p), ("always no", 0.0)):
            output = {"no": [1 - claimed], "yes": [claimed]}
            shadow, name = version == "always no", f"{version} {i}"
            fields: dict[str, Any] = {
                "version": version,
                "shadow": shadow,
                "prediction_id": name,
            }
            rows.append(prediction(at, output=output, **fields))
            of_label = {"prediction_id": name, "arrived_at": at + HOUR}
            labels.append(label(None, [], **of_label) | {"actual": actual})
    keep(sessions, model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, rows, RARE))
    keep(sessions, model_id, Kind.LABELS, table(Kind.LABELS, labels, RARE))
    later = START + 1000 * HOUR
    fold_all(sessions, later)
    archive_all(sessions, tmp_path / "lake", later)
    join_all(sessions, tmp_path / "lake", later)
    with read_only(sessions) as session:
        return error_days.read(session, model_id, RARE, (START.date(), None))


def test_a_calibrated_model_beats_one_that_always_predicts_no(chunks: list[ErrorDay]) -> None:
    p, happened = map(np.array, probabilities())
    assert happened.mean() < np.abs(p - happened).mean()  # which is why |p - y| is not used
    error = {day.version: day.error for day in by_day(chunks, RARE)}
    assert error["always no"] == pytest.approx(2 * happened.mean())
    assert error["calibrated"] == pytest.approx(2 * ((p - happened) ** 2).mean())
    assert error["calibrated"] < 0.8 * error["always no"]  # type: ignore[operator]
    steps = {step.version: step.errors[0] for step in by_step(chunks, RARE)}
    assert steps == pytest.approx(error)


def test_a_probability_has_no_unit() -> None:
    cell = np.full((1, 1, 2), 0.25)
    matched = Matched(
        rows=table(Kind.PREDICTIONS, []), predicted=cell, actual=0 * cell, naive=cell
    )
    scored = TASKS.find("classification").score(
        RARE, Units(std=np.full(2, 0.1), season_steps=1), matched
    )
    assert scored.loss.ravel().tolist() == [0.0625, 0.0625]
