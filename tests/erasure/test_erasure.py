"""After an erasure nothing names the session; everything else is as it was."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session, sessionmaker

from core.errors import Unprocessable
from core.schema import masking
from core.schema.feature import Sensitivity
from core.schema.rows import Kind
from db.queries import segments
from db.queries.log import positions
from db.session import read_only, unit_of_work
from db.tables import Erasure, Finding, Model, Monitor, Quarantine, Rollout, Run, SessionScore
from monitors.slo import silence
from monitors.slo.silence import ArrivalHistory, ArrivalProfile, SilenceParams, SilentEntity
from monitors.summaries.streams import INPUT
from retrain.rollout import Phase
from services.aggregation import entities
from services.alerting import alert_transitions
from services.alerting.alert_transitions import Seen
from services.labels.label_join import join_all
from services.models import monitor_config
from services.models.monitor_config import MonitorPlan
from services.retention.erasure import NotDrained, erase
from services.retention.erasure_requests import ask
from tests import stored
from tests.archive.crashing import LATER
from tests.databases import ON_SQLITE
from tests.erasure.rows import (
    ENTITY,
    GONE,
    STAYS,
    finish,
    labels,
    names,
    number,
    predictions,
    quarantine,
    send,
    want,
)
from tests.erasure.traces import traces
from tests.streams import CONTRACT, START, add_model, keep, prediction, table


@pytest.mark.usefixtures("kept_where")
def test_nothing_in_the_folder_names_the_session_any_more(
    sessions: sessionmaker[Session], engine: Engine, lake: Path, tmp_path: Path
) -> None:
    model_id = add_model(sessions)
    for i in range(4):  # four files a day, and a log of its own for each
        send(sessions, model_id, 10 * i, 10)
        finish(sessions, lake)
    quarantine(
        sessions, model_id, [{"session_id": GONE}, {"session_id": STAYS}, {"row": [GONE]}]
    )
    send(sessions, model_id, 40, 10)  # still in the inbox
    expected = [
        [row for row in predictions(lake, model_id) if not names(row)],
        [row for row in labels(lake, model_id) if not names(row)],
    ]
    assert traces(tmp_path / "lake", GONE)

    erasure_id = want(sessions, model_id)
    assert erase(sessions, lake, model_id, LATER) == 1

    if engine.dialect.name == "sqlite":
        assert traces(tmp_path, GONE) == []
        assert traces(tmp_path, STAYS)  # else the evaluation itself would be blind
    assert traces(tmp_path / "lake", GONE) == []
    kept = [row for row in predictions(lake, model_id) if number(row) < 40]
    assert kept == expected[0]
    assert len(predictions(lake, model_id)) == 100
    left = [row for row in labels(lake, model_id) if row["actual"]["load"][0] < 40]
    assert left == expected[1]
    with read_only(sessions) as session:
        done = session.get_one(Erasure, erasure_id)
        assert done.finished_at == LATER
        # 50 predictions, their events, and the labels that name one of them. Labels by
        # entity are others'.
        assert (done.n_lake, done.n_quarantined) == (150, 2)
        assert [row.content for row in session.scalars(select(Quarantine))] == [
            {"session_id": STAYS}
        ]


@pytest.mark.parametrize("segment_by", ["", "entity"])
def test_by_entity_the_labels_of_the_entity_go_too(
    sessions: sessionmaker[Session],
    engine: Engine,
    lake: Path,
    tmp_path: Path,
    segment_by: str,
) -> None:
    model_id = add_model(sessions, replace(CONTRACT, segment_by=segment_by))
    who = ENTITY[GONE]
    assert who is not None
    send(sessions, model_id, 0, 10)
    finish(sessions, lake)
    with unit_of_work(sessions) as session:
        monitor_config.put(session, model_id, MonitorPlan(name="silence", kind="silence"))
        monitor = session.scalars(select(Monitor)).one()
        found = silence.evaluate(
            ArrivalHistory(
                now=START,
                age=timedelta(),
                profile=ArrivalProfile(seconds=np.ones(168)),
                silent=[SilentEntity(entity=who, last_at=START)],
                n_entities=2,
            ),
            SilenceParams(),
        )
        seen = Seen(version="v1", as_of=START)
        assert alert_transitions.observe(session, monitor, seen, found, START) is not None

    erasure_id = want(sessions, model_id, "entity", who)
    erase(sessions, lake, model_id, LATER)

    with read_only(sessions) as session:
        assert "(erased)" in session.scalars(select(Finding.cause)).one()
        assert entities.names(session, model_id) == [ENTITY[STAYS]]
        # Its place stays taken, but is nobody's.
        given = segments.names(session, model_id).values()
        assert [*given] == ([None, ENTITY[STAYS]] if segment_by else [])
    assert traces(lake, who) == []
    if engine.dialect.name == "sqlite":
        assert traces(tmp_path, who) == []
    assert [row["session_id"] for row in predictions(lake, model_id)] == 10 * [None] + 10 * [
        STAYS
    ]
    with read_only(sessions) as session:
        # 10 predictions, 10 labels that name one of them, 10 labels of the entity.
        assert session.get_one(Erasure, erasure_id).n_lake == 30


@ON_SQLITE
def test_a_name_is_found_as_it_was_sent_and_as_it_was_hashed(
    sessions: sessionmaker[Session], lake: Path
) -> None:
    model_id = add_model(sessions)
    with unit_of_work(sessions) as session:
        model = session.get_one(Model, model_id)
        key = model.mask_key = masking.new_key()
        strict = replace(CONTRACT, sensitive_fields={"session_id": Sensitivity.HASH})
        model.contract = strict
    stored = masking.hashed(key, "session_id", GONE)
    for i, name in enumerate((GONE, stored, STAYS)):  # before the contract grew stricter, after
        row = prediction(START, i, session_id=name)
        keep(sessions, model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, [row]))
    finish(sessions, lake)

    want(sessions, model_id)
    erase(sessions, lake, model_id, LATER)

    assert [row["session_id"] for row in predictions(lake, model_id)] == [STAYS]
    assert traces(lake, stored) == []


@ON_SQLITE
def test_what_is_never_stored_cannot_be_erased(sessions: sessionmaker[Session]) -> None:
    model_id = add_model(sessions)
    with unit_of_work(sessions) as session:
        dropped = replace(CONTRACT, sensitive_fields={"entity": Sensitivity.DROP})
        session.get_one(Model, model_id).contract = dropped
    with pytest.raises(Unprocessable, match="entity is dropped before anything is stored"):
        want(sessions, model_id, "entity")
    with pytest.raises(Unprocessable, match="name one of session_id, entity"):
        want(sessions, model_id, "trace_id")


@ON_SQLITE
def test_who_asks_twice_is_served_once_and_no_name_is_written_down(
    sessions: sessionmaker[Session], lake: Path, tmp_path: Path
) -> None:
    model_id = add_model(sessions)
    first = want(sessions, model_id)
    assert want(sessions, model_id) == first
    assert want(sessions, model_id, "entity") != first
    assert traces(tmp_path, GONE) == []
    assert erase(sessions, lake, model_id, LATER) == 2
    assert erase(sessions, lake, model_id, LATER) == 0
    assert want(sessions, model_id) != first
    with read_only(sessions) as session:
        assert {(run.job, run.subject) for run in session.scalars(select(Run))} == {
            ("erase", str(model_id))
        }


@ON_SQLITE
def test_nobody_s_rows_go_when_nobody_is_found(
    sessions: sessionmaker[Session], lake: Path
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, 0, 5)
    finish(sessions, lake)
    before = predictions(lake, model_id), labels(lake, model_id)
    for who in ("session-that-goes", "' OR 1=1 --", GONE.upper(), "%", "é\U0001f4a3"):
        want(sessions, model_id, who=who)
    assert erase(sessions, lake, model_id, LATER) == 5
    assert (predictions(lake, model_id), labels(lake, model_id)) == before


@ON_SQLITE
@pytest.mark.parametrize("name", ["it's", 'a"b', "back\\slash", "100%_", "é\U0001f4a3"])
def test_names_of_any_letters_are_erased(
    sessions: sessionmaker[Session], lake: Path, name: str
) -> None:
    model_id = add_model(sessions)
    sent = [prediction(START, i, session_id=each) for i, each in enumerate((name, STAYS))]
    keep(sessions, model_id, Kind.PREDICTIONS, table(Kind.PREDICTIONS, sent))
    finish(sessions, lake)
    want(sessions, model_id, who=name)
    erase(sessions, lake, model_id, LATER)
    assert [row["session_id"] for row in predictions(lake, model_id)] == [STAYS]


@ON_SQLITE
def test_what_is_not_folded_yet_is_erased_by_a_later_run(
    sessions: sessionmaker[Session], lake: Path
) -> None:
    model_id = add_model(sessions)
    few = table(Kind.PREDICTIONS, [prediction(START, session_id=GONE)])
    keep(sessions, model_id, Kind.PREDICTIONS, few)
    want(sessions, model_id)
    with pytest.raises(NotDrained):
        erase(sessions, lake, model_id, START)  # too little to fold, and just received
    assert erase(sessions, lake, model_id, LATER) == 1
    assert predictions(lake, model_id) == []


def test_summaries_stay_and_scores_of_the_session_go(
    sessions: sessionmaker[Session], lake: Path
) -> None:
    model_id = add_model(sessions)
    send(sessions, model_id, 0, 20)
    finish(sessions, lake)
    join_all(sessions, lake, LATER)
    with unit_of_work(sessions) as session:
        before = [row.payload for row in stored.rows(session, INPUT)]
        rollout = Rollout(
            model_id=model_id,
            idempotency_key="k",
            champion_rev=0,
            phase=Phase.CANARY,
            reason="a test",
            requested_at=START,
            not_before=START,
            created_at=START,
        )
        session.add(rollout)
        session.flush()
        for name in (GONE, STAYS):
            session.add(
                SessionScore(
                    rollout_id=rollout.id,
                    session_id=name,
                    day=START.date(),
                    served_by="v1",
                    n_expected=1,
                    n_labelled=1,
                    n_failed=0,
                )
            )
    want(sessions, model_id)
    erase(sessions, lake, model_id, LATER)
    with read_only(sessions) as session:
        assert session.scalars(select(SessionScore.session_id)).all() == [STAYS]
        assert [row.payload for row in stored.rows(session, INPUT)] == before
        assert {day for _, day, _ in positions.dirty_days(session)} == {START.date()}
        assert all(rev < 0 for _, _, rev in positions.dirty_days(session))


@ON_SQLITE
def test_an_erasure_of_another_model_is_not_done(
    sessions: sessionmaker[Session], lake: Path
) -> None:
    one, other = add_model(sessions), add_model(sessions, name="other")
    with unit_of_work(sessions) as session:
        ask(session, one, "session_id", GONE, "admin", LATER)
    assert erase(sessions, lake, other, LATER) == 0
    assert erase(sessions, lake, one, LATER) == 1
