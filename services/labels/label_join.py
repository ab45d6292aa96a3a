"""Join of predictions and labels, one event day at a time.

A day is computed whole from the lake and replaces what was stored about it.
It is saved only while its mark is the one that was seen before the lake was
read: if rows came in meanwhile, or another join was faster, the result is
dropped, and the mark that is there now has the day computed again.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from time import monotonic
from typing import Any, TypeAlias
from uuid import UUID

import numpy as np
import pyarrow.compute as pc
import pyarrow.dataset as ds
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY
from core.lake_root import LakeRoot
from core.schema import task
from core.schema.contract import Contract
from core.schema.rows import JOINED, Kind, Stage
from core.schema.task import TASKS, Units
from core.schema.zone import Zone
from core.streams import Level, Stream
from core.window import Window
from db.queries import segments as named
from db.queries import summaries
from db.queries.log import positions as marks
from db.queries.log import recompute_marks, row_counters, unusable_answers
from db.queries.summaries import Stored
from db.queries.upsert import upsert
from db.session import read_only, unit_of_work
from db.tables import Model, Rollout, SessionScore, Version
from lake.matching import first_received
from lake.reading import Log
from lake.storage import LakeAstray
from retrain.rollout import Phase
from services.aggregation.segments import Names
from services.labels.day_parts import columns, of_day
from services.labels.error_days import ERRORS, ERRORS_BY_SEGMENT, SHADOW_ERRORS
from services.labels.label_match import lag_of, match, matched
from services.labels.loss_sums import LossSums
from services.labels.session_scores import Answers, Failed, Score, scores
from services.platform_faults import set_aside
from services.platform_faults.outage import is_outage
from services.platform_faults.set_aside import AtFault, work_through
from tasks.sums import losses, units

log = logging.getLogger(__name__)

_OF_ANY_TASK = (ERRORS, SHADOW_ERRORS, ERRORS_BY_SEGMENT)
LONGEST_SESSION = timedelta(days=7)  # a session's rows are searched on both sides of a day
SHARE = 0.05  # of the time, for the joins of one model
CELLS, ROWS = 20_000 * 24 * 7, 100_000  # joined at one go: at most 27 MB for each array

Answered: TypeAlias = tuple[str, bool]  # version, and whether in shadow


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """The two versions that are compared."""

    rollout_id: UUID
    champion: str
    challenger: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a join must know of the model."""

    model_id: UUID
    contract: Contract
    units: Mapping[str, Units]
    natural: Units
    canary: Canary | None
    names: Names = field(default_factory=dict)

    def units_of(self, version: str) -> Units:
        """Return a version's units; natural ones if it was never registered."""
        return self.units.get(version, self.natural)


class Pace:
    """When marked days of a model are joined again: labels come all day, a join is of all.

    Parameters
    ----------
    every
        Between two joins of a model; longer where they would take more than `SHARE` of the
        time. A model with a canary does not wait.
    """

    def __init__(self, every: timedelta) -> None:
        self._every = every.total_seconds()
        self._next: dict[UUID, float] = {}

    def is_due(self, model_id: UUID) -> bool:
        """Return whether a model is due."""
        return monotonic() >= self._next.get(model_id, 0.0)

    def joined(self, model_id: UUID, seconds: float) -> None:
        """Note that a join of a model has taken so long."""
        self._next[model_id] = monotonic() + max(self._every, seconds / SHARE)


def join_all(
    sessions: sessionmaker[Session],
    lake_root: LakeRoot,
    now: datetime,
    pace: Pace | None = None,
) -> int:
    """Compute marked days again, of every model that is due; how many were saved.

    A model with a day that cannot be joined, or with a version whose units cannot
    be read, is set aside; all others are joined.
    """
    pace = pace or Pace(timedelta(0))
    with read_only(sessions) as session:
        models = {model_id for model_id, _, _ in marks.dirty_days(session)}
        in_canary = select(Rollout.model_id).where(Rollout.phase == Phase.CANARY)
        urgent = {*session.scalars(in_canary)} | set_aside.models_at(session, Stage.JOIN)
    due = {model_id for model_id in models if model_id in urgent or pace.is_due(model_id)}

    def act(model_id: UUID, _: Kind) -> int:
        began = monotonic()
        n_days = join(sessions, lake_root, model_id)
        pace.joined(model_id, monotonic() - began)
        return n_days

    streams = [(model_id, Kind.PREDICTIONS) for model_id in sorted(due)]
    return work_through(sessions, Stage.JOIN, streams, act, now)


