"""Streams that are folded in one transaction: as if each were folded alone."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.statements import statements
from core.durations import DAY, HOUR, MINUTE
from core.schema.rows import Kind
from db.queries.log import positions
from db.session import read_only, unit_of_work
from db.tables import (
    EntityState,
    Inbox,
    LateDay,
    LogCount,
    Model,
    Stream,
    SummaryLayout,
    SummaryRow,
)
from monitors.summaries.summary import N
from services.aggregation import fold as folding
from services.aggregation.fold import PATIENCE, fold, fold_all, fold_together
from services.platform_faults import set_aside
from tests.databases import ON_SQLITE
from tests.fold.test_fold import send, stored
from tests.killed import assert_killed
from tests.late import crashing
from tests.streams import START, add_model, keep, label, prediction, table

LATE = START + 10 * DAY + PATIENCE
N_MODELS = 4


def add_models(
    sessions: sessionmaker[Session], n: int = N_MODELS, name: str = "m"
) -> list[UUID]:
    return [add_model(sessions, name=f"{name}{i}") for i in range(n)]


def streams(model_ids: Sequence[UUID], *kinds: Kind) -> list[tuple[UUID, Kind]]:
    return [(model_id, kind) for model_id in model_ids for kind in kinds or (Kind.PREDICTIONS,)]


def counted(sessions: sessionmaker[Session], model_id: UUID) -> float:
    return float(stored(sessions, model_id).moments[:, 0, N].sum())


def batch(number: int, i: int) -> list[dict[str, Any]]:
    """Return rows of one model: of two versions and entities, some late, one in the shadow."""
    first = START + number * (DAY + 7 * MINUTE)
    return [
        prediction(
            first - (j == 2) * number * DAY + j * (5 + i) * MINUTE,
            100 * number + j,
            version="v2" if j % 4 == 3 else "v1",
            entity=f"e{j % (i + 1)}",
            features={"load": [float(i + j), 2.0 * j], "wind": [0.1 * j] if j else [None]},
            shadow=j == 5,
            latency_seconds=0.01 * j,
        )
        for j in range(3 + i + number)
    ]


def tables(sessions: sessionmaker[Session], model_id: UUID) -> dict[str, list[Any]]:
    """Return what a fold writes of a model; of a mark, which is drawn, only its day."""
    columns: dict[str, tuple[Any, Any]] = {
        "summaries": (SummaryRow, ("stream", "start", "version", "level", "payload")),
        "layouts": (SummaryLayout, ("stream", "payload")),
        "entities": (EntityState, ("payload", "inputs")),
        "counters": (LogCount, ("name", "n")),
        "late days": (LateDay, ("day",)),
        "positions": (Stream, ("kind", "folded")),
        "entries": (Inbox, ("kind", "group_no", "n_rows")),
    }
    with read_only(sessions) as session:
        found: dict[str, list[Any]] = {}
        for name, (of, names) in columns.items():
            rows = session.execute(
                select(*(getattr(of, each) for each in names)).where(of.model_id == model_id)
            )
            found[name] = sorted(map(tuple, rows))
        found["clock"] = [session.get_one(Model, model_id).watermark]
    return found


def test_what_is_folded_together_is_stored_as_if_each_stream_were_folded_alone(
    sessions: sessionmaker[Session],
) -> None:
    together, alone = add_models(sessions, name="a"), add_models(sessions, name="b")
    both = Kind.PREDICTIONS, Kind.LABELS
    for number in range(4):
        for i in range(N_MODELS):
            for model_id in (together[i], alone[i]):
                send(sessions, model_id, *batch(number, i))
                if i % 2:
                    rows = table(Kind.LABELS, [label(START + number * HOUR, [1.0])])
                    keep(sessions, model_id, Kind.LABELS, rows)
        taken = fold_together(sessions, streams(together, *both), LATE)
        each = {of: fold(sessions, *of, LATE) for of in streams(alone, *both)}
        assert sum(taken.values()) == sum(each.values()) > 0

    for model_id, other in zip(together, alone, strict=True):
        found = tables(sessions, model_id)
        assert found == tables(sessions, other)
        assert all(found.values())


def test_the_number_of_statements_does_not_grow_with_that_of_streams(
    sessions: sessionmaker[Session],
) -> None:
    model_ids = add_models(sessions, 12)
    n_statements: list[int] = []
    for some in (model_ids, model_ids[:2], model_ids):
        for model_id in some:
            send(sessions, model_id, prediction(START + len(n_statements) * HOUR))
        with statements(sessions.kw["bind"]) as seen:
            assert sum(fold_together(sessions, streams(some), LATE).values()) == len(some)
        n_statements.append(len(seen))

    assert n_statements[1] == n_statements[2] <= 20  # the first time, edges are frozen


def test_a_stream_that_another_worker_folds_meanwhile_is_left_out(
    sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    model_ids = add_models(sessions)
    for model_id in model_ids:
        send(sessions, model_id, prediction(START))
    decode, first = folding.decode, [True]

    def meanwhile(payloads: Sequence[bytes]) -> Any:
        if first and first.pop():
            assert fold(sessions, model_ids[1], Kind.PREDICTIONS, LATE) == 1
        return decode(payloads)

    monkeypatch.setattr(folding, "decode", meanwhile)
    taken = fold_together(sessions, streams(model_ids), LATE)

    assert {model_id: n for (model_id, _), n in taken.items() if not n} == {model_ids[1]: 0}
    assert [counted(sessions, model_id) for model_id in model_ids] == [1] * N_MODELS
    assert fold_all(sessions, LATE) == 0


def test_a_stream_whose_entry_was_taken_out_meanwhile_undoes_no_other(
    sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    model_ids = add_models(sessions)
    for model_id in model_ids:
        send(sessions, model_id, prediction(START))
    decode, first = folding.decode, [True]

    def meanwhile(payloads: Sequence[bytes]) -> Any:
        if first and first.pop():
            with unit_of_work(sessions) as session:
                own = select(Inbox.id).where(Inbox.model_id == model_ids[2])
                positions.take_out(session, session.scalars(own).one(), None)
        return decode(payloads)

    monkeypatch.setattr(folding, "decode", meanwhile)

    assert fold_all(sessions, LATE) == N_MODELS - 1
    assert {counted(sessions, of) for of in model_ids if of != model_ids[2]} == {1}


def test_a_stream_that_cannot_be_written_is_set_aside_alone(
    sessions: sessionmaker[Session],
) -> None:
    model_ids = add_models(sessions)
    for number in range(2):
        for model_id in model_ids:
            send(sessions, model_id, prediction(START, number))
        if number:
            break
        assert fold_all(sessions, LATE) == N_MODELS
        with unit_of_work(sessions) as session:
            ill = SummaryRow.model_id == model_ids[0]
            session.execute(update(SummaryRow).where(ill).values(payload=b"\x09 no summary"))

    assert fold_all(sessions, LATE) == N_MODELS - 1

    assert {counted(sessions, model_id) for model_id in model_ids[1:]} == {2}
    with read_only(sessions) as session:
        aside = set_aside.of_models(session, model_ids)
        assert [len(aside[model_id]) for model_id in model_ids] == [1, 0, 0, 0]
        assert positions.position(session, model_ids[0], Kind.PREDICTIONS) == (1, 0)


@pytest.mark.parametrize(
    ("module", "function"),
    [
        pytest.param("db.queries.log.unfolded", "number", id="numbered"),
        pytest.param("db.queries.summaries", "add_all", id="summarised"),
        pytest.param("services.aggregation.folded", "_keep_time", id="clocks moved"),
    ],
)
@ON_SQLITE
def test_a_worker_that_is_killed_before_the_commit_has_counted_no_stream(
    sessions: sessionmaker[Session], database_url: str, module: str, function: str
) -> None:
    model_ids = add_models(sessions)
    for model_id in model_ids:
        send(sessions, model_id, prediction(START))

    assert_killed(crashing.work, database_url, model_ids[0], module, function, "after")

    with read_only(sessions) as session:
        assert session.scalars(select(SummaryRow)).all() == []
        assert {*session.scalars(select(Inbox.group_no))} == {None}
    assert fold_all(sessions, LATE) == N_MODELS
    assert [counted(sessions, model_id) for model_id in model_ids] == [1] * N_MODELS


def test_streams_that_do_not_fit_into_one_transaction_are_folded_by_the_next(
    sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    model_ids = add_models(sessions)
    for model_id in model_ids:
        send(sessions, model_id, prediction(START))
        send(sessions, model_id, prediction(START, 1))
    with read_only(sessions) as session:
        sizes = session.scalars(select(Inbox.n_bytes)).all()
    monkeypatch.setattr(folding, "MAX_BYTES_TOGETHER", 5 * max(sizes))

    taken = fold_together(sessions, streams(model_ids), LATE)

    assert [*taken.values()] == [2, 2]
    assert fold_all(sessions, LATE + timedelta(seconds=1)) == 2 * (N_MODELS - 2)
    with read_only(sessions) as session:
        assert {*session.scalars(select(Inbox.group_no))} == {1}
    assert [counted(sessions, model_id) for model_id in model_ids] == [2] * N_MODELS
