"""From rows to findings: a stream in another unit, or on another level, is evaluated alike."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.schema.contract import Contract
from core.schema.feature import Feature
from core.schema.rows import REFERENCE, Kind
from db.session import read_only
from db.tables import Finding as FindingRow
from db.tables import Monitor
from monitors.finding import Outcome
from monitors.summaries.summary import Floats
from services.aggregation.fold import fold_all
from services.evaluation.baseline_cache import Baselines
from services.evaluation.evaluate_slot import evaluate_slot
from tests.monitors.streams import plant
from tests.streams import START, add_served_model, keep, prediction, table

N_REFERENCE, N_DAYS, ONSET = 196, 204, 199
NOW = START + 400 * DAY
NAMES = tuple(f"f{i}" for i in range(6))
CONTRACT = Contract(
    features=tuple(Feature(name=name) for name in NAMES),
    targets=("f0",),
    step=HOUR,
    input_length=1,
    horizon=3,
)
KINDS = ("input_drift", "mean_shift", "temporal_pattern", "input_fault", "data_quality")
UNITS: Mapping[str, tuple[float, float]] = {
    "plain": (1.0, 0.0),
    "small": (1e-12, 0.0),
    "far": (1.0, 1e9),
}
Found: TypeAlias = dict[tuple[str, object], tuple[Outcome, str, dict[str, Any]]]


def found_in(sessions: sessionmaker[Session], name: str, values: Floats) -> Found:
    """Send a stream, a row an hour, and evaluate its last days."""
    monitors: dict[str, dict[str, object]] = {kind: {} for kind in KINDS}
    model_id = add_served_model(
        sessions, CONTRACT, name, reference_days=N_REFERENCE, monitors=monitors
    )
    rows = [
        prediction(
            START + hour * HOUR,
            version=REFERENCE if hour < N_REFERENCE * 24 else "v1",
            features={of: [value] for of, value in zip(NAMES, row, strict=True)},
            output={"f0": [row[0]] * CONTRACT.horizon},
        )
        for hour, row in enumerate(values.tolist())
    ]
    keep(sessions, model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, rows, CONTRACT), NOW)
    fold_all(sessions, NOW + HOUR)
    baselines = Baselines()
    for day in range(ONSET, N_DAYS):
        evaluate_slot(sessions, baselines, model_id, START + day * DAY, NOW)
    query = (
        select(Monitor.kind, FindingRow.as_of, FindingRow.outcome, FindingRow.cause,
               FindingRow.detail)
        .join(Monitor, Monitor.id == FindingRow.monitor_id)
        .where(FindingRow.model_id == model_id)
    )  # fmt: skip
    with read_only(sessions) as session:
        return {(kind, at): (*rest,) for kind, at, *rest in session.execute(query)}


def effects(detail: Mapping[str, Any]) -> dict[str, float]:
    features = detail.get("features", {}).items()
    return {name: one["effect"] for name, one in features if one.get("effect") is not None}


@pytest.mark.slow
def test_a_stream_in_another_unit_gets_the_same_findings(
    sessions: sessionmaker[Session],
) -> None:
    values = plant(N_DAYS) - 10.0
    values[ONSET * 24 :, 2] += 4.0 * values[:, 2].std()
    found = {
        name: found_in(sessions, name, values * factor + offset)
        for name, (factor, offset) in UNITS.items()
    }
    plain = found.pop("plain")
    assert Outcome.BREACH in {outcome for outcome, *_ in plain.values()}
    for others in found.values():
        assert others.keys() == plain.keys()
        for at, (outcome, cause, detail) in plain.items():
            other_outcome, other_cause, other = others[at]
            assert other_outcome is outcome, at
            assert other_cause.split(" ")[:2] == cause.split(" ")[:2], at
            assert other.get("top") == detail.get("top") or outcome is Outcome.OK
            assert other.get("moved") == detail.get("moved")
            faults = [
                [(fault["feature"], fault["kind"], fault["since"]) for fault in one]
                for one in (other.get("faults", []), detail.get("faults", []))
            ]
            assert faults[0] == faults[1]
            assert effects(other) == pytest.approx(effects(detail), abs=1e-4, rel=1e-4)
