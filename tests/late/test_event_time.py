"""Each anomaly of event time has a rule and a count, and none moves the clock too far."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.policy import Policy
from core.schema.rows import Kind
from db.queries.log import row_counters
from db.session import read_only, unit_of_work
from db.tables import LogCount, Model
from services.aggregation.fold import fold_all
from services.evaluation import schedule
from services.ingest import event_time
from tests.services.scraped import metrics
from tests.streams import START, add_model, keep, prediction, table

NOW = START + 100 * DAY
NOON = START + 12 * HOUR


def at(*rows: tuple[timedelta, timedelta], **fields: Any) -> Any:
    """Return predictions by event time and arrival, both counted from `START`."""
    return table(
        Kind.PREDICTIONS,
        [
            prediction(START + event, i, received_at=START + arrival, **fields)
            for i, (event, arrival) in enumerate(rows)
        ],
    )


@pytest.mark.parametrize(
    ("rows", "clock", "expected"),
    [
        pytest.param([(HOUR, HOUR), (2 * HOUR, 2 * HOUR)], 2 * HOUR, {}, id="in order"),
        pytest.param(
            [(2 * HOUR, 2 * HOUR), (HOUR, 3 * HOUR)],
            2 * HOUR,
            {"out_of_order": 1},
            id="out of order on an open day",
        ),
        pytest.param(
            [(DAY + HOUR, DAY + HOUR), (HOUR, DAY + 2 * HOUR)],
            DAY + HOUR,
            {"out_of_order": 1, "late": 1},
            id="late: the day had closed",
        ),
        pytest.param(
            [(DAY + HOUR / 2, DAY + HOUR), (HOUR, DAY + 2 * HOUR)],
            DAY + HOUR / 2,
            {"out_of_order": 1},
            id="not late while the day is held open",
        ),
        pytest.param(
            [(HOUR, HOUR), (22 * HOUR, 2 * HOUR), (3 * HOUR, 3 * HOUR)],
            3 * HOUR,
            {"ahead": 1},
            id="a clock 20 hours ahead moves ours to the arrival, and makes nobody late",
        ),
        pytest.param(
            [(HOUR, 900 * DAY), (30 * DAY, 900 * DAY)],
            30 * DAY,
            {},
            id="history arrives long after it happened, and is in order",
        ),
        pytest.param(
            [(-9000 * DAY, HOUR), (HOUR, HOUR), (-9000 * DAY, HOUR)],
            HOUR,
            {"out_of_order": 1, "late": 1},
            id="very old rows are late rows",
        ),
    ],
)
def test_what_is_unexpected_is_counted(
    rows: list[tuple[timedelta, timedelta]], clock: timedelta, expected: dict[str, int]
) -> None:
    seen = event_time.examine(at(*rows), None, HOUR)
    assert seen.clock == START + clock
    assert {name: n for name, n in seen.counts.items() if n} == expected


def test_past_input_is_about_the_past_and_no_anomaly() -> None:
    rows = at((DAY, DAY), (HOUR, DAY), version="reference", output=None)
    seen = event_time.examine(rows, START + 9 * DAY, HOUR)
    assert (seen.clock, sum(seen.counts.values())) == (START + 9 * DAY, 0)


def test_the_counts_do_not_depend_on_how_rows_are_cut_into_groups(
    sessions: sessionmaker[Session],
) -> None:
    chance = np.random.default_rng(11)
    arrivals = (np.arange(300) * 0.3).tolist()
    events = (np.arange(300) * 0.3 + chance.normal(-9.0, 12.0, 300)).tolist()
    rows = [
        prediction(NOON + event * HOUR, i, received_at=NOON + arrival * HOUR, features=FEATURES)
        for i, (event, arrival) in enumerate(zip(events, arrivals, strict=True))
    ]
    results = []
    for name, n_cuts in (("whole", 0), ("cut", 40)):
        model_id = add_model(sessions, name=name)
        cuts = sorted({0, 300, *chance.integers(1, 300, n_cuts).tolist()})
        for start, end in pairwise(cuts):
            part = table(Kind.PREDICTIONS, rows[start:end])
            keep(sessions, model_id, Kind.PREDICTIONS, part)
            fold_all(sessions, NOW)
        with read_only(sessions) as session:
            results.append(
                (
                    session.get_one(Model, model_id).watermark,
                    {row.name: row.n for row in _counted(session, model_id)},
                )
            )
    assert results[0] == results[1]
    assert results[0][1].keys() == {"out_of_order", "late", "ahead"}


FEATURES = {"load": [1.0], "wind": [2.0]}


def _counted(session: Session, model_id: Any) -> Any:
    return session.scalars(select(LogCount).where(LogCount.model_id == model_id))


def test_a_device_that_is_hours_ahead_closes_no_day(sessions: sessionmaker[Session]) -> None:
    model_id = add_model(sessions)
    fast = at((10 * HOUR, 10 * HOUR), (DAY + 6 * HOUR, 10 * HOUR))
    keep(sessions, model_id, Kind.PREDICTIONS, fast)
    fold_all(sessions, NOW)
    with read_only(sessions) as session:
        assert schedule.due(session) == []
        assert session.get_one(Model, model_id).watermark == START + 10 * HOUR


def test_a_longer_lateness_makes_fewer_rows_late(sessions: sessionmaker[Session]) -> None:
    for name, lateness, n_late in (("short", 3600.0, 1), ("long", 7200.0, 0)):
        model_id = add_model(sessions, name=name)
        with unit_of_work(sessions) as session:
            policy = Policy(lateness=timedelta(seconds=lateness))
            session.get_one(Model, model_id).policy = policy
        rows = at((DAY + HOUR, DAY + HOUR), (HOUR, DAY + HOUR))
        keep(sessions, model_id, Kind.PREDICTIONS, rows)
        fold_all(sessions, NOW)
        with read_only(sessions) as session:
            assert row_counters.of_model(session, model_id).get("late", 0) == n_late


def test_counts_are_shown_to_prometheus(sessions: sessionmaker[Session]) -> None:
    model_id = add_model(sessions)
    rows = at((DAY + HOUR, DAY + HOUR), (HOUR, DAY + HOUR))
    keep(sessions, model_id, Kind.PREDICTIONS, rows)
    fold_all(sessions, NOW)

    with read_only(sessions) as session:
        (found,) = (each for each in metrics(session, NOW) if each.name == "seqwatch_log_rows")
    counts = {sample.labels["kind"]: sample.value for sample in found.samples}
    assert counts["late"] == 1.0
