"""From a first batch that came at night to the report of coarse bins."""

from pathlib import Path

import pytest
from prometheus_client.core import Metric
from sqlalchemy.orm import Session, sessionmaker

from db.session import read_only
from tests.late.world import NOW, World, hours
from tests.services.scraped import metrics

N_REFERENCE, N_SERVED = 24, 4
NAME = "seqwatch_bins_fullest_ratio"


def asked(sessions: sessionmaker[Session]) -> Metric:
    with read_only(sessions) as session:
        (found,) = (each for each in metrics(session, NOW) if each.name == NAME)
    return found


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("n_first", [pytest.param(4, id="night"), pytest.param(None, id="all")])
@pytest.mark.parametrize(
    "drift_days", [pytest.param(1, id="evaluating"), pytest.param(2, id="warming_up")]
)
def test_bins_that_were_frozen_at_night_are_reported(
    sessions: sessionmaker[Session], tmp_path: Path, n_first: int | None, drift_days: int
) -> None:
    world = World(sessions, tmp_path, "grid", N_REFERENCE, drift_days, kinds=("input_drift",))
    rows = [row for day in hours(N_REFERENCE, N_SERVED) for row in day]
    world.send(rows[:n_first])
    world.work()
    world.send(rows[n_first:] if n_first else [])
    world.evaluate_slot()
    shown = {
        detail.get("coarse_bins") is not None  # type: ignore[attr-defined]
        for *_, detail in world.findings().values()
    }
    samples = asked(sessions).samples
    if n_first is None:
        assert shown == {False}
        assert samples == []
        return
    assert shown == {True}
    (sample,) = samples
    assert sample.labels["model"] == "grid"
    assert sample.value > 0.5
