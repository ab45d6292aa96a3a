"""Sources of a model: define, delete, pull now, describe."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.durations import Duration, to_text
from core.errors import Conflict, NotFound, Unprocessable
from core.schema.rows import JOINED, Kind
from core.stored import from_attributes, parsed
from db.queries import sources
from db.queries.queue import runs
from db.queries.unique import insert_unique
from db.tables import Model, Monitor, SourceRow
from services.ingest.mapping import layout
from services.ingest.mapping.layout import MappingOptions
from services.models import monitor_config
from services.models.monitor_config import MonitorPlan
from sources.kind import SOURCES

JOB = "pull"  # its subject is the id of a source
LEAST_EVERY, MOST_EVERY = timedelta(seconds=5), timedelta(days=31)
MONITOR = "source"  # name and kind of the monitor that the first source of a model adds


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePlan:
    """Definition of a source; a secret that `config` lacks is kept.

    Attributes
    ----------
    every
        Between two pulls.
    expect_within
        Longest time without a row; None for that of its own arrivals.
    """

    name: str
    kind: str
    config: Mapping[str, object]
    mapping: MappingOptions
    every: timedelta
    expect_within: timedelta | None = None
    enabled: bool = True

    @property
    def stream(self) -> Kind:
        """What its rows are."""
        assert self.mapping.stream is not None
        return self.mapping.stream


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceNow:
    """A source without its secrets, and how far it is pulled; all times are wall time.

    Attributes
    ----------
    config
        Without secrets; empty while the plug-in of the kind is unavailable.
    mapping
        Columns by field.
    unavailable
        Why its kind is; null where it is not.
    watermark
        Of the last row that was stored, as JSON; null before the first.
    columns
        Those of the first page, with their types.
    new_columns
        Those that came since; they are not read.
    changed
        How mapped columns differ from those of the first page.
    rows, quarantined
        How many were stored, and broke the contract.
    last_row_at, last_pulled_at
        When rows last came; when the source was last read to its end or to a page.
    failures
        Failed pulls in a row, the last with `error`.
    """

    name: str
    kind: str
    config: dict[str, str | int | float | bool | list[str] | None]
    stream: Kind
    mapping: dict[str, Sequence[str]]
    version: str | None
    entity: str | None
    timezone: str | None
    epoch: layout.Unit | None
    every: Duration
    expect_within: Duration | None
    enabled: bool
    created_at: datetime
    unavailable: str | None
    watermark: str | None
    columns: dict[str, str]
    new_columns: list[str]
    changed: str | None
    rows: int
    quarantined: int
    last_row_at: datetime | None
    last_pulled_at: datetime | None
    next_due_at: datetime | None
    failures: int
    error: str | None


def put(session: Session, model_id: UUID, plan: SourcePlan, now: datetime) -> bool:
    """Make the source be as stated; True when it is new.

    It is pulled on from its watermark. Another configuration or mapping accepts the columns
    as they are then. The first source of a model adds the monitor that watches all of them.

    Raises
    ------
    Unprocessable
        If there is no such kind, or the configuration or the mapping is not one, naming it.
    Conflict
        If the source is of another kind or stream: its watermark would mean two things.
    """
    # load
    contract = session.get_one(Model, model_id).contract
    known = sources.of_model(session, model_id)
    source = next((one for one in known if one.name == plan.name), None)

    # decide
    kind = SOURCES.find(plan.kind)
    layout.check(contract, plan.mapping)
    if plan.stream not in JOINED:
        raise Unprocessable(f"stream: expected one of {', '.join(JOINED)}")
    if plan.stream is Kind.LABELS and plan.mapping.version is not None:
        raise Unprocessable("version: labels have no version")
    if not LEAST_EVERY <= plan.every <= MOST_EVERY:
        bounds = f"{to_text(LEAST_EVERY)} to {to_text(MOST_EVERY)}"
        raise Unprocessable(f"every: expected {bounds}")
    if plan.expect_within is not None and plan.expect_within < plan.every:
        raise Unprocessable("expect_within: expected at least every")
    if source is not None and (source.kind, source.stream) != (plan.kind, plan.stream):
        was = f"{source.stream.value} of kind {source.kind!r}"
        raise Conflict(
            f"source {plan.name!r} pulls {was}: delete it first, or use another name"
        )
    stated: dict[str, Any] = {
        "config": kind.stored(plan.config, source.config if source else None),
        "mapping": json.loads(json.dumps(asdict(plan.mapping))),
        "every": plan.every,
        "expect_within": plan.expect_within,
        "enabled": plan.enabled,
    }

    # save
    if source is None:
        source = SourceRow(
            model_id=model_id,
            name=plan.name,
            kind=plan.kind,
            stream=plan.stream,
            created_at=now,
            next_due_at=now,
            **stated,
        )
        insert_unique(session, source, f"concurrent creation of source {plan.name}; retry")
        if not known:
            _add_monitor(session, model_id)
        return True
    if any(getattr(source, name) != value for name, value in stated.items()):
        is_read_anew = (source.config, source.mapping) != (stated["config"], stated["mapping"])
        columns = _ACCEPTED if is_read_anew else {}
        _write(session, source, next_due_at=now, **stated, **columns)
    return False


# What is known of columns, and what was found wrong with them.
_ACCEPTED: Mapping[str, Any] = {
    "columns": {},
    "new_columns": [],
    "changed": None,
    "n_failures": 0,
    "error": None,
}


def _write(session: Session, source: SourceRow, **values: Any) -> None:
    """Change a source; a page that is being pulled meanwhile is not stored."""
    session.flush()
    if not sources.write(session, source.id, source.rev, **values):
        raise Conflict(f"source {source.name!r} was pulled at this moment; retry")
    session.refresh(source)


def _add_monitor(session: Session, model_id: UUID) -> None:
    named = select(Monitor.id).where(Monitor.model_id == model_id, Monitor.name == MONITOR)
    if session.scalar(named) is None:
        monitor_config.put(session, model_id, MonitorPlan(name=MONITOR, kind=MONITOR))


def find(session: Session, model_id: UUID, name: str) -> SourceRow:
    """Return the source of that name, or raise NotFound."""
    named = select(SourceRow).where(SourceRow.model_id == model_id, SourceRow.name == name)
    source = session.scalar(named)
    if source is None:
        raise NotFound(f"no source {name!r} of this model")
    return source


def delete(session: Session, model_id: UUID, name: str) -> None:
    """Delete a source; its rows stay."""
    session.delete(find(session, model_id, name))


def ask(
    session: Session, model_id: UUID, name: str, now: datetime, *, accepts_columns: bool
) -> SourceRow:
    """Ask for a pull now, also of a source that is not enabled."""
    source = find(session, model_id, name)
    if accepts_columns:
        _write(session, source, **_ACCEPTED)
    if not runs.is_open(session, JOB, str(source.id)):
        runs.ask(session, JOB, now, now, str(source.id))
    return source


def described(source: SourceRow) -> SourceNow:
    """Return a source as it is shown."""
    kind = SOURCES.get(source.kind)
    unavailable = SOURCES.unavailable.get(source.kind, "no such plug-in is installed")
    options = options_of(source)
    return from_attributes(
        SourceNow,
        source,
        options,
        config={} if kind is None else kind.public(source.config),
        mapping=dict(options.columns),
        unavailable=unavailable if kind is None else None,
        rows=source.n_rows,
        quarantined=source.n_quarantined,
        last_row_at=source.row_at,
        last_pulled_at=source.pulled_at,
        next_due_at=source.next_due_at if source.enabled else None,
        failures=source.n_failures,
    )


def options_of(source: SourceRow) -> MappingOptions:
    """Return how the rows of a source are read."""
    return parsed(source.mapping, MappingOptions, "mapping")
