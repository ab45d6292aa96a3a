"""Rebuild the summaries of a model from its log.

They are written beside those that are there, a day of the log at a time, and take their
place in one transaction; so a run that is killed is begun anew. Meanwhile the predictions
of the model wait in the inbox: what is counted is in the log, and nothing else is.
"""

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import chain
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY, HOUR
from core.errors import Conflict, Unprocessable
from core.lake_root import LakeRoot
from core.schema.contract import Contract
from core.schema.rows import Kind
from core.schema.zone import Zone
from core.window import Window, midnight
from db.queries import models, summaries
from db.queries.log import late_hours, positions, recompute_marks
from db.queries.queue import runs
from db.session import read_only, unit_of_work
from db.tables import Model
from lake.reading import Log
from lake.storage import LakeAstray
from monitors.slo import sli
from monitors.summaries.streams import WINDOW_PROFILE
from services.aggregation import events, folded
from services.aggregation.folded import Frozen, Part, frozen, summaries_of
from services.aggregation.row_summaries import grown_edges, summarise_rows, with_window_profile
from services.labels import label_join
from services.retention.archive import archive
from services.retention.retention import first_kept, first_whole

log = logging.getLogger(__name__)

JOB = folded.REBUILD_JOB  # its subject is model, first day and streams
COUNTED = (Kind.EVENTS, Kind.PREDICTIONS)  # in the order in which a fold locks them
MANY = 500_000  # rows of a day that is read hour by hour
_COLUMNS = (  # beside those that SLIs read
    *("prediction_id", "version", "at", "entity", "features", "output", "status"),
    *("shadow", "received_at"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Which summaries of a model are rebuilt.

    Attributes
    ----------
    since
        The first event day, of local time; None begins with the log.
    streams
        By name; all where there is none.
    """

    model_id: UUID
    since: date | None = None
    streams: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        """The run's: the model first."""
        since = "" if self.since is None else self.since.isoformat()
        return f"{self.model_id} {since} {' '.join(self.streams)}"

    @classmethod
    def of(cls, subject: str) -> "Request":
        """Return what `subject` wrote."""
        model_id, since, *streams = subject.split(" ")
        return cls(
            model_id=UUID(model_id),
            since=date.fromisoformat(since) if since else None,
            streams=tuple(filter(None, streams)),
        )


def names() -> list[str]:
    """Return the streams that can be rebuilt."""
    return [stream.name for stream in folded.streams()] + label_join.all_streams()


def ask(session: Session, asked: Request, now: datetime) -> None:
    """Ask for it, in the transaction of the caller; a worker does it.

    Raises
    ------
    Unprocessable
        If there is no such stream.
    """
    unknown = [name for name in asked.streams if name not in names()]
    if unknown:
        raise Unprocessable(f"no stream {unknown[0]!r}: there are {', '.join(names())}")
    runs.ask(session, JOB, now, now, asked.subject)


def rebuild(
    sessions: sessionmaker[Session], lake_root: LakeRoot, asked: Request, now: datetime
) -> int:
    """Rebuild summaries; how many event days of the log were read.

    Raises
    ------
    LakeAstray
        If the log lacks what was archived.
    Conflict
        If rows were folded meanwhile: the run is tried again.
    """
    # load
    model_id = asked.model_id
    _archive(sessions, lake_root, model_id)
    history = Log(lake_root, model_id, kinds=[*Kind])
    with read_only(sessions) as session:
        position = {kind: positions.position(session, model_id, kind) for kind in COUNTED}
        contract = session.get_one(Model, model_id).contract
        edges = frozen(session, model_id)
    if any(history.last_group(kind) < position[kind][0] for kind in COUNTED):
        raise LakeAstray(f"model {model_id}: the lake lacks rows that were folded")
    zone = Zone(contract.zone)
    first = None if asked.since is None else zone.start(asked.since).date()
    served, of_events = (
        {day for day in _days(history, kind) if first is None or day >= first}
        for kind in (Kind.PREDICTIONS, Kind.EVENTS)
    )
    days = sorted(served | of_events)
    wanted = [s for s in folded.streams() if not asked.streams or s.name in asked.streams]

    # decide
    beside = {stream.name: replace(stream, name=f"{stream.name} (new)") for stream in wanted}
    with unit_of_work(sessions) as session:  # what a run left that was killed
        summaries.forget(session, model_id, [*beside.values()])
    for day in days if wanted else ():
        edges, parts = _summarised(history, day, contract, edges)
        with unit_of_work(sessions) as session:
            seen = [one for part in parts for one in summaries_of(part)]
            seen += _events(history, day)
            summaries.add(
                session,
                model_id,
                [(beside[of.name], v, made) for of, v, made in seen if of.name in beside],
            )
        log.info("model %s: the summaries of %s are rebuilt", model_id, day)

    # save
    with unit_of_work(sessions) as session:
        locked = {kind: positions.locked(session, model_id, kind) for kind in COUNTED}
        if locked != position:
            raise Conflict("rows were folded meanwhile")
        if not days:
            return 0
        folded.freeze(session, model_id, frozen(session, model_id), edges, now)
        since = _first_day(session.get_one(Model, model_id), days, asked)
        for stream in wanted:
            start = midnight(since) if stream is WINDOW_PROFILE else zone.start(since)
            summaries.take_place(session, model_id, beside[stream.name], stream, start)
        recompute_marks.touch(session, {model_id: zone.overlapping(served)})
        late_hours.mark(session, {model_id: [late_hours.ALL_HOURS]}, now)
        if not asked.streams or {*asked.streams} & {*label_join.all_streams()}:
            archived = sum(positions.position(session, model_id, kind)[1] for kind in Kind)
            positions.mark_dirty(session, model_id, served, archived)
    return len(days)


def _first_day(model: Model, days: Collection[date], asked: Request) -> date:
    """Return the first local day that is replaced: all of its rows are in the log."""
    first = models.zone_of(model).day_of(midnight(min(days)))
    kept = first_kept(model)
    if kept is not None:
        first = max(first, first_whole(model, kept))
    return max(first, asked.since or first)


def _archive(sessions: sessionmaker[Session], lake_root: LakeRoot, model_id: UUID) -> None:
    for kind in Kind:
        while archive(sessions, lake_root, model_id, kind):
            pass


def _days(history: Log, kind: Kind) -> Collection[date]:
    files = history.files(kind)
    return pc.unique(files["partition.day"]).to_pylist() if files.num_rows else []


def _events(history: Log, day: date) -> list[summaries.Part]:
    of_slis = chain.from_iterable(of.columns for of in sli.counted(Kind.EVENTS).values())
    window = Window(midnight(day), midnight(day) + DAY)
    rows = history.events(window, sorted({"at", "version", *of_slis}))
    return [*events.summarise(rows).parts] if rows is not None and rows.num_rows else []


def _rows(history: Log, day: date) -> Iterator[pa.Table]:
    """Yield the rows of a day; of one with very many, hour by hour."""
    files = history.files(Kind.PREDICTIONS)
    if not files.num_rows:
        return
    n_rows = pc.sum(files.filter(pc.equal(files["partition.day"], day))["num_records"]).as_py()
    step = HOUR if (n_rows or 0) > MANY else DAY
    of_slis = chain.from_iterable(of.columns for of in sli.counted(Kind.PREDICTIONS).values())
    start, columns = midnight(day), sorted({*_COLUMNS, *of_slis})
    for i in range(DAY // step):
        rows = history.predictions(Window(start + i * step, start + (i + 1) * step), columns)
        if rows is not None and rows.num_rows:
            yield rows


def _summarised(
    history: Log, day: date, contract: Contract, edges: Frozen
) -> tuple[Frozen, list[Part]]:
    """Return what the rows of a day add, and the edges with those of what had none yet."""
    parts = []
    for rows in _rows(history, day):
        grown = grown_edges(edges, rows, contract, is_late=True)
        assert grown is not None
        edges = with_window_profile(grown, rows, contract, 0.0)
        parts += summarise_rows(rows, contract, edges)
    return edges, parts
