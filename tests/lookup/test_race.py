"""While the archive moves rows, no lookup shows one twice or misses one."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.orm import Session, sessionmaker

from core.durations import HOUR
from core.errors import Busy
from core.lake_root import LakeRoot
from db.queries.log import unarchived
from lake.reading import Log
from services.read_models.export.rows import batches
from services.read_models.lookup import by_id, paged, snapshot, timeline
from services.read_models.lookup.query import Query
from services.read_models.lookup.rows import Prediction
from services.read_models.lookup.snapshot import open_snapshot
from tests.lookup.conftest import Place
from tests.streams import START, prediction

N = 40


def rows(first: int, n: int = N) -> list[dict[str, Any]]:
    return [
        prediction(
            START + (first + i) * HOUR / 10, prediction_id=f"p{first + i:04}", session_id="s"
        )
        for i in range(n)
    ]


def every_id(seen: snapshot.State) -> list[str]:
    page = paged.page(seen, Query(), None, 1000, lambda: False)
    return sorted(row.fields["prediction_id"] for row in page.rows)


@pytest.mark.parametrize("moved_at", ["before the inbox is read", "after the lake is opened"])
def test_rows_that_move_between_the_two_reads_are_seen_once(
    place: Place, moved_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Archived at the worst moment: when one of the two stores was read, and not the other."""
    place.send(*rows(0))
    place.archive()
    place.send(*rows(N))
    place.fold()
    place.send(*rows(2 * N))
    moved: list[bool] = []

    def move() -> None:
        if not moved:
            moved.append(True)
            place.archive()

    if moved_at == "after the lake is opened":
        opened = Log.__init__

        def opening(self: Log, root: LakeRoot, model_id: UUID, **given: Any) -> None:
            opened(self, root, model_id, **given)
            if threading.current_thread() is threading.main_thread() and not moved:
                moved.append(True)
                monkeypatch.setattr(Log, "__init__", opened)
                place.archive()

        monkeypatch.setattr(Log, "__init__", opening)
    else:
        freeze = unarchived.freeze

        def frozen(session: Session) -> None:
            move()
            freeze(session)

        monkeypatch.setattr(unarchived, "freeze", frozen)

    with open_snapshot(place.sessions, place.lake, place.model_id) as seen:
        assert every_id(seen) == [f"p{i:04}" for i in range(3 * N)]
    assert moved


def test_an_archive_that_is_always_faster_is_given_up_on(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unarchived, "archived", lambda *_: 10**9)
    with pytest.raises(Busy), open_snapshot(place.sessions, place.lake, place.model_id):
        pass


@pytest.fixture
def busy(place: Place) -> Iterator[list[int]]:
    """Rows come in, are folded and archived without a pause; how many were sent so far."""
    sent, done = [0], threading.Event()

    def work() -> None:
        while not done.is_set() and sent[0] < 60 * N:
            place.send(*rows(sent[0], N // 2))
            place.fold()
            place.send(*rows(sent[0] + N // 2, N // 2))
            sent[0] += N
            place.archive()

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        yield sent
        done.set()
        working.result()


@pytest.mark.slow
def test_lookups_beside_a_running_archive_see_every_row_once(
    place: Place, busy: list[int]
) -> None:
    for _ in range(40):
        least = busy[0]
        with open_snapshot(place.sessions, place.lake, place.model_id) as seen:
            exported = [
                name
                for rows in batches(seen, Query(), with_labels=False)
                for name in rows["prediction_id"].to_pylist()
            ]
            session_timeline = timeline.timeline(seen, "s", None, 1000, lambda: False)
            newest = paged.page(seen, Query(), None, 10, lambda: False).rows
            found = least and by_id.prediction(seen, f"p{least - 1:04}", stop=lambda: False)
        assert sorted(exported) == [f"p{i:04}" for i in range(len(exported))]
        assert len(exported) >= least
        assert session_timeline is None or session_timeline.n_rows == len(exported)
        assert [row.fields["prediction_id"] for row in newest] == sorted(exported)[-10:][::-1]
        assert not least or isinstance(found, Prediction)


def test_a_session_maker_is_not_needed_after_the_snapshot(
    place: Place, sessions: sessionmaker[Session]
) -> None:
    """No transaction is open while files are read: what waits was copied."""
    place.send(*rows(0))
    with open_snapshot(sessions, place.lake, place.model_id) as seen:
        place.archive()
        assert every_id(seen) == [f"p{i:04}" for i in range(N)]
