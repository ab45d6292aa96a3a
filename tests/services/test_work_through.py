"""Which errors set a stream aside, and which are raised."""

import sqlite3
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from core.schema.rows import Kind, Stage
from db.payload_files import PayloadGone
from db.session import read_only
from db.tables import SetAside
from services.platform_faults.set_aside import work_through
from tests.databases import ON_SQLITE
from tests.streams import START, add_model


@ON_SQLITE
@pytest.mark.parametrize(
    ("outcomes", "n_aside", "raises"),
    [
        pytest.param([OSError(), 0], 1, False, id="another got through"),
        pytest.param([OSError(), OSError()], 0, True, id="none got through"),
        pytest.param([ValueError(), ValueError()], 2, False, id="errors of rows"),
        pytest.param([PayloadGone(), PayloadGone()], 2, False, id="a lost file"),
    ],
)  # fmt: skip
def test_errors_of_the_surroundings_set_no_stream_aside(
    sessions: sessionmaker[Session], outcomes: list[Any], n_aside: int, raises: bool
) -> None:
    streams = [(add_model(sessions, name=f"m-{i}"), Kind.LABELS) for i in range(2)]
    outcome_of = dict(zip(streams, outcomes, strict=True))

    def act(model_id: UUID, kind: Kind) -> int:
        outcome = outcome_of[model_id, kind]
        if isinstance(outcome, Exception):
            raise outcome
        return int(outcome)

    if raises:
        with pytest.raises(OSError):  # noqa: PT011
            work_through(sessions, Stage.ARCHIVE, streams, act, START)
    else:
        work_through(sessions, Stage.ARCHIVE, streams, act, START)
    with read_only(sessions) as session:
        assert len(session.scalars(select(SetAside)).all()) == n_aside


def test_a_database_that_does_not_answer_is_raised_at_once(
    sessions: sessionmaker[Session],
) -> None:
    streams = [(add_model(sessions, name=f"m-{i}"), Kind.LABELS) for i in range(2)]
    calls = []
    locked = sqlite3.OperationalError("locked")
    locked.sqlite_errorcode = sqlite3.SQLITE_BUSY

    def act(model_id: UUID, _: Kind) -> int:
        calls.append(model_id)
        raise OperationalError("SELECT 1", {}, locked)

    with pytest.raises(OperationalError):
        work_through(sessions, Stage.FOLD, streams, act, START)
    assert len(calls) == 1


def test_a_model_that_was_deleted_meanwhile_holds_up_no_other(
    sessions: sessionmaker[Session],
) -> None:
    streams = [(uuid4(), Kind.LABELS), (add_model(sessions), Kind.LABELS)]
    calls = []

    def act(model_id: UUID, _: Kind) -> int:
        calls.append(model_id)
        if model_id == streams[0][0]:
            raise KeyError(model_id)
        return 0

    work_through(sessions, Stage.ARCHIVE, streams, act, START)
    assert calls == [model_id for model_id, _ in streams]
