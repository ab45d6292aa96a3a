"""Streams set aside: one whose rows cannot be processed stops no other.

It is tried again by itself, ever more rarely, and goes on when that succeeds:
after an upgrade, or after the batches at fault were discarded.
"""

import logging
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from alerts.platform import PlatformFault
from core.schema.names import printable
from core.schema.rows import Kind, Stage
from core.stored import from_attributes
from db.session import read_only, unit_of_work
from db.tables import Model, SetAside
from services.platform_faults import platform_alerts
from services.platform_faults.outage import is_outage

log = logging.getLogger(__name__)

FIRST_DELAY, LONGEST_DELAY = timedelta(seconds=5), timedelta(minutes=5)  # wall time

MOST_TOGETHER = 48  # streams in one transaction: ingest waits for it, 1 ms for each

Stream: TypeAlias = tuple[UUID, Kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """A stream that is set aside at one stage; all times are wall time."""

    stream: Kind
    stage: Stage
    item: str
    error: str
    since: datetime
    attempts: int
    not_before: datetime


class AtFault(Exception):
    """Names what an error is about: an entry of the inbox, a group, a day, an event."""

    def __init__(self, item: str, error: Exception) -> None:
        super().__init__(f"{item}: {error}")
        self.item = item
        self.error = error


def work_through(
    sessions: sessionmaker[Session],
    stage: Stage,
    streams: Iterable[Stream],
    act: Callable[[UUID, Kind], int],
    now: datetime,
    turns: int = 2,
) -> int:
    """Do one stage for each stream in turn; how many rows were taken.

    As `work_together`, with no stream together with others.
    """
    return work_together(sessions, stage, streams, Actions(one=act), now, turns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Actions:
    """How a stage is done.

    Attributes
    ----------
    one
        Does a part of the work of one stream and returns how many rows it took; 0 ends the
        stream's turns. `AtFault` names what an error is about.
    together
        Does that for several streams, of which it may leave some out; whatever it raises, it
        has done nothing, and each is done alone. None where only one can be done at once.
    """

    one: Callable[[UUID, Kind], int]
    together: Callable[[Sequence[Stream]], Mapping[Stream, int]] | None = None


def work_together(
    sessions: sessionmaker[Session],
    stage: Stage,
    streams: Iterable[Stream],
    actions: Actions,
    now: datetime,
    turns: int = 2,
) -> int:
    """Do one stage for each stream in turn; one that fails is set aside, the others go on.

    Parameters
    ----------
    sessions
        Opens transactions, to note what fails and what goes on again.
    stage
        What is done.
    streams
        With work to do. Those set aside wait until they are due.
    actions
        How it is done, for one or for several at once.
    now
        Wall time.
    turns
        Most turns of a stream, so that one with much work holds up none.

    Returns
    -------
    int
        How many rows were taken.

    Raises
    ------
    OSError, DBAPIError
        If the surroundings failed: a database that does not answer, at once; an
        error of files or of the network, if no other stream got through after it.
    """
    with read_only(sessions) as session:
        rows = session.scalars(select(SetAside).where(SetAside.stage == stage))
        known = {(row.model_id, row.kind): row.not_before for row in rows}
    wanted = [*streams]
    for stream in known.keys() - {*wanted}:  # nothing is left that could fail
        release(sessions, stage, stream, now)
    # Nothing waits for longer than the longest delay, also after the clock was set back.
    due = [
        stream
        for stream in wanted
        if stream not in known or not now < known[stream] <= now + LONGEST_DELAY
    ]
    rounds = _Round(sessions, stage, now, {*known})
    n_rows = 0
    for _ in range(turns):
        if not due:
            break
        taken = rounds.turn(due, actions)
        n_rows += sum(taken.values())
        due = [stream for stream, n in taken.items() if n]
    rounds.raise_unclear()
    return n_rows


class _Round:
    """One round of a stage: which streams failed, and which got through."""

    def __init__(
        self,
        sessions: sessionmaker[Session],
        stage: Stage,
        now: datetime,
        is_aside: set[Stream],
    ) -> None:
        self._sessions = sessions
        self._stage = stage
        self._now = now
        self._is_aside = is_aside
        self._unclear: dict[Stream, Exception] = {}

    def turn(self, streams: Sequence[Stream], actions: Actions) -> dict[Stream, int]:
        """Act once for each stream, for many at once where that can be done."""
        together = actions.together
        alone = streams if together is None else [s for s in streams if s in self._is_aside]
        taken = {stream: self.attempt(stream, actions.one) for stream in alone}
        rest = [stream for stream in streams if stream not in taken]
        while rest and together is not None:
            some = rest[:MOST_TOGETHER]
            try:
                taken |= together(some)
                self._refute_outage()
            except Exception as error:
                if isinstance(error, DBAPIError) and is_outage(error):
                    raise
                log.info(
                    "%s of %d streams, one by one: %s", self._stage, len(some), type(error)
                )
                taken |= {stream: self.attempt(stream, actions.one) for stream in some}
            rest = [stream for stream in rest if stream not in taken]
        return taken

    def attempt(self, stream: Stream, act: Callable[[UUID, Kind], int]) -> int:
        """Act for one stream; 0 rows where it fails, which is noted."""
        try:
            n_rows = act(*stream)
        except Exception as error:  # noqa: BLE001 - the others must not wait for one
            cause = error.error if isinstance(error, AtFault) else error
            if isinstance(cause, DBAPIError) and is_outage(cause):
                raise cause from None
            # Alone, one that is set aside already says nothing of the surroundings.
            if is_outage(cause) and stream not in self._is_aside:
                self._unclear[stream] = error
            else:
                put(self._sessions, self._stage, stream, error, self._now)
            return 0
        self._refute_outage()
        if stream in self._is_aside:
            release(self._sessions, self._stage, stream, self._now)
            self._is_aside.remove(stream)
        return n_rows

    def _refute_outage(self) -> None:
        """Set aside what failed by what may be an outage: another stream got through."""
        for other in [*self._unclear]:
            put(self._sessions, self._stage, other, self._unclear.pop(other), self._now)

    def raise_unclear(self) -> None:
        """Raise an error that may be of the surroundings, if no other stream refuted that."""
        for error in self._unclear.values():
            raise error


def put(
    sessions: sessionmaker[Session],
    stage: Stage,
    stream: Stream,
    error: Exception,
    now: datetime,
) -> None:
    """Set a stream aside, or longer than before, and alert on it."""
    item, cause = (error.item, error.error) if isinstance(error, AtFault) else ("", error)
    try:
        with unit_of_work(sessions) as session:
            model = session.get(Model, stream[0])
            if model is None:  # it was deleted meanwhile
                return
            text = _error_text(cause, model)
            _write(session, stage, stream, item, text, now)
            subject, fault = subject_of(model, stream[1], stage), PlatformFault.STREAM_SET_ASIDE
            platform_alerts.fire(session, fault, subject, text, now, model.id)
    except IntegrityError:  # another worker has set it aside at the same moment
        return
    log.error("%s is set aside: %s", subject, text)


def _write(
    session: Session, stage: Stage, stream: Stream, item: str, text: str, now: datetime
) -> None:
    row = session.get(SetAside, (*stream, stage), with_for_update=True)
    if row is None:
        row = SetAside(
            model_id=stream[0], kind=stream[1], stage=stage, since=now, attempts=0, item=item
        )
        session.add(row)
    elif row.item != item:
        row.attempts = 0
    row.item, row.error = item, text
    row.attempts += 1
    delay = FIRST_DELAY * 2 ** min(row.attempts - 1, 10)
    row.not_before = now + min(delay, LONGEST_DELAY)


def subject_of(model: Model, kind: Kind, stage: Stage) -> str:
    """Return what the alert on a stream is about."""
    return f"{model.name}: {stage.value} of {kind.value}"


def _error_text(error: Exception, model: Model) -> str:
    """Return an error in words; of a model with sensitive values only what, and where."""
    kind = type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    if not _is_sensitive(model):
        return f"{kind}: {printable(str(error))}"
    return f"{kind} in {frames[-1].name}" if frames else kind


def _is_sensitive(model: Model) -> bool:
    try:
        return model.contract.is_sensitive
    except Exception:  # noqa: BLE001 - the contract may be what is broken
        return True


def release(
    sessions: sessionmaker[Session], stage: Stage, stream: Stream, now: datetime
) -> None:
    """Let a stream go on, and resolve its alert."""
    with unit_of_work(sessions) as session:
        released(session, stage, stream, now)


def released(session: Session, stage: Stage, stream: Stream, now: datetime) -> None:
    """Let a stream go on, in the transaction of the caller."""
    model_id, kind = stream
    session.execute(
        delete(SetAside).where(
            SetAside.model_id == model_id, SetAside.kind == kind, SetAside.stage == stage
        )
    )
    subject = subject_of(session.get_one(Model, model_id), kind, stage)
    platform_alerts.resolve(session, PlatformFault.STREAM_SET_ASIDE, subject, now)


def models_at(session: Session, stage: Stage) -> set[UUID]:
    """Return the models with a stream that is set aside at a stage."""
    return {*session.scalars(select(SetAside.model_id).where(SetAside.stage == stage))}


def of_model(session: Session, model_id: UUID) -> list[Aside]:
    """Return what is set aside of a model."""
    return of_models(session, [model_id])[model_id]


def of_models(session: Session, model_ids: Collection[UUID]) -> dict[UUID, list[Aside]]:
    """Return what is set aside, by model."""
    found = dict[UUID, list[Aside]]((model_id, []) for model_id in model_ids)
    rows = select(SetAside).where(SetAside.model_id.in_(model_ids))
    for row in session.scalars(rows.order_by(SetAside.kind, SetAside.stage)):
        found[row.model_id].append(from_attributes(Aside, row, stream=row.kind))
    return found
