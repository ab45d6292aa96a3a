"""From a reference of two stretches, with a fault between them, to findings."""

from collections.abc import Collection
from typing import TypeAlias
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.schema.rows import REFERENCE, Kind
from core.window import Stretches, Window
from db.queries.log import recompute_marks
from db.session import read_only, unit_of_work
from db.tables import Finding, Monitor, Version
from monitors.finding import Outcome
from services.aggregation.fold import fold_all
from services.evaluation.baseline_cache import Baselines
from services.evaluation.evaluate_slot import evaluate_slot
from tests.monitors.streams import ar1
from tests.streams import START, add_served_model, keep, prediction, table

HOLE, N_REFERENCE, N_DAYS = range(25, 34), 60, 63
NOW = START + 400 * DAY
KINDS = {
    "input_drift": {"window": "P1D", "days_between_false_alarms": 1000.0},
    "temporal_pattern": {"window": "P2D", "days_between_false_alarms": 1000.0},
    "data_quality": {},
}
Found: TypeAlias = dict[str, tuple[Outcome, float | None, float | None]]


def day(number: int) -> Window:
    return Window(START + number * DAY, START + (number + 1) * DAY)


def found(
    sessions: sessionmaker[Session], name: str, reference: Stretches, days: Collection[int]
) -> tuple[UUID, Found]:
    """Send the rows of some days, with a fault in the hole, and evaluate the last one."""
    model_id = add_served_model(sessions, name=name, monitors=KINDS)
    with unit_of_work(sessions) as session:
        version = session.scalars(select(Version).where(Version.model_id == model_id)).one()
        version.reference = reference
    values = 10.0 + ar1(0.5, (N_DAYS * 24, 2), 5)
    for n in HOLE:
        values[n * 24 : n * 24 + 24, 1] = 1000.0 + n % 2
    rows = [
        prediction(
            START + hour * HOUR,
            version=REFERENCE if hour < N_REFERENCE * 24 else "v1",
            features={"load": [load], "wind": [wind]},
            output={"load": [load] * 3},
        )
        for hour, (load, wind) in enumerate(values.tolist())
        if hour // 24 in days
    ]
    keep(sessions, model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, rows), NOW)
    fold_all(sessions, NOW + HOUR)
    evaluate_slot(sessions, Baselines(), model_id, START + (N_DAYS - 1) * DAY, NOW)
    with read_only(sessions) as session:
        query = select(Monitor.kind, Finding.outcome, Finding.value, Finding.threshold)
        own = query.join(Monitor).where(Finding.model_id == model_id)
        return model_id, {
            kind: (how, value, at) for kind, how, value, at in session.execute(own)
        }


def test_what_happened_between_two_stretches_is_as_if_unobserved(
    sessions: sessionmaker[Session],
) -> None:
    every = range(N_DAYS)
    parts = (
        Window(START, day(HOLE.start).start),
        Window(day(HOLE.stop).start, day(N_REFERENCE).start),
    )
    whole = (Window(START, day(N_REFERENCE).start),)
    model_id, apart = found(sessions, "apart", parts, every)
    _, unobserved = found(sessions, "unobserved", whole, [n for n in every if n not in HOLE])
    assert apart == unobserved
    assert apart.keys() == KINDS.keys()
    assert {outcome for outcome, *_ in apart.values()} <= {Outcome.OK, Outcome.BREACH}

    def late(number: int) -> int:
        with unit_of_work(sessions) as session:
            recompute_marks.touch(session, {model_id: [day(number).start.date()]})
        with read_only(sessions) as session:
            query = select(Version.reference_rev).where(Version.model_id == model_id)
            return session.scalars(query).one()

    assert [late(number) for number in (HOLE.start + 2, HOLE.stop)] == [0, 1]
