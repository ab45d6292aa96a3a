"""Rows of old days leave the lake; what was counted of them stays."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.errors import Unprocessable
from core.policy import Policy
from core.schema.rows import Kind
from core.window import Window
from db.queries.log import positions
from db.session import read_only, unit_of_work
from db.tables import Model, Quarantine, Rollout
from lake.reading import Log
from lake.tables import open_table
from monitors.summaries.streams import INPUT
from retrain.rollout import Phase
from services.aggregation.fold import fold_all
from services.labels.error_days import ERRORS, from_bytes
from services.labels.label_join import join_all
from services.retention.archive import archive_all
from services.retention.rebuild import Request, rebuild
from services.retention.retention import first_kept, retain_all
from tests import stored
from tests.archive.crashing import LATER
from tests.erasure.crashing import work
from tests.erasure.rows import ALWAYS
from tests.killed import assert_killed
from tests.streams import START, add_model, event, keep, label, prediction, table

ROOT = Path(__file__).parents[2]
LITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
N_DAYS, KEEP, A_DAY = 21, 18, 4  # the last: rows of each kind
FIRST = START.date() + timedelta(days=N_DAYS - KEEP)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def model_id(sessions: sessionmaker[Session], lake: Path) -> UUID:
    """A model with a prediction and a label for each quarter of some days."""
    model_id = add_model(sessions)
    hours = [START + i * 6 * HOUR for i in range(A_DAY * N_DAYS)]
    rows = [prediction(at, i) for i, at in enumerate(hours)]
    keep(sessions, model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, rows))
    labels = [label(at, [1.0]) for at in hours]
    keep(sessions, model_id, Kind.LABELS, table(Kind.LABELS, labels))
    events = [event(at, i) for i, at in enumerate(hours)]
    keep(sessions, model_id, Kind.EVENTS, table(Kind.EVENTS, events))
    finish(sessions, lake)
    policy(sessions, model_id, keep_rows=KEEP * DAY)
    return model_id


def finish(sessions: sessionmaker[Session], lake: Path) -> None:
    fold_all(sessions, LATER)
    archive_all(sessions, lake, LATER)


def policy(sessions: sessionmaker[Session], model_id: UUID, **changes: Any) -> None:
    with unit_of_work(sessions) as session:
        session.get_one(Model, model_id).policy = Policy(**changes)


def days(lake: Path, model_id: UUID, kind: Kind = Kind.PREDICTIONS) -> list[date]:
    delta = open_table(lake, model_id, kind)
    assert delta is not None
    return sorted({*delta.to_pyarrow_table(columns=["day"])["day"].to_pylist()})


def folders(lake: Path) -> set[date]:
    """Return the days of which there are files, named by a version or not."""
    return {
        date.fromisoformat(path.parent.name.removeprefix("day="))
        for path in lake.rglob("day=*/*.parquet")
    }


def test_old_days_leave_the_lake_and_their_files_the_disk(
    sessions: sessionmaker[Session], lake: Path, model_id: UUID
) -> None:
    assert retain_all(sessions, lake, START) == 3 * A_DAY * (N_DAYS - KEEP)

    expected = [FIRST + timedelta(days=i) for i in range(KEEP)]
    for kind in Kind:
        assert days(lake, model_id, kind) == expected
    assert folders(lake) == {*expected}
    found = Log(lake, model_id).predictions(ALWAYS, ["at"])
    assert found is not None
    assert found.num_rows == A_DAY * KEEP
    assert retain_all(sessions, lake, START) == 0


@LITE
def test_what_was_counted_stays_also_when_labels_come_late(
    sessions: sessionmaker[Session], lake: Path, model_id: UUID
) -> None:
    def counted() -> tuple[int, int]:
        with read_only(sessions) as session:
            errors = [from_bytes(row.payload) for row in stored.rows(session, ERRORS)]
            n_hours = len(stored.rows(session, INPUT))
            return n_hours, sum(day.n_predictions for day in errors)

    join_all(sessions, lake, LATER)
    before = counted()
    assert before[1] == A_DAY * N_DAYS
    retain_all(sessions, lake, START)
    late = table(Kind.LABELS, [label(START + 5 * HOUR, [2.0]), label(LATER - 400 * DAY, [2.0])])
    keep(sessions, model_id, Kind.LABELS, late)
    finish(sessions, lake)
    join_all(sessions, lake, LATER)
    assert counted() == before
    retain_all(sessions, lake, START)
    assert min(days(lake, model_id, Kind.LABELS)) == FIRST


@LITE
def test_a_mark_of_a_dropped_day_goes_with_it(
    sessions: sessionmaker[Session], lake: Path, model_id: UUID
) -> None:
    with unit_of_work(sessions) as session:
        positions.mark_dirty(session, model_id, [START.date(), FIRST], 99)
    retain_all(sessions, lake, START)
    with read_only(sessions) as session:
        assert min(day for _, day, _ in positions.dirty_days(session)) == FIRST


@LITE
def test_quarantine_forgets_as_well(
    sessions: sessionmaker[Session], lake: Path, model_id: UUID
) -> None:
    with unit_of_work(sessions) as session:
        for i in range(N_DAYS):
            session.add(
                Quarantine(
                    model_id=model_id,
                    kind=Kind.LABELS,
                    batch_id="b",
                    row=i,
                    field="at",
                    reason="is missing",
                    content={},
                    received_at=START + i * DAY,
                )
            )
    retain_all(sessions, lake, START)
    with read_only(sessions) as session:
        left = session.scalars(select(Quarantine.row).order_by(Quarantine.row)).all()
    assert left == [*range(N_DAYS - KEEP, N_DAYS)]


@LITE
@pytest.mark.parametrize(
    ("phase", "n_rows"),
    [
        pytest.param(Phase.REQUESTED, 0, id="training is asked for"),
        pytest.param(Phase.TRAINING, 0, id="training runs"),
        pytest.param(Phase.GATING, 0, id="at the gate"),
        pytest.param(Phase.CANARY, 3 * A_DAY * (N_DAYS - KEEP), id="trained"),
    ],
)
def test_a_running_training_keeps_its_rows(
    sessions: sessionmaker[Session], lake: Path, model_id: UUID, phase: Phase, n_rows: int
) -> None:
    with unit_of_work(sessions) as session:
        session.add(
            Rollout(
                model_id=model_id,
                idempotency_key="k",
                champion_rev=0,
                phase=phase,
                reason="a test",
                requested_at=START,
                not_before=START,
                created_at=START,
            )
        )
    assert retain_all(sessions, lake, START) == n_rows


@LITE
def test_past_states_can_still_be_read_but_for_the_dropped_days(
    sessions: sessionmaker[Session], lake: Path, model_id: UUID
) -> None:
    pinned = Log(lake, model_id).snapshot
    retain_all(sessions, lake, START)
    past = Log(lake, model_id, pinned)
    window = Window(START + (N_DAYS - KEEP) * DAY, START + N_DAYS * DAY)
    found = past.predictions(window, ["at"])
    assert found is not None
    assert found.num_rows == A_DAY * KEEP


@LITE
@pytest.mark.parametrize(
    "point",
    [
        pytest.param(("lake.erase", "delete_days", "after"), id="predictions deleted"),
        pytest.param(
            ("lake.erase", "drop_files", "after"), id="their files gone", marks=pytest.mark.slow
        ),
    ],
)
def test_killed_in_between_the_next_run_does_the_rest(
    sessions: sessionmaker[Session],
    database_url: str,
    lake: Path,
    model_id: UUID,
    point: tuple[str, str, str],
) -> None:
    assert_killed(work, "retain", database_url, lake, model_id, *point)
    retain_all(sessions, lake, START)
    assert min(folders(lake)) == FIRST
    assert days(lake, model_id)[0] == days(lake, model_id, Kind.LABELS)[0] == FIRST


@LITE
def test_without_a_policy_everything_is_kept(
    sessions: sessionmaker[Session], lake: Path, model_id: UUID
) -> None:
    policy(sessions, model_id)
    assert retain_all(sessions, lake, START) == 0
    with read_only(sessions) as session:
        assert first_kept(session.get_one(Model, model_id)) is None


@pytest.mark.parametrize("n_days", [0, 16, 40_000])
def test_a_policy_that_leaves_nothing_to_train_on_is_refused(n_days: int) -> None:
    with pytest.raises(Unprocessable, match="keep_rows"):
        Policy(keep_rows=n_days * DAY)


@LITE
def test_a_rebuild_from_before_the_first_day_that_is_kept_leaves_what_was_counted(
    sessions: sessionmaker[Session], lake: Path, model_id: UUID
) -> None:
    retain_all(sessions, lake, START)
    with read_only(sessions) as session:
        before = [row.start for row in stored.rows(session, INPUT)]
    asked = Request(model_id=model_id, since=START.date())
    assert rebuild(sessions, lake, asked, LATER) == KEEP
    with read_only(sessions) as session:
        assert [row.start for row in stored.rows(session, INPUT)] == before
