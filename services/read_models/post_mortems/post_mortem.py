"""Draft of a post-mortem: what is stored about one incident, as Markdown to be completed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from alerts.state import Flip
from core.durations import DAY, HOUR
from core.errors import NotFound
from core.window import Window
from db.queries import models, summaries
from db.queries.read import nearby
from db.tables import Alert, Channel, Delivery, Finding, FlipRow, Model, Monitor
from monitors.slo.serving import SERVING
from services.read_models.explanations.finding import explain
from services.read_models.explanations.nearby import Change, Sort
from services.read_models.markdown import templates
from services.read_models.overview import serving
from services.read_models.overview.serving import ServingPart

MOST_ROWS = 48  # of the table of traffic, and of evaluations
WIDTHS = tuple(timedelta(minutes=n) for n in (1, 5, 15, 60, 360, 1440))
LEAD = timedelta(minutes=15)  # shown before the onset
_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """A fired alert until it was resolved.

    Attributes
    ----------
    onset, until
        Event time: when the condition began, and the end of the newest evaluation in it.
    detected_at, notified_at, resolved_at
        Wall time; None where it has not happened.
    """

    fired: FlipRow
    onset: datetime
    until: datetime
    detected_at: datetime
    notified_at: datetime | None
    resolved_at: datetime | None


def write(session: Session, root: Path, flip_id: UUID, only: UUID | None, now: datetime) -> str:
    """Return the draft for the incident that began with a flip, as Markdown.

    Parameters
    ----------
    session
        Only read.
    root
        Where the reports lie.
    flip_id, only
        A flip that fired, and the one model that the reader may see; None for all.
    now
        Wall time.

    Raises
    ------
    NotFound
        If there is no such flip that the reader may see.
    """
    # load
    fired = session.get(FlipRow, flip_id)
    if fired is None or fired.flip is not Flip.FIRED or only not in (None, fired.model_id):
        raise NotFound(f"no alert fired with the id {flip_id}")
    monitor = _monitor(session, fired)
    model = session.get_one(Model, fired.model_id)
    resolved = _resolved(session, fired)
    found = (
        None
        if fired.finding_id is None
        else explain(session, root, fired.finding_id, only, now)
    )
    onset = found.since if found is not None and found.since is not None else fired.at
    until = resolved.at if resolved is not None else max(model.watermark or fired.at, fired.at)
    incident = Incident(
        fired=fired,
        onset=onset,
        until=until,
        detected_at=fired.recorded_at,
        notified_at=fired.notified_at,
        resolved_at=resolved.recorded_at if resolved is not None else None,
    )
    flips = [fired, *([resolved] if resolved is not None else [])]
    wall = Window(fired.recorded_at - DAY, max(incident.resolved_at or now, fired.recorded_at))
    champion = models.champion(session, model.id)

    # decide
    changed = () if found is None else found.nearby
    return (
        templates(_FOLDER)
        .get_template("post_mortem.md")
        .render(
            incident=incident,
            model=model,
            monitor=monitor,
            champion=champion[1].name if champion is not None else None,
            found=found,
            versions=_of(changed, Sort.VERSION),
            contracts=_of(changed, Sort.CONTRACT, Sort.MISMATCH),
            others=[one for one in changed if one.sort not in _APART],
            traffic=_traffic(session, model, incident),
            evaluations=_evaluations(session, monitor, incident),
            deliveries=_deliveries(session, flips),
            acts=nearby.audits(session, model.name, wall, None),
        )
    )


_APART = (Sort.VERSION, Sort.CONTRACT, Sort.MISMATCH)


def _of(changed: Sequence[Change], *sorts: Sort) -> list[Change]:
    return [one for one in changed if one.sort in sorts]


def _monitor(session: Session, fired: FlipRow) -> Monitor:
    alert = session.get_one(Alert, fired.alert_id)
    return session.get_one(Monitor, alert.monitor_id)


def _resolved(session: Session, fired: FlipRow) -> FlipRow | None:
    """Return the flip that ended it; None while it fires."""
    return session.scalar(
        select(FlipRow)
        .where(
            FlipRow.alert_id == fired.alert_id,
            FlipRow.flip == Flip.RESOLVED,
            FlipRow.recorded_at >= fired.recorded_at,
        )
        .order_by(FlipRow.recorded_at)
        .limit(1)
    )


def _traffic(session: Session, model: Model, incident: Incident) -> Sequence[ServingPart]:
    """Return what was served from shortly before the onset to the end, in at most 48 parts."""
    length = incident.until - incident.onset + 2 * LEAD
    width = next((one for one in WIDTHS if length <= MOST_ROWS * one), WIDTHS[-1])
    start = _floor(incident.onset - LEAD, width)
    end = _floor(incident.until + LEAD + width, width)
    window = Window(max(start, end - MOST_ROWS * width), end)
    read = Window(_floor(window.start, HOUR), _floor(window.end + HOUR, HOUR))
    versions = summaries.by_version(session, SERVING, model.id, read)
    return serving.by_part(versions, window, width)


def _floor(at: datetime, width: timedelta) -> datetime:
    since = at - at.replace(hour=0, minute=0, second=0, microsecond=0)
    return at - since % width


def _evaluations(session: Session, monitor: Monitor, incident: Incident) -> Sequence[Finding]:
    """Return the stored evaluations of the incident, oldest first."""
    newest = session.scalars(
        select(Finding)
        .where(
            Finding.monitor_id == monitor.id,
            Finding.as_of >= incident.onset - LEAD,
            Finding.as_of <= incident.until,
        )
        .order_by(Finding.as_of.desc())
        .limit(MOST_ROWS)
    ).all()
    return newest[::-1]


def _deliveries(session: Session, flips: Sequence[FlipRow]) -> Sequence[Row[Delivery, str]]:
    """Return the notifications of some flips, oldest first, with the names of the channels."""
    return session.execute(
        select(Delivery, Channel.name)
        .join(Channel, Channel.id == Delivery.channel_id)
        .where(Delivery.flip_id.in_([flip.id for flip in flips]))
        .order_by(Delivery.seq)
    ).all()
