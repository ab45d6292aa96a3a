"""Many streams archived together: one at fault is set aside alone, whatever its fault."""

from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR, MINUTE
from core.schema.rows import Kind, Stage
from core.window import Window
from db.queries.log import inbox
from db.session import read_only, unit_of_work
from db.tables import Inbox, InboxPayload
from lake import upkeep
from lake.reading import Log
from services.aggregation.fold import PATIENCE, fold_all
from services.platform_faults import set_aside
from services.platform_faults.set_aside import LONGEST_DELAY
from services.retention.archive import archive_all, archive_together
from tests.databases import ON_SQLITE
from tests.streams import START, add_model, keep, prediction, table

LATE = START + PATIENCE
ALWAYS = Window(START - 400 * DAY, START + 400 * DAY)
N = 50

Sessions = sessionmaker[Session]
Mend = Callable[[], None]
Break = Callable[[Sessions, Path, UUID], Mend]


def send(sessions: Sessions, models: list[UUID], number: int) -> None:
    for model_id in models:
        rows = table(Kind.PREDICTIONS, [prediction(START + number * HOUR, number)])
        keep(sessions, model_id, Kind.PREDICTIONS, rows)
    fold_all(sessions, LATE)


def n_rows(lake: Path, model_id: UUID) -> int:
    rows = Log(lake, model_id).predictions(ALWAYS, ["prediction_id"])
    return 0 if rows is None else rows.num_rows


def _entry(sessions: Sessions, model_id: UUID) -> int:
    with read_only(sessions) as session:
        return session.scalars(select(Inbox.id).where(Inbox.model_id == model_id)).one()


def spoil(sessions: Sessions, _: Path, model_id: UUID) -> Mend:
    entry_id = _entry(sessions, model_id)
    with read_only(sessions) as session:
        content = inbox.contents(session, [entry_id])[entry_id]

    def put(new: bytes) -> None:
        with unit_of_work(sessions) as session:
            session.execute(
                update(InboxPayload)
                .where(InboxPayload.entry_id == entry_id)
                .values(content=new)
            )

    put(b"no rows")
    return lambda: put(content)


def lose_file(sessions: Sessions, _: Path, model_id: UUID) -> Mend:
    entry_id = _entry(sessions, model_id)

    def put(file: str | None) -> None:
        with unit_of_work(sessions) as session:
            session.execute(update(Inbox).where(Inbox.id == entry_id).values(file=file))

    put("lost.arrows")
    return lambda: put(None)


def garble_log(_: Sessions, lake: Path, model_id: UUID) -> Mend:
    path = lake / str(model_id) / "predictions/_delta_log/00000000000000000001.json"
    whole = path.read_bytes()
    path.write_bytes(b"{" + whole)

    def mend() -> None:
        path.write_bytes(whole)

    return mend


def shut_folder(_: Sessions, lake: Path, model_id: UUID) -> Mend:
    """Put a file in the way: root, as which tests may run, has every permission."""
    folder, away = lake / str(model_id), lake.with_name("away")
    folder.rename(away)
    folder.write_text("")

    def mend() -> None:
        folder.unlink()
        away.rename(folder)

    return mend


@ON_SQLITE
@pytest.mark.parametrize("place", [0, N - 1])
@pytest.mark.parametrize(
    ("damage", "item"),
    [(spoil, "group 2"), (lose_file, "group 2"), (garble_log, ""), (shut_folder, "")],
)
def test_one_stream_at_fault_among_fifty_is_set_aside_alone_and_released_when_mended(
    sessions: Sessions, tmp_path: Path, damage: Break, item: str, place: int
) -> None:
    lake = tmp_path / "lake"
    models = sorted(add_model(sessions, name=f"m{i}") for i in range(N))
    send(sessions, models, 0)
    assert archive_all(sessions, lake, LATE) == N
    send(sessions, models, 1)
    bad = models[place]
    mend = damage(sessions, lake, bad)

    assert archive_all(sessions, lake, LATE) == N - 1
    assert {n_rows(lake, one) for one in models if one != bad} == {2}
    with read_only(sessions) as session:
        (aside,) = set_aside.of_model(session, bad)
    assert aside.stage is Stage.ARCHIVE
    assert aside.item == item
    # Alone and not mended: no outage, which would hold up what comes after the archive.
    assert archive_all(sessions, lake, aside.not_before) == 0
    with read_only(sessions) as session:
        assert set_aside.of_model(session, bad)[0].not_before > aside.not_before

    mend()
    assert archive_all(sessions, lake, aside.not_before) == 0
    assert archive_all(sessions, lake, LATE + LONGEST_DELAY) == 1
    assert n_rows(lake, bad) == 2
    with read_only(sessions) as session:
        assert set_aside.of_model(session, bad) == []


@ON_SQLITE
def test_a_stream_set_aside_stays_so_while_its_rows_wait_for_their_age(
    sessions: Sessions, tmp_path: Path
) -> None:
    model_id, ahead = add_model(sessions), LATE + HOUR
    keep(
        sessions,
        model_id,
        Kind.PREDICTIONS,
        table(Kind.PREDICTIONS, [prediction(START)]),
        ahead,
    )
    fold_all(sessions, LATE)
    spoil(sessions, tmp_path, model_id)
    archive_all(sessions, tmp_path, LATE, 5 * MINUTE)  # the clock was set back: they are due

    archive_all(sessions, tmp_path, ahead + MINUTE, 5 * MINUTE)

    with read_only(sessions) as session:
        (aside,) = set_aside.of_model(session, model_id)
    assert (aside.item, aside.attempts) == ("group 1", 2)


@ON_SQLITE
def test_upkeep_that_fails_holds_up_no_archive(
    sessions: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> int:
        raise OSError("Input/output error")

    monkeypatch.setattr(upkeep, "EVERY", 1)
    monkeypatch.setattr(upkeep, "drop", broken)
    models = [add_model(sessions, name=f"m{i}") for i in range(3)]
    send(sessions, models, 0)
    together = archive_together(sessions, tmp_path, [(one, Kind.PREDICTIONS) for one in models])
    assert [*together.values()] == [1, 1, 1]
