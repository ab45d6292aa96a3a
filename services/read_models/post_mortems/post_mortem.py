"""Draft of a post-mortem: what is stored about one incident, as Markdown to be completed."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from core.durations import DAY, HOUR
from core.errors import NotFound
from core.window import Window
from db.queries import summaries
from db.queries.read import nearby
from db.tables import (
    Alert,
    Channel,
    Delivery,
    Finding,
    FlipRow,
    Incident,
    Model,
    Monitor,
    NotifiedIncident,
)
from monitors.slo.serving import SERVING
from services.read_models.explanations.finding import explain
from services.read_models.explanations.nearby import Change, Sort
from services.read_models.markdown import templates
from services.read_models.overview import serving
from services.read_models.overview.serving import ServingPart

MOST_ROWS = 48  # of the table of traffic, and of evaluations
WIDTHS = tuple(timedelta(minutes=n) for n in (1, 5, 15, 60, 360, 1440))
LEAD = timedelta(minutes=15)  # shown before the onset, and after the end
_FOLDER = Path(__file__).parent


def write(
    session: Session, root: Path, incident_id: UUID, only: UUID | None, now: datetime
) -> str:
    """Return the draft for an incident, as Markdown.

    Parameters
    ----------
    session
        Only read.
    root
        Where the reports lie.
    incident_id, only
        Which, and the one model that the reader may see; None for all.
    now
        Wall time.

    Raises
    ------
    NotFound
        If there is no such incident that the reader may see.
    """
    # load
    incident = session.get(Incident, incident_id)
    if incident is None or only not in (None, incident.model_id):
        raise NotFound(f"no incident {incident_id}")
    alert = session.get_one(Alert, incident.alert_id)
    monitor = session.get_one(Monitor, alert.monitor_id)
    model = session.get_one(Model, incident.model_id)
    fired, ended = _flip(session, incident.fired_id), _flip(session, incident.ended_id)
    named = None if fired is None else fired.finding_id
    found = None if named is None else explain(session, root, named, only, now)
    onset = incident.onset or incident.detected_at
    newest = model.watermark or onset
    shown = Window(onset - LEAD, max(newest if ended is None else ended.at, onset) + LEAD)
    wall = Window(incident.detected_at - DAY, incident.resolved_at or now)

    # decide
    changed = () if found is None else found.nearby
    template = templates(_FOLDER).get_template("post_mortem.md")
    return template.render(
        incident=incident,
        cause=alert.cause if fired is None else fired.cause,
        model=model,
        monitor=monitor,
        found=found,
        versions=_of(changed, Sort.VERSION),
        contracts=_of(changed, Sort.CONTRACT, Sort.MISMATCH),
        others=[one for one in changed if one.sort not in _APART],
        traffic=_traffic(session, model, shown),
        evaluations=_evaluations(session, monitor, shown),
        notified=_notified(session, incident),
        acts=nearby.audits(session, model.name, wall, None),
    )


_APART = (Sort.VERSION, Sort.CONTRACT, Sort.MISMATCH)


def _of(changed: Sequence[Change], *sorts: Sort) -> list[Change]:
    return [one for one in changed if one.sort in sorts]


def _flip(session: Session, flip_id: UUID | None) -> FlipRow | None:
    return None if flip_id is None else session.get(FlipRow, flip_id)


def _traffic(session: Session, model: Model, shown: Window) -> Sequence[ServingPart]:
    """Return what was served in a window, in at most 48 parts."""
    length = shown.end - shown.start + timedelta.resolution
    width = next((one for one in WIDTHS if length < (MOST_ROWS - 1) * one), WIDTHS[-1])
    end = _floor(shown.end, width) + width
    window = Window(max(_floor(shown.start, width), end - MOST_ROWS * width), end)
    read = Window(_floor(window.start, HOUR), _floor(window.end + HOUR, HOUR))
    versions = summaries.by_version(session, SERVING, model.id, read)
    return serving.by_part(versions, window, width)


def _floor(at: datetime, width: timedelta) -> datetime:
    since = at - at.replace(hour=0, minute=0, second=0, microsecond=0)
    return at - since % width


def _evaluations(session: Session, monitor: Monitor, shown: Window) -> Sequence[Finding]:
    """Return the newest evaluations that were stored of a window, oldest first."""
    newest = session.scalars(
        select(Finding)
        .where(
            Finding.monitor_id == monitor.id,
            Finding.as_of >= shown.start,
            Finding.as_of <= shown.end,
        )
        .order_by(Finding.as_of.desc())
        .limit(MOST_ROWS)
    ).all()
    return newest[::-1]


def _notified(
    session: Session, incident: Incident
) -> Sequence[Row[NotifiedIncident, str, Delivery | None]]:
    """Return who was notified, with the delivery that began with this incident, if one did."""
    return session.execute(
        select(NotifiedIncident, Channel.name, Delivery)
        .join(Channel, Channel.id == NotifiedIncident.channel_id)
        .outerjoin(
            Delivery,
            (Delivery.channel_id == Channel.id) & (Delivery.flip_id == incident.fired_id),
        )
        .where(NotifiedIncident.incident_id == incident.id)
        .order_by(NotifiedIncident.firing_at, Channel.name, Delivery.seq)
    ).all()
