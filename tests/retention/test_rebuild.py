"""Summaries are made again from the log: the same, to the bit, whatever was lost of them."""

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.errors import Conflict, Unprocessable
from core.schema.events import EVENT_TYPES
from core.schema.rows import Kind
from db.queries.queue import runs
from db.session import read_only, unit_of_work
from db.tables import Model, SummaryRow
from monitors.slo.serving import SERVING
from monitors.slo.silence import ARRIVALS
from monitors.summaries.streams import INPUT
from services.aggregation.fold import fold, fold_all
from services.labels.label_join import join_all
from services.retention import rebuild
from services.retention.archive import archive_all
from services.retention.rebuild import Request
from tests import stored
from tests.late.world import BY_SHOP, hours, in_shops
from tests.streams import START, add_model, event, keep, prediction, table

LATER = START + 100 * DAY


@pytest.fixture
def model_id(sessions: sessionmaker[Session], tmp_path: Path) -> UUID:
    """A model of past and served rows in three shops, with labels."""
    model_id = add_model(sessions, BY_SHOP)
    for rows in in_shops(hours(2, 3)):
        for kind in Kind:
            some = [row for of, row in rows if of is kind]
            if some:
                measured = [{"queue_length": 3, "cost": 0.1, **row} for row in some]
                fields = some if kind is Kind.LABELS else measured
                keep(sessions, model_id, kind, table(kind, fields, BY_SHOP))
    events = [
        event(START + i * HOUR, i, type=name, duration_seconds=0.1, cpu_share=0.5)
        for i, name in enumerate(EVENT_TYPES)
    ]
    keep(sessions, model_id, Kind.EVENTS, table(Kind.EVENTS, events))
    settle(sessions, tmp_path)
    return model_id


def settle(sessions: sessionmaker[Session], lake: Path) -> None:
    fold_all(sessions, LATER)
    archive_all(sessions, lake, LATER)
    join_all(sessions, lake, LATER)


def kept(sessions: sessionmaker[Session]) -> dict[tuple[Any, ...], bytes]:
    with read_only(sessions) as session:
        return {
            (row.stream, row.start, row.version): row.payload
            for row in session.scalars(select(SummaryRow))
            # Of wall time, and of all time: not of the rows in the lake.
            if row.stream != ARRIVALS.name and not row.stream.startswith("total_")
        }


def made_again(sessions: sessionmaker[Session], lake: Path, asked: Request) -> int:
    n_days = rebuild.rebuild(sessions, lake, asked, LATER)
    join_all(sessions, lake, LATER)
    return n_days


def test_what_was_lost_is_there_again_and_the_rest_unchanged(
    sessions: sessionmaker[Session], tmp_path: Path, model_id: UUID
) -> None:
    before = kept(sessions)
    assert {stream for stream, _, _ in before} == {*rebuild.names()} - {
        *("window_profile", "calibration", "shadow_errors", "input_grains")
    }
    with unit_of_work(sessions) as session:
        for i, row in enumerate(session.scalars(select(SummaryRow)).all()):
            if i % 3 and row.stream != ARRIVALS.name:
                session.delete(row)
    assert made_again(sessions, tmp_path, Request(model_id=model_id)) == 5
    assert kept(sessions) == before


def test_one_stream_since_a_day(
    sessions: sessionmaker[Session], tmp_path: Path, model_id: UUID
) -> None:
    before = kept(sessions)
    with unit_of_work(sessions) as session:
        stored.drop(session, INPUT)
        [first, *_] = stored.rows(session, SERVING)
        first.payload = b"wrong"
    since = (START + 3 * DAY).date()
    asked = Request(model_id=model_id, since=since, streams=("input",))
    assert made_again(sessions, tmp_path, asked) == 2
    after = kept(sessions)
    again = {key: of for key, of in before.items() if key[0] == "input"}
    assert {key: of for key, of in after.items() if key[0] == "input"} == {
        key: of for key, of in again.items() if key[1] >= START + 3 * DAY
    }
    assert b"wrong" in after.values()


def test_rows_that_come_meanwhile_wait_and_count_once(
    sessions: sessionmaker[Session], tmp_path: Path, model_id: UUID
) -> None:
    asked = Request(model_id=model_id)
    features = {"load": [1.0], "wind": [2.0], "shop": ["a"]}
    late = prediction(START + 4 * DAY, prediction_id="new", features=features)
    keep(sessions, model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, [late], BY_SHOP))
    with unit_of_work(sessions) as session:
        rebuild.ask(session, asked, LATER)
    assert fold_all(sessions, LATER) == 0
    made_again(sessions, tmp_path, asked)
    with unit_of_work(sessions) as session:
        claim = runs.claim(session, LATER, DAY, [rebuild.JOB])
        assert claim is not None
        assert Request.of(claim.subject) == asked
        runs.finish(session, claim, LATER)
    settle(sessions, tmp_path)
    whole = kept(sessions)
    made_again(sessions, tmp_path, asked)
    assert kept(sessions) == whole


def test_a_run_that_died_is_begun_anew(
    sessions: sessionmaker[Session],
    tmp_path: Path,
    model_id: UUID,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, n_days, rows_of = kept(sessions), 0, rebuild._rows

    def dies(*given: Any) -> Any:
        nonlocal n_days
        n_days += 1
        if n_days == 3:
            raise OSError("killed")
        return rows_of(*given)

    monkeypatch.setattr(rebuild, "_rows", dies)
    asked = Request(model_id=model_id)
    with pytest.raises(OSError, match="killed"):
        rebuild.rebuild(sessions, tmp_path, asked, LATER)
    assert {key: kept(sessions)[key] for key in before} == before  # monitors read these
    assert made_again(sessions, tmp_path, asked) == 5
    assert kept(sessions) == before


def test_a_fold_in_flight_is_noticed(
    sessions: sessionmaker[Session],
    tmp_path: Path,
    model_id: UUID,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows_of = rebuild._rows

    def folds(*given: Any) -> Any:
        features = {"load": [1.0], "wind": [2.0], "shop": ["a"]}
        late = prediction(START + 4 * DAY, prediction_id="new", features=features)
        keep(sessions, model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, [late], BY_SHOP))
        assert fold(sessions, model_id, Kind.PREDICTIONS, LATER) == 1
        monkeypatch.setattr(rebuild, "_rows", rows_of)
        return rows_of(*given)

    monkeypatch.setattr(rebuild, "_rows", folds)
    with pytest.raises(Conflict, match="folded meanwhile"):
        rebuild.rebuild(sessions, tmp_path, Request(model_id=model_id), LATER)
    settle(sessions, tmp_path)
    whole = kept(sessions)
    made_again(sessions, tmp_path, Request(model_id=model_id))
    assert {key: of for key, of in whole.items() if "(new)" not in key[0]} == kept(sessions)


def test_a_stream_that_there_is_not_is_refused(
    sessions: sessionmaker[Session], model_id: UUID
) -> None:
    with (
        unit_of_work(sessions) as session,
        pytest.raises(Unprocessable, match="there are input"),
    ):
        rebuild.ask(session, Request(model_id=model_id, streams=("inputs",)), LATER)
    with read_only(sessions) as session:
        assert session.scalars(select(Model.id)).all() == [model_id]
