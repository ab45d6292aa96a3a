from datetime import datetime
from uuid import UUID

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.statements import statements
from core.durations import DAY, HOUR
from core.window import Window
from db.queries import summaries
from db.queries.summary_rows import SummaryRows, Wanted
from db.session import read_only, unit_of_work
from monitors.slo.serving import SERVING
from services.labels.error_days import ERRORS
from tests import stored
from tests.streams import START, add_model

N_HOURS = 24


def at(hour: int) -> datetime:
    return START + hour * HOUR


@pytest.fixture
def model_id(sessions: sessionmaker[Session]) -> UUID:
    """Two versions served in turn, and both in the last hour."""
    model_id = add_model(sessions)
    with unit_of_work(sessions) as session:
        for hour in range(N_HOURS):
            stored.put_served(session, model_id, f"v{hour % 2}", at(hour), n=hour + 1)
        stored.put_served(session, model_id, "v0", at(N_HOURS - 1), n=1)
    return model_id


WINDOWS = [
    pytest.param([Window(at(2), at(5))], id="one"),
    pytest.param([Window(at(2), at(5)), Window(at(9), at(10))], id="two apart"),
    pytest.param([Window(at(2), at(5)), Window(at(4), at(9))], id="two that overlap"),
    pytest.param([Window(at(9), at(30)), Window(at(1), at(2))], id="the later one first"),
    pytest.param([Window(at(40), at(50))], id="without a row"),
]


@pytest.mark.parametrize("versions", [(), ("v1",)], ids=["of all versions", "of one version"])
@pytest.mark.parametrize("windows", WINDOWS)
def test_rows_are_those_of_a_statement_of_their_own(
    sessions: sessionmaker[Session],
    model_id: UUID,
    windows: list[Window],
    versions: tuple[str, ...],
) -> None:
    with read_only(sessions) as session:
        rows = SummaryRows(session, model_id)
        rows.fetch([Wanted(SERVING, (Window(at(0), at(3)),))])  # another reader's
        found = rows.rows(SERVING, windows, versions)
        alone = summaries.rows(session, [SERVING], model_id, windows, versions)
    assert [(row.start, row.version, row.payload) for row in found] == [
        (row.start, row.version, row.payload) for row in alone
    ]


def test_what_several_readers_want_is_read_in_one_statement(
    sessions: sessionmaker[Session], engine: Engine, model_id: UUID
) -> None:
    lately, before = Window(at(6), at(24)), Window(at(0), at(8))
    with read_only(sessions) as session, statements(engine) as seen:
        rows = SummaryRows(session, model_id)
        rows.fetch([Wanted(SERVING, (lately,)), Wanted(ERRORS, (before,))])
        rows.fetch([Wanted(SERVING, (Window(at(7), at(9)),))])
        whole = rows.read(SERVING, [lately])
        assert rows.read(SERVING, [lately]) is whole
        assert rows.rows(ERRORS, [before]) == []
        assert len(seen) == 1
        rows.read(SERVING, [Window(at(0), at(1))])  # not read yet
        assert len(seen) == 2


def test_what_is_cut_is_counted_by_version(
    sessions: sessionmaker[Session], model_id: UUID
) -> None:
    with read_only(sessions) as session:
        rows = SummaryRows(session, model_id)
        rows.fetch([Wanted(SERVING, (Window(at(0), at(24)),))])
        found = rows.by_version(SERVING, Window(at(20), at(24)))
        counts = {
            name: int(own.within(Window(at(20), at(24))).counts.sum())
            for name, own in found.items()
        }
        assert counts == {"v0": 21 + 23 + 1, "v1": 22 + 24}
        more = rows.by_version(SERVING, Window(at(0), at(24) + DAY))
    assert {name: int(own.counts.sum()) for name, own in more.items()} == {
        "v0": sum(range(1, 25, 2)) + 1,
        "v1": sum(range(2, 25, 2)),
    }
