"""The state of open sessions: the last hours of input of each, and its version."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from core.errors import Conflict, Unprocessable


class UnknownSession(Conflict):
    """A step of unknown sessions; they must be started again with their context."""

    def __init__(self, session_ids: Sequence[str]) -> None:
        super().__init__(
            "not open here (new process, or idle too long); send them again with "
            "start=true and their context: " + ", ".join(session_ids)
        )
        self.session_ids = tuple(session_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One request to forecast, of one session.

    Attributes
    ----------
    at
        Event time of the last of `values`.
    step_index
        Counts the steps of a session from 0. A step that is sent again has
        the same number and changes nothing.
    values : (k, channel)
        The new hours, oldest first.
    context : (input_length, channel)
        The hours before `values`; only with a start.
    is_end
        No further step follows.
    """

    session_id: str
    entity: str
    at: datetime
    step_index: int
    values: NDArray[np.float64]
    context: NDArray[np.float64] | None = None
    is_end: bool = False

    @property
    def is_start(self) -> bool:
        """Whether the step starts a session: it has a context."""
        return self.context is not None


@dataclass(slots=True, kw_only=True)
class OpenSession:
    """State of a session between two steps."""

    window: NDArray[np.float64]
    version: str
    step_index: int
    at: datetime


class Sessions:
    """All open sessions, bounded in event time and in number.

    Parameters
    ----------
    input_length
        Hours of input of a version.
    time_to_live
        A session whose last step is this much older than the newest step of
        all is removed. Event time: a history may be replayed at any speed.
    max_open
        Above this the session that was idle longest is removed.
    """

    def __init__(self, input_length: int, time_to_live: timedelta, max_open: int) -> None:
        self._input_length = input_length
        self._time_to_live = time_to_live
        self._max_open = max_open
        self._open: OrderedDict[str, OpenSession] = OrderedDict()
        self._newest: datetime | None = None

    def __len__(self) -> int:
        return len(self._open)

    def check(self, steps: Sequence[Step]) -> None:
        """Check all steps of a request before any has an effect.

        Raises
        ------
        UnknownSession
            Naming every session that is not open or has missed a step.
        Unprocessable
            When a session occurs twice, or the context is too short.
        """
        if len({step.session_id for step in steps}) < len(steps):
            raise Unprocessable("a session occurs twice in one request")
        for step in steps:
            if step.context is not None and len(step.context) < self._input_length:
                raise Unprocessable(
                    f"session {step.session_id}: the context has {len(step.context)} hours; "
                    f"{self._input_length} are needed"
                )
        unknown = [step.session_id for step in steps if not self._is_known(step)]
        if unknown:
            raise UnknownSession(unknown)

    def take(self, step: Step, version: str) -> OpenSession:
        """Update a session by a step that was checked.

        Parameters
        ----------
        version
            Serves the session if it starts with this step.
        """
        held = self._open.get(step.session_id)
        if step.context is not None:
            rows = np.concatenate([step.context, step.values])
            held = OpenSession(
                window=rows[-self._input_length :],
                version=version,
                step_index=step.step_index,
                at=step.at,
            )
        assert held is not None, "the step was checked"
        if held.step_index < step.step_index:
            rows = np.concatenate([held.window, step.values])
            held.window = rows[-self._input_length :]
            held.step_index = step.step_index
            held.at = step.at
        self._open[step.session_id] = held
        self._open.move_to_end(step.session_id)
        return held

    def settle(self, steps: Sequence[Step]) -> None:
        """Remove the sessions that have ended, have expired, or exceed `max_open`."""
        for step in steps:
            if step.is_end:
                self._open.pop(step.session_id, None)
        for step in steps:
            self._newest = max(step.at, self._newest or step.at)
        while self._open:
            session_id, idle = next(iter(self._open.items()))
            is_expired = (
                self._newest is not None and idle.at < self._newest - self._time_to_live
            )
            if not is_expired and len(self._open) <= self._max_open:
                return
            del self._open[session_id]

    def _is_known(self, step: Step) -> bool:
        if step.is_start:
            return True
        held = self._open.get(step.session_id)
        return held is not None and held.step_index in (step.step_index, step.step_index - 1)
