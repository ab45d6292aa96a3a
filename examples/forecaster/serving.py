"""Forecasts the steps of many sessions at once, and logs the forecasts."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from seqwatch import Monitor, Routing

from core.errors import Busy
from core.schema.contract import Contract
from core.schema.rows import Status
from examples.forecaster.sessions import OpenSession, Sessions, Step
from examples.forecaster.versions import VersionFailed, Versions


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One forecast as it was served.

    Attributes
    ----------
    values : (horizon, channel)
        In raw units; element h is for `at` + h + 1 hours.
    """

    session_id: str
    prediction_id: str
    version: str
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Result:
    """The forecast of one version for one step, or its failure."""

    version: str
    values: NDArray[np.float64] | None
    is_shadow: bool
    is_fallback: bool
    is_cold: bool
    latency_seconds: float
    batch_size: int

    @property
    def status(self) -> Status:
        if self.values is None:
            return Status.ERROR
        return Status.DEGRADED if self.is_fallback else Status.OK

    def prediction_id(self, step: Step) -> str:
        """Return the id, equal when the step is sent again, so that it counts once."""
        name = f"{step.session_id}:{step.step_index}:{self.version}"
        return f"{name}:shadow" if self.is_shadow else name


class Forecaster:
    """The serving loop, without its transport.

    Parameters
    ----------
    contract
        Names the channels, in the order of the windows.
    routing
        Returns the current document.
    worker
        The name of this process in the log.
    """

    def __init__(
        self,
        contract: Contract,
        routing: Callable[[], Routing | None],
        versions: Versions,
        sessions: Sessions,
        monitor: Monitor,
        *,
        worker: str,
    ) -> None:
        self._contract = contract
        self._routing = routing
        self._versions = versions
        self._sessions = sessions
        self._monitor = monitor
        self._worker = worker
        self._lock = threading.Lock()

    def serve(self, steps: Sequence[Step]) -> list[Answer]:
        """Forecast every step, in the order given.

        A challenger that fails is replaced by the champion for this step, and
        its failure is logged. While the routing is shadowed, every step is also
        scored by the other version, which is logged as shadow and not served.

        Raises
        ------
        Busy
            While no version is loaded yet.
        UnknownSession, Unprocessable
            See `Sessions.check`. Nothing has changed then.
        VersionFailed
            When the champion fails. That is logged too.
        """
        with self._lock:
            routing = self._routing()
            if routing is None or routing.champion is None:
                raise Busy("no version to serve with is known yet")
            self._sessions.check(steps)
            held = [self._sessions.take(step, self._choice(routing, step)) for step in steps]
            for step, session in zip(steps, held, strict=True):
                self._keep_pinned(routing, step, session)
            answers = self._forecast(routing, steps, held)
            self._sessions.settle(steps)
            return answers

    def _choice(self, routing: Routing, step: Step) -> str:
        chosen = routing.choose(step.session_id)
        assert chosen is not None, "there is a champion"
        return chosen

    def _keep_pinned(self, routing: Routing, step: Step, session: OpenSession) -> None:
        """Keep the version that began a session, unless it was taken out of service.

        The window of inputs is the whole state, so that another version can continue
        from it without a cold start.
        """
        if session.version not in {served.version for served in routing.served}:
            session.version = self._choice(routing, step)

    def _forecast(
        self, routing: Routing, steps: Sequence[Step], held: Sequence[OpenSession]
    ) -> list[Answer]:
        assert routing.champion is not None
        champion = routing.champion.version
        pinned = self._ask([session.version for session in held], held)
        rescued = self._ask(
            [
                champion if one and one.values is None and one.version != champion else None
                for one in pinned
            ],
            held,
        )
        shadows = self._ask(
            [
                _shadow(routing, session.version) if again is None else None
                for session, again in zip(held, rescued, strict=True)
            ],
            held,
            is_shadow=True,
        )
        answers = []
        for step, *results in zip(steps, pinned, rescued, shadows, strict=True):
            for one in results:
                if one is not None:
                    self._monitor.log(self._row(step, one))
            answers.append(_answer(step, results[1] or results[0]))
        return _complete(answers, champion)

    def _ask(
        self,
        wanted: Sequence[str | None],
        held: Sequence[OpenSession],
        *,
        is_shadow: bool = False,
    ) -> list[_Result | None]:
        """Forecast once with each version, for all of its steps."""
        results: list[_Result | None] = [None] * len(held)
        for version in sorted({one for one in wanted if one is not None}):
            where = [i for i, one in enumerate(wanted) if one == version]
            is_cold = self._versions.is_cold(version)
            forecasts: Sequence[NDArray[np.float64] | None] = [None] * len(where)
            started = time.monotonic()
            with suppress(VersionFailed):  # recorded with values None
                windows = np.stack([held[i].window for i in where])
                forecasts = list(self._versions.forecast(version, windows))
            seconds = time.monotonic() - started
            for i, values in zip(where, forecasts, strict=True):
                results[i] = _Result(
                    version=version,
                    values=values,
                    is_shadow=is_shadow,
                    is_fallback=not is_shadow and version != held[i].version,
                    is_cold=is_cold,
                    latency_seconds=seconds,
                    batch_size=len(where),
                )
        return results

    def _row(self, step: Step, one: _Result) -> dict[str, object]:
        row: dict[str, object] = {
            "prediction_id": one.prediction_id(step),
            "version": one.version,
            "at": step.at,
            "entity": step.entity,
            "session_id": step.session_id,
            "step_index": step.step_index,
            "features": _by_name(self._contract.feature_names, step.values),
            "status": one.status,
            "shadow": one.is_shadow,
            "latency_seconds": one.latency_seconds,
            "session_start": step.is_start,
            "session_end": step.is_end,
            "cold_start": one.is_cold,
            "batch_size": one.batch_size,
            "worker": self._worker,
        }
        if one.values is not None:
            row["output"] = _by_name(self._contract.targets, one.values)
        return row


def _shadow(routing: Routing, version: str) -> str | None:
    """Return the version that scores a session beside the one that serves it."""
    if not routing.is_shadowed:
        return None
    others = [one.version for one in routing.served if one.version != version]
    return others[0] if others else None


def _answer(step: Step, one: _Result | None) -> Answer | None:
    if one is None or one.values is None:
        return None
    return Answer(
        session_id=step.session_id,
        prediction_id=one.prediction_id(step),
        version=one.version,
        values=one.values,
    )


def _complete(answers: Sequence[Answer | None], champion: str) -> list[Answer]:
    complete = [answer for answer in answers if answer is not None]
    if len(complete) < len(answers):
        raise VersionFailed(f"champion {champion} failed")
    return complete


def _by_name(names: Sequence[str], values: NDArray[np.float64]) -> dict[str, list[float]]:
    columns: list[list[float]] = values.T.tolist()
    return dict(zip(names, columns, strict=True))
