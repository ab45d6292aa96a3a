"""From rows with an input that came after the reference to findings, the page and the API."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
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
from services.aggregation.fold import fold_all
from services.evaluation.baseline_cache import Baselines
from services.evaluation.evaluate_slot import evaluate_slot
from services.read_models.overview import model as overview
from tests.monitors.streams import ar1
from tests.streams import START, add_served_model, keep, prediction, table

N_REFERENCE, N_SERVED = 50, 6
NOW = START + 400 * DAY
CONTRACT = Contract(
    features=(Feature(name="load"), Feature(name="wind", optional=True)),
    targets=("load",),
    step=HOUR,
    input_length=1,
    horizon=3,
)
KINDS = {
    "input_drift": {"window": "P1D", "days_between_false_alarms": 1000.0},
    "temporal_pattern": {"window": "P2D", "days_between_false_alarms": 1000.0},
    "data_quality": {},
}
Found: TypeAlias = tuple[str, Outcome, str, dict[str, Any]]
LACKING = {"wind": {"outcome": "no_data", "reason": "no_reference"}}


@pytest.fixture
def findings(sessions: sessionmaker[Session]) -> list[Found]:
    """Evaluate days whose rows have an input that the rows of the reference did not have."""
    return evaluated(
        sessions,
        CONTRACT,
        lambda is_past, load, wind: (
            {"load": [load]} if is_past else {"load": [load], "wind": [wind]}
        ),
    )


def evaluated(
    sessions: sessionmaker[Session],
    contract: Contract,
    inputs: Callable[[bool, float, float], dict[str, list[float]]],
) -> list[Found]:
    """Send a row an hour with these inputs, and evaluate the last days."""
    model_id = add_served_model(sessions, contract, reference_days=N_REFERENCE, monitors=KINDS)
    values = 10.0 + ar1(0.5, ((N_REFERENCE + N_SERVED) * 24, 2), 5)
    rows = []
    for hour, (load, wind) in enumerate(values.tolist()):
        is_past = hour < N_REFERENCE * 24
        features = inputs(is_past, load, wind)
        rows.append(
            prediction(
                START + hour * HOUR,
                version=REFERENCE if is_past else "v1",
                features=features,
                output={contract.targets[0]: [load] * contract.horizon},
            )
        )
    for some in (rows[: N_REFERENCE * 24], rows[N_REFERENCE * 24 :]):
        keep(sessions, model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, some, contract), NOW)
        fold_all(sessions, NOW + timedelta(hours=1))
    baselines = Baselines()
    for at in range(N_REFERENCE + 1, N_REFERENCE + N_SERVED):
        evaluate_slot(sessions, baselines, model_id, START + at * DAY, NOW)
    with read_only(sessions) as session:
        query = (
            select(Monitor.kind, FindingRow.outcome, FindingRow.cause, FindingRow.detail)
            .join(Monitor, Monitor.id == FindingRow.monitor_id)
            .order_by(FindingRow.as_of)
        )
        return [(kind, *rest) for kind, *rest in session.execute(query)]


def test_a_model_without_any_input_that_can_be_evaluated_is_no_error(
    sessions: sessionmaker[Session],
) -> None:
    optional = tuple(replace(feature, optional=True) for feature in CONTRACT.features)
    contract = replace(CONTRACT, features=optional, targets=("y",))
    found = evaluated(sessions, contract, lambda *_: {})
    assert {(kind, outcome) for kind, outcome, *_ in found} == {
        (kind, Outcome.NO_DATA) for kind in KINDS
    }


def test_an_input_without_a_reference_is_no_data_and_the_others_are_evaluated(
    sessions: sessionmaker[Session], findings: list[Found]
) -> None:
    assert {kind for kind, *_ in findings} == {*KINDS}
    for kind, outcome, cause, detail in findings:
        assert outcome is Outcome.OK, (kind, cause)
        assert detail["not_evaluated"] == LACKING
        assert "wind" not in detail.get("features", {})
        assert "wind" not in detail.get("quality", {})
    with read_only(sessions) as session:
        page = overview.model(session, "grid", None)
    [drift] = [each for each in page.monitor_statuses if each.kind == "input_drift"]
    assert [*drift.detail.not_evaluated] == ["wind"]
    assert drift.detail.not_evaluated["wind"].reason == "no_reference"
