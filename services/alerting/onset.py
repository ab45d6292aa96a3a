"""Since when a model has been wrong, by its findings."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.tables import Alert, Monitor
from db.tables import Finding as FindingRow
from monitors import registry
from monitors.finding import Outcome


def onset(session: Session, alert: Alert) -> datetime | None:
    """Return since when the model has been wrong, according to its findings.

    Drift dates a change to the hour; the window of the first breach only
    contains it. A date that is too early costs nothing: the days before the
    change are merely not new.
    """
    drifted = session.execute(
        select(Monitor.kind, FindingRow.detail)
        .join(Monitor, Monitor.id == FindingRow.monitor_id)
        .where(
            FindingRow.model_id == alert.model_id,
            FindingRow.outcome == Outcome.BREACH,
            Monitor.kind.in_(registry.where(lambda kind: kind.dates_change)),
        )
        .order_by(FindingRow.window_end.desc())
        .limit(1)
    ).first()
    first = session.scalar(
        select(FindingRow)
        .where(
            FindingRow.monitor_id == alert.monitor_id,
            FindingRow.outcome == Outcome.BREACH,
            FindingRow.as_of >= alert.since,
        )
        .order_by(FindingRow.window_end)
        .limit(1)
    )
    if first is None:
        return None
    since = None if drifted is None else registry.detail(*drifted).since
    return first.window_start if since is None else max(since, first.window_start)
