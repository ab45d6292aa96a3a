"""Archive: every folded row reaches the lake exactly once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR, SECOND
from core.schema.rows import Kind
from core.window import Window
from db.queries.log import archiving, positions
from db.session import read_only, unit_of_work
from db.tables import Inbox, Receipt, Stream
from lake import tables
from lake.reading import Log
from lake.storage import LakeAstray
from services.aggregation.fold import PATIENCE, decode, fold_all
from services.platform_faults import set_aside
from services.retention.archive import archive, archive_all, forget_receipts
from tests.streams import CONTRACT, START, add_model, keep, label, prediction, table

LATE = START + PATIENCE
ALWAYS = Window(START - 400 * DAY, START + 400 * DAY)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def ids_in(lake: Path, model_id: UUID) -> list[str]:
    rows = Log(lake, model_id).predictions(ALWAYS, ["prediction_id"])
    return [] if rows is None else sorted(rows["prediction_id"].to_pylist())


def send(sessions: sessionmaker[Session], model_id: UUID, *rows: dict[str, object]) -> None:
    keep(sessions, model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, rows))
    fold_all(sessions, LATE)


def send_labels(
    sessions: sessionmaker[Session], model_id: UUID, *rows: dict[str, object]
) -> None:
    keep(sessions, model_id, Kind.LABELS, table(Kind.LABELS, rows))
    fold_all(sessions, LATE)


def marked(sessions: sessionmaker[Session]) -> list[date]:
    with read_only(sessions) as session:
        return [day for _, day, _ in positions.dirty_days(session)]


def test_what_is_folded_moves_from_the_inbox_to_the_lake(
    sessions: sessionmaker[Session], lake: Path
) -> None:
    model_id = add_model(sessions)
    rows = [prediction(START + i * HOUR, i) for i in range(48)]
    send(sessions, model_id, *rows[:20])
    send(sessions, model_id, *rows[20:])

    assert archive_all(sessions, lake, LATE) == 48

    assert ids_in(lake, model_id) == sorted(row["prediction_id"] for row in rows)
    with read_only(sessions) as session:
        assert session.scalars(select(Inbox)).all() == []
        stream = session.scalars(select(Stream)).one()
        assert (stream.folded, stream.archived, stream.n_rows_archived) == (2, 2, 48)
    assert marked(sessions) == [date(2026, 1, 5), date(2026, 1, 6)]


def test_every_column_comes_back_as_it_was_sent(
    sessions: sessionmaker[Session], lake: Path
) -> None:
    model_id = add_model(sessions)
    sent = table(
        Kind.PREDICTIONS,
        [
            prediction(
                START + timedelta(microseconds=1),
                features={"load": [1.5, None], "wind": []},
                output=None,
                entity=None,
                session_id="s",
                step_index=3,
                latency_seconds=0.25,
                cold_start=True,
                cost=1e-9,
            )
        ],
    )
    keep(sessions, model_id, Kind.PREDICTIONS, sent)
    fold_all(sessions, LATE)
    archive_all(sessions, lake, LATE)

    found = Log(lake, model_id).predictions(ALWAYS, sent.column_names)

    assert found is not None
    assert found.to_pylist() == sent.to_pylist()


def test_what_is_not_folded_stays(sessions: sessionmaker[Session], lake: Path) -> None:
    model_id = add_model(sessions)
    keep(sessions, model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, [prediction(START)]))

    assert archive_all(sessions, lake, LATE) == 0
    assert ids_in(lake, model_id) == []


def test_a_crash_after_the_append_is_mended_by_the_next_archive(
    sessions: sessionmaker[Session], lake: Path
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, prediction(START, 1))
    with read_only(sessions) as session:  # append as the archive does, and die
        stream = model_id, Kind.PREDICTIONS
        batch = archiving.groups(session, [stream], 2**20, 2**20)[stream]
        assert batch is not None
        content = decode(positions.payloads(session, batch))
    delta = tables.create_table(lake, model_id, Kind.PREDICTIONS, CONTRACT)
    tables.append(delta, tables.stamped(Kind.PREDICTIONS, CONTRACT, content), 1)
    send(sessions, model_id, prediction(START, 2))

    assert archive_all(sessions, lake, LATE) == 2

    assert len(ids_in(lake, model_id)) == 2
    assert marked(sessions) == [START.date()]


def test_two_archivers_at_once_append_each_group_once(
    sessions: sessionmaker[Session], lake: Path
) -> None:
    model_id = add_model(sessions)
    for i in range(12):
        send(sessions, model_id, prediction(START, i))
    with ThreadPoolExecutor(4) as pool:
        counts = list(
            pool.map(lambda _: archive(sessions, lake, model_id, Kind.PREDICTIONS), range(4))
        )
    assert sum(counts) == 12
    assert len(ids_in(lake, model_id)) == 12


@pytest.mark.parametrize(
    ("group_no", "message"),
    [
        pytest.param(None, "ends at group 0, but the database archived", id="a lost lake"),
        pytest.param(9, "ends at group 9, but the database folded", id="an older database"),
    ],
)
def test_a_lake_that_is_not_the_databases_is_refused(
    sessions: sessionmaker[Session], lake: Path, group_no: int | None, message: str
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, prediction(START, 1))
    archive_all(sessions, lake, LATE)
    send(sessions, model_id, prediction(START, 2))
    other = lake.with_name("other")
    if group_no is not None:
        rows = table(Kind.PREDICTIONS, [prediction(START, 3)])
        delta = tables.create_table(other, model_id, Kind.PREDICTIONS, CONTRACT)
        tables.append(delta, tables.stamped(Kind.PREDICTIONS, CONTRACT, rows), group_no)

    with pytest.raises(LakeAstray, match=message):
        archive(sessions, other, model_id, Kind.PREDICTIONS)


def test_a_new_model_begins_no_new_lake_where_the_old_one_is_missing(
    sessions: sessionmaker[Session], lake: Path
) -> None:
    send(sessions, add_model(sessions), prediction(START, 1))
    archive_all(sessions, lake, LATE)
    new = add_model(sessions, name="new")
    send(sessions, new, prediction(START, 2))
    away = lake.rename(lake.with_name("away"))

    with pytest.raises(LakeAstray, match="missing or empty"):
        archive(sessions, lake, new, Kind.PREDICTIONS)
    assert not lake.exists()

    away.rename(lake)
    assert archive(sessions, lake, new, Kind.PREDICTIONS) == 1


def test_a_lake_astray_does_not_hold_up_other_models(
    sessions: sessionmaker[Session], lake: Path
) -> None:
    lost, well = add_model(sessions), add_model(sessions, name="other")
    send(sessions, lost, prediction(START, 1))
    archive_all(sessions, lake, LATE)
    other = lake.with_name("other")
    (other / "of a third").mkdir(parents=True)
    send(sessions, lost, prediction(START, 2))
    send(sessions, well, prediction(START, 3))

    archive_all(sessions, other, LATE)

    with read_only(sessions) as session:
        (aside,) = set_aside.of_model(session, lost)
    assert aside.error.startswith("LakeAstray: predictions of model")
    assert len(ids_in(other, well)) == 1


def days(*offsets: int) -> list[date]:
    return [START.date() + timedelta(days=offset) for offset in offsets]


Labels = Callable[[str], dict[str, object]]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("labelled", "expected"),
    [
        pytest.param(
            lambda _: label(START + 4 * DAY, [1.0]),
            days(3),
            id="a label at midnight belongs to forecasts of the day before",
        ),
        pytest.param(
            lambda _: label(START + 4 * DAY + 2 * HOUR, [1.0]),
            days(3, 4),
            id="horizon 3: forecasts from two hours earlier reach it too",
        ),
        pytest.param(
            lambda _: label(START + 4 * DAY + 5 * HOUR, [1.0] * 30),
            days(4, 5),
            id="a list reaches into the next day",
        ),
        pytest.param(
            lambda _: label(START - 90 * DAY, [1.0] * 24), [], id="before the first service"
        ),
        pytest.param(
            lambda known: label(None, [1.0], prediction_id=known),
            days(4),
            id="a label by prediction is about that prediction's day",
        ),
        pytest.param(
            lambda _: label(None, [1.0], prediction_id="unknown"),
            [],
            id="a label of an unknown prediction waits for it",
        ),
    ],
)
def test_a_label_marks_the_days_whose_forecasts_it_reaches(
    sessions: sessionmaker[Session], lake: Path, labelled: Labels, expected: list[date]
) -> None:
    model_id = add_model(sessions)
    served = [prediction(START + i * DAY + 5 * HOUR) for i in range(8)]
    send(sessions, model_id, *served)
    archive_all(sessions, lake, LATE)
    with unit_of_work(sessions) as session:
        for _, day, rev in positions.dirty_days(session):
            positions.clean(session, model_id, day, rev)

    send_labels(sessions, model_id, labelled(served[4]["prediction_id"]))
    archive_all(sessions, lake, LATE)

    assert marked(sessions) == expected


def test_a_mark_never_bears_the_same_number_twice(
    sessions: sessionmaker[Session], lake: Path
) -> None:
    model_id = add_model(sessions)
    seen = []
    for i in range(3):
        send(sessions, model_id, prediction(START, i))
        send_labels(sessions, model_id, label(START + HOUR, [1.0]))
        archive_all(sessions, lake, LATE)
        with unit_of_work(sessions) as session:
            [(_, day, rev)] = positions.dirty_days(session, model_id)
            assert not positions.clean(session, model_id, day, rev - 1)
            assert positions.clean(session, model_id, day, rev)
        seen.append(rev)
    assert seen == sorted({*seen})


def test_old_receipts_are_forgotten(sessions: sessionmaker[Session]) -> None:
    model_id = add_model(sessions)
    with unit_of_work(sessions) as session:
        for i in range(3):
            session.add(
                Receipt(
                    model_id=model_id,
                    kind=Kind.LABELS,
                    batch_id=str(i),
                    digest=b"",
                    n_accepted=1,
                    n_quarantined=0,
                    received_at=START + i * HOUR,
                )
            )
    with unit_of_work(sessions) as session:
        assert forget_receipts(session, START + HOUR) == 1


def test_rows_wait_for_others_but_not_for_long(
    sessions: sessionmaker[Session], lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, prediction(START, 1))  # received at START
    after = timedelta(minutes=5)

    assert archive_all(sessions, lake, START + after - SECOND, after) == 0
    assert archive_all(sessions, lake, START + after, after) == 1

    send(sessions, model_id, prediction(START, 2))
    assert archive_all(sessions, lake, START - HOUR, after) == 1  # the clock was set back

    send(sessions, model_id, prediction(START, 3))
    assert archive_all(sessions, lake, START + SECOND, after) == 0
    monkeypatch.setattr("services.retention.archive.ENOUGH", 100)
    assert archive_all(sessions, lake, START + SECOND, after) == 1


def test_the_disk_has_all_rows_before_the_database_forgets_any(
    sessions: sessionmaker[Session], lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_ids = [add_model(sessions, name=name) for name in ("a", "b")]
    for model_id in model_ids:
        send(sessions, model_id, prediction(START, 1))

    def broken(_: object) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr("lake.storage.sync", broken)
    with pytest.raises(OSError, match="the disk is gone"):
        archive_all(sessions, lake, LATE)
    with read_only(sessions) as session:
        assert len(session.scalars(select(Inbox)).all()) == 2
    monkeypatch.undo()

    assert archive_all(sessions, lake, LATE) == 2
    assert [len(ids_in(lake, model_id)) for model_id in model_ids] == [1, 1]
