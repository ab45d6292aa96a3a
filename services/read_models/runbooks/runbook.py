"""Runbooks: one Markdown template per kind of problem, filled with a model's present values."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import NotFound
from db.tables import Alert, Finding, Model, Monitor
from monitors import registry
from monitors.finding import Outcome
from services.read_models.explanations.finding import explain
from services.read_models.markdown import templates
from services.read_models.overview import model as model_page

FOLDER = Path(__file__).parent
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("[a-z]*.md")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Runbook:
    """The runbook of one alert.

    Attributes
    ----------
    name
        One of `NAMES`.
    markdown
        CommonMark with tables. Values of the model are escaped: they are text.
    """

    name: str
    model: str
    monitor: str
    markdown: str


def write(
    session: Session, root: Path, alert_id: UUID, only: UUID | None, now: datetime
) -> Runbook:
    """Return the runbook of an alert, with the model's values as of now.

    Parameters
    ----------
    session
        Only read.
    root
        Where the reports lie.
    alert_id, only
        Which alert, and the one model that the reader may see; None for all.
    now
        Wall time.

    Raises
    ------
    NotFound
        If there is no such alert that the reader may see, or no runbook of its kind.
    """
    alert = session.get(Alert, alert_id)
    if alert is None or only not in (None, alert.model_id):
        raise NotFound(f"no alert {alert_id}")
    monitor = session.get_one(Monitor, alert.monitor_id)
    newest = _newest_breach(session, monitor)
    detail = None if newest is None else registry.detail(monitor.kind, newest.detail)
    name = registry.runbook(monitor.kind, monitor.params, detail)
    if not name:
        raise NotFound(f"monitors of kind {monitor.kind} have no runbook")
    model = session.get_one(Model, alert.model_id)
    text = rendered(session, root, alert, name, only, now)
    return Runbook(name=name, model=model.name, monitor=monitor.name, markdown=text)


def rendered(
    session: Session, root: Path, alert: Alert, name: str, only: UUID | None, now: datetime
) -> str:
    """Return the runbook called `name` for an alert, as Markdown; arguments as of `write`."""
    monitor = session.get_one(Monitor, alert.monitor_id)
    model = session.get_one(Model, alert.model_id)
    newest = _newest_breach(session, monitor)
    page = model_page.model(session, model.name, only)
    return (
        templates(FOLDER)
        .get_template(f"{name}.md")
        .render(
            alert=alert,
            monitor=monitor,
            model=page,
            found=None if newest is None else explain(session, root, newest.id, only, now),
            hour=page.hours[-1] if page.hours else None,
        )
    )


def _newest_breach(session: Session, monitor: Monitor) -> Finding | None:
    return session.scalar(
        select(Finding)
        .where(Finding.monitor_id == monitor.id, Finding.outcome == Outcome.BREACH)
        .order_by(Finding.as_of.desc())
        .limit(1)
    )