def join(sessions: sessionmaker[Session], lake_root: LakeRoot, model_id: UUID) -> int:
    """Compute the marked days of a model again.

    Parameters
    ----------
    sessions
        Opens transactions, one for each day; none is open while files are read.
    lake_root
        Where all logs lie.
    model_id
        Whose days.

    Returns
    -------
    int
        How many days were saved. The others were marked again meanwhile, and
        stay so.

    Raises
    ------
    AtFault
        With the first day that could not be joined, after all others were.
    """
    with read_only(sessions) as session:
        marked = marks.dirty_days(session, model_id)
        if not marked:
            return 0
        subject = _subject(session, model_id)
        archived = {kind: marks.position(session, model_id, kind)[1] for kind in JOINED}
    history = Log(lake_root, model_id)  # after the marks: what they are about is in it
    for kind, last_group in archived.items():
        if last_group and history.snapshot.of(kind) is None:
            raise LakeAstray(f"model {model_id}: the lake holds no {kind}")
    n_days, failed = 0, list[AtFault]()
    for _, day, rev in marked:
        try:
            n_days += join_day(sessions, history, subject, day, rev)
        except Exception as error:
            if is_outage(error):
                raise
            failed.append(AtFault(f"day {day}", error))
    if failed:
        raise failed[0]
    return n_days


def join_day(
    sessions: sessionmaker[Session], history: Log, subject: Subject, day: date, rev: int
) -> bool:
    """Compute one day again, and save it if its mark is still `rev`."""
    # load
    midnight = datetime.combine(day, datetime.min.time(), UTC)  # names the day, local or not
    window = Zone(subject.contract.zone).bounds(day)

    # decide
    errors, n_repeated = accuracy(history, subject, window, midnight)
    scored: list[Score] = []
    if subject.canary is not None and errors:
        with read_only(sessions) as session:
            failed = _failed(session, subject, subject.canary, day)
        scored = _sessions(history, subject, subject.canary, window, failed)

    # save
    with unit_of_work(sessions) as session:
        if not marks.clean(session, subject.model_id, day, rev):
            return False
        row_counters.set_repeated(session, subject.model_id, day, n_repeated)
        _replace(session, subject, midnight, errors)
        if subject.canary is not None:
            of = {"rollout_id": subject.canary.rollout_id}
            upsert(session, SessionScore, [of | asdict(score) for score in scored])
    return True


def streams_of(contract: Contract) -> list[Stream[Any]]:
    """Return what is stored of a model where predictions meet their labels."""
    return [*_OF_ANY_TASK, *(each.stream for each in task.of(contract).streams)]


def all_streams() -> list[str]:
    """Return the names of what is stored where predictions meet their labels, of any task."""
    of_tasks = {each.stream.name for known in TASKS for each in known.streams}
    return [*(stream.name for stream in _OF_ANY_TASK), *sorted(of_tasks)]


def _replace(
    session: Session, subject: Subject, midnight: datetime, errors: list[Stored]
) -> None:
    """Store the sums of a day, and mark it for re-evaluation if they changed."""
    window, model_id = Window(midnight, midnight + DAY), subject.model_id
    streams = streams_of(subject.contract)
    if not summaries.replace(session, streams, model_id, window, errors):
        return
    settled = recompute_marks.errors_settled(session.get_one(Model, model_id))
    if settled is not None and midnight.date() < settled:
        recompute_marks.mark(session, model_id, [midnight.date()])


