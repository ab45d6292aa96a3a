"""Incidents: consecutive findings that were not ok, one line each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from core.stored import from_attributes
from db.queries.read import overview
from db.tables import Finding
from monitors.finding import Outcome

FINDINGS = 1000  # the newest that are read
MAX_INCIDENTS = 20  # rows on a page
NEXT = timedelta(days=1)  # between two evaluations


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Findings of one monitor, day after day, with the same outcome.

    Attributes
    ----------
    value, threshold, cause
        Of the newest finding.
    worst
        The largest value among them.
    since, until
        Of the first and of the newest evaluation, in event time.
    n_revised
        How many of them were revised by late rows.
    """

    finding_ids: tuple[UUID, ...]
    monitor: str
    outcome: Outcome
    value: float | None
    worst: float | None
    threshold: float | None
    cause: str
    since: datetime
    until: datetime
    n_revised: int


def newest(session: Session, model_id: UUID) -> tuple[Incident, ...]:
    """Return the incidents of a model, the newest first."""
    incidents: list[list[Finding]] = []
    names: list[str] = []
    last: dict[str, int] = {}  # the place of each monitor's incident that may still grow
    for row, monitor in overview.newest_breaches(session, model_id, FINDINGS):
        place = last.get(monitor)
        if place is not None and _goes_on(incidents[place][-1], row):
            incidents[place].append(row)
        else:
            last[monitor] = len(incidents)
            incidents.append([row])
            names.append(monitor)
    shown = zip(incidents[:MAX_INCIDENTS], names[:MAX_INCIDENTS], strict=True)
    return tuple(_incident(rows, name) for rows, name in shown)


def _goes_on(later: Finding, earlier: Finding) -> bool:
    return later.outcome is earlier.outcome and later.as_of - earlier.as_of <= NEXT


def _incident(rows: Sequence[Finding], monitor: str) -> Incident:
    """Put findings together, the newest first."""
    now, first = rows[0], rows[-1]
    return from_attributes(
        Incident,
        now,
        finding_ids=tuple(row.id for row in rows),
        monitor=monitor,
        worst=max((row.value for row in rows if row.value is not None), default=None),
        since=first.as_of,
        until=now.as_of,
        n_revised=sum(1 for row in rows if row.rev),
    )
