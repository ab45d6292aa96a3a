from datetime import UTC, datetime

import numpy as np
import pytest

from core.durations import HOUR
from core.errors import Unprocessable
from examples.forecaster.sessions import Sessions, Step, UnknownSession

START = datetime(2026, 1, 1, tzinfo=UTC)
LENGTH = 4


def _sessions(max_open: int = 100) -> Sessions:
    return Sessions(LENGTH, time_to_live=24 * HOUR, max_open=max_open)


def _rows(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)[:, None]


def _step(
    index: int,
    *values: float,
    name: str = "s",
    context: tuple[float, ...] | None = None,
    hours: int | None = None,
    is_end: bool = False,
) -> Step:
    return Step(
        session_id=name,
        entity="e",
        at=START + (index if hours is None else hours) * HOUR,
        step_index=index,
        values=_rows(*values),
        context=None if context is None else _rows(*context),
        is_end=is_end,
    )


def _play(sessions: Sessions, *steps: Step) -> list[list[float]]:
    windows = []
    for step in steps:
        sessions.check([step])
        windows.append(sessions.take(step, "v1").window[:, 0].tolist())
        sessions.settle([step])
    return windows


def test_the_window_rolls_with_the_values() -> None:
    windows = _play(
        _sessions(),
        _step(0, 5, 6, context=(1, 2, 3, 4)),
        _step(1, 7),
        _step(2, 8, 9, 10, 11, 12),
    )
    assert windows == [[3, 4, 5, 6], [4, 5, 6, 7], [9, 10, 11, 12]]


def test_a_step_that_is_sent_again_changes_nothing() -> None:
    start = _step(0, 5, context=(1, 2, 3, 4))
    windows = _play(_sessions(), start, start, _step(1, 6), _step(1, 6), _step(2, 7))
    assert windows == [[2, 3, 4, 5]] * 2 + [[3, 4, 5, 6]] * 2 + [[4, 5, 6, 7]]


@pytest.mark.parametrize(
    "late",
    [
        pytest.param(_step(1, 1.0, name="other"), id="a session never started here"),
        pytest.param(_step(3, 1.0), id="a step after a gap"),
        pytest.param(_step(0, 1.0), id="a step from before the last"),
    ],
)
def test_a_step_that_does_not_follow_is_refused_by_name(late: Step) -> None:
    sessions = _sessions()
    _play(sessions, _step(0, 5, context=(1, 2, 3, 4)), _step(1, 6))
    with pytest.raises(UnknownSession) as refusal:
        sessions.check([_step(2, 7), late] if late.session_id == "other" else [late])
    assert refusal.value.session_ids == (late.session_id,)


def test_a_session_is_started_again_in_the_middle() -> None:
    sessions = _sessions()
    windows = _play(sessions, _step(2, 7, context=(3, 4, 5, 6)), _step(3, 8))
    assert windows == [[4, 5, 6, 7], [5, 6, 7, 8]]


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        pytest.param([_step(0, 1.0, context=(1, 2, 3))], "needed", id="short context"),
        pytest.param([_step(0, 1.0), _step(1, 1.0)], "twice", id="twice in one request"),
    ],
)
def test_what_makes_no_sense_is_refused(steps: list[Step], reason: str) -> None:
    with pytest.raises(Unprocessable, match=reason):
        _sessions().check(steps)


def test_an_ended_session_is_forgotten() -> None:
    sessions = _sessions()
    _play(sessions, _step(0, 5, context=(1, 2, 3, 4), is_end=True))
    assert len(sessions) == 0


def test_an_idle_session_expires_in_event_time() -> None:
    sessions = _sessions()
    start = (1.0, 2.0, 3.0, 4.0)
    _play(
        sessions,
        _step(0, 5, name="idle", context=start, hours=0),
        _step(0, 5, name="fresh", context=start, hours=20),
        _step(0, 5, name="late", context=start, hours=25),
        _step(0, 5, name="out of order", context=start, hours=10),
    )
    assert len(sessions) == 3
    with pytest.raises(UnknownSession):
        sessions.check([_step(1, 6, name="idle")])


def test_above_the_cap_the_longest_idle_goes() -> None:
    sessions = _sessions(max_open=2)
    start = (1.0, 2.0, 3.0, 4.0)
    _play(
        sessions,
        _step(0, 5, name="a", context=start, hours=0),
        _step(0, 5, name="b", context=start, hours=0),
        _step(1, 6, name="a", hours=1),
        _step(0, 5, name="c", context=start, hours=1),
    )
    sessions.check([_step(2, 7, name="a"), _step(1, 6, name="c")])
    with pytest.raises(UnknownSession, match=r"b$"):
        sessions.check([_step(1, 6, name="b")])
