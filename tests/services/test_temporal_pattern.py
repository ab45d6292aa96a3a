"""From rows that come in to a finding on their order."""

import numpy as np
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.schema.rows import REFERENCE, Kind
from db.tables import Finding as FindingRow
from monitors.finding import Outcome
from monitors.summaries.summary import Floats
from services.aggregation.fold import fold_all
from services.evaluation.baseline_cache import Baselines
from services.evaluation.evaluate_slot import evaluate_slot
from tests.monitors.streams import ar1
from tests.streams import START, add_served_model, keep, prediction, table

N_REFERENCE, N_SERVED, N_HELD = 46, 6, 2
NOW = START + 100 * DAY
PARAMS = {"window": "P2D", "days_between_false_alarms": 10.0}


def serve(sessions: sessionmaker[Session], load: Floats, wind: Floats) -> list[FindingRow]:
    """Send a row an hour, evaluate each served day; return what was found, in order."""
    model_id = add_served_model(
        sessions, reference_days=N_REFERENCE, monitors={"temporal_pattern": PARAMS}
    )
    rows = [
        prediction(
            START + hour * HOUR,
            version=REFERENCE if hour < N_REFERENCE * 24 else "v1",
            features={"load": [float(load[hour])], "wind": [float(wind[hour])]},
        )
        for hour in range(len(load))
    ]
    keep(sessions, model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, rows), NOW - DAY)
    fold_all(sessions, NOW)
    baselines = Baselines()
    for day in range(N_REFERENCE + 3, N_REFERENCE + N_SERVED + 1):
        evaluate_slot(sessions, baselines, model_id, START + day * DAY, NOW)
    with sessions() as session:
        found = session.query(FindingRow).order_by(FindingRow.as_of).all()
        session.expunge_all()
    return found


def test_a_sensor_that_is_held_between_its_readings_is_found_and_named(
    sessions: sessionmaker[Session],
) -> None:
    n_hours = (N_REFERENCE + N_SERVED) * 24
    load, wind = 10.0 + ar1(0.9, (n_hours, 2), 5).T
    last = slice(n_hours - N_HELD * 24, n_hours)
    load[last] = np.repeat(load[last][::2], 2)
    found = serve(sessions, load, wind)
    assert found[0].outcome == Outcome.OK
    assert found[-1].outcome == Outcome.BREACH
    assert found[-1].cause.startswith("load: ")
    assert found[-1].detail["top"] == "load"
    assert found[-1].detail["moved"][0] == "load"
    assert "moved" not in found[0].detail