def _subject(session: Session, model_id: UUID) -> Subject:
    contract = session.get_one(Model, model_id).contract
    versions = session.scalars(select(Version).where(Version.model_id == model_id)).all()
    names = {version.id: version.name for version in versions}
    rollout = session.scalar(
        select(Rollout).where(Rollout.model_id == model_id, Rollout.phase == Phase.CANARY)
    )
    canary = None
    if rollout is not None and rollout.base_id is not None:
        assert rollout.challenger_id is not None
        canary = Canary(
            rollout_id=rollout.id,
            champion=names[rollout.base_id],
            challenger=names[rollout.challenger_id],
        )
    return Subject(
        model_id=model_id,
        contract=contract,
        units={version.name: units(version.manifest, contract) for version in versions},
        natural=units({}, contract),
        canary=canary,
        names=named.names(session, model_id) if contract.segment_by else {},
    )


def accuracy(
    history: Log, subject: Subject, window: Window, midnight: datetime
) -> tuple[list[Stored], int]:
    """Sum the errors of predictions by version, served and shadow apart.

    Parameters
    ----------
    history
        Where predictions and labels are.
    subject
        The model.
    window
        An event day.
    midnight
        Names it: midnight of that day, in local time.

    Returns
    -------
    errors
        What is stored of each version.
    n_repeated
        How many predictions were sent again under the same id, and left out.
    """
    contract, n_repeated = subject.contract, 0
    sums, counts = (
        defaultdict[Answered, LossSums](partial(LossSums, contract)),
        Counter[Answered](),
    )
    has_places = bool(contract.segment_by)
    at_once = min(CELLS // (contract.horizon * len(contract.targets)) + 1, ROWS)
    back = max(_back(contract, of) for of in (subject.natural, *subject.units.values()))
    for part in of_day(history, contract, subject.names, window, back):
        n_repeated += part.n_repeated
        for version, shadow, first, n in part.groups():
            of, own = subject.units_of(version), (version, shadow)
            counts[own] += n
            summed = sums[own]
            for start in range(first, first + n, at_once):
                some = part.rows.slice(start, min(at_once, first + n - start))
                if some["output"].null_count < len(some):  # else no label is searched
                    found = matched(part.labels, contract, some, of.season_steps, start)
                    summed.add(found, of)
    return [
        Stored(name, midnight, version, payload, Level.DAY)
        for (version, shadow), summed in sums.items()
        for name, payload in summed.stored(
            counts[version, shadow], shadow=shadow, has_places=has_places
        )
    ], n_repeated


def _back(contract: Contract, of: Units) -> timedelta:
    lag = lag_of(contract, of.season_steps)
    return timedelta(microseconds=int(lag.max(initial=0)))


def _failed(session: Session, subject: Subject, canary: Canary, day: date) -> Failed:
    """Read the refused answers of both versions, of every session that may touch a day."""
    versions = (canary.champion, canary.challenger)
    first, last = day - LONGEST_SESSION, day + LONGEST_SESSION
    return unusable_answers.of_sessions(session, subject.model_id, versions, first, last)


def _sessions(
    history: Log, subject: Subject, canary: Canary, day: Window, failed: Failed
) -> list[Score]:
    """Score the sessions with rows on one day, while a canary is open."""
    compared = ds.field("version").isin([canary.champion, canary.challenger])
    named = compared & ds.field("session_id").is_valid()
    of_day = history.predictions(day, ["session_id"], only=named)
    if of_day is None or not of_day.num_rows:
        return []
    ids = pc.unique(of_day["session_id"])
    rows = history.predictions(
        Window(day.start - LONGEST_SESSION, day.end + LONGEST_SESSION),
        sorted({*columns(subject.contract), "session_id", "status"}),
        only=named & pc.is_in(ds.field("session_id"), ids),
    )
    assert rows is not None
    rows, _ = first_received(rows)
    in_units = subject.units_of(canary.champion)  # one measure for both
    of, contract = task.of(subject.contract), subject.contract
    matched = match(history, contract, rows, in_units.season_steps)
    scored = task.scored(contract, in_units, matched)
    answers = Answers(
        rows=rows,
        errors=losses(scored) * of.n_summed(contract),
        expected=scored.expected.astype(np.bool_),
        usable=scored.usable,
        failed=failed,
    )
    return scores(answers, canary.champion, canary.challenger)
