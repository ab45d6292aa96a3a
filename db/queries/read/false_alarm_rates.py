"""Counts of alarms and evaluated days by monitor, since a model began."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, SQLColumnExpression, func, or_, select
from sqlalchemy.orm import Session

from alerts.state import Flip
from db.tables import Alert, Finding, FlipRow, Model
from monitors.finding import Outcome


def live(session: Session, model_ids: Collection[UUID]) -> dict[UUID, tuple[int, int]]:
    """Count alarms, and the days that were evaluated, of each monitor.

    Days of history that was brought in, days without a verdict, and alarms
    that a broken input explains, are left out.

    Returns
    -------
    dict
        Alarms and days by monitor; only monitors that evaluated a day.
    """
    days = session.execute(
        select(Finding.monitor_id, func.count())
        .join(Model, Model.id == Finding.model_id)
        .where(
            Finding.model_id.in_(model_ids),
            Finding.outcome.in_([Outcome.OK, Outcome.BREACH]),
            _is_live(Finding.as_of),
        )
        .group_by(Finding.monitor_id)
    )
    alarms = session.execute(
        select(Alert.monitor_id, func.count())
        .join(FlipRow, FlipRow.alert_id == Alert.id)
        .join(Model, Model.id == FlipRow.model_id)
        .where(
            FlipRow.model_id.in_(model_ids),
            FlipRow.flip == Flip.FIRED,
            FlipRow.inhibited.is_(False),
            _is_live(FlipRow.at),
        )
        .group_by(Alert.monitor_id)
    )
    called = dict(alarms.all())
    return {monitor_id: (called.get(monitor_id, 0), n) for monitor_id, n in days}


def _is_live(moment: SQLColumnExpression[datetime]) -> ColumnElement[bool]:
    return or_(Model.history_until.is_(None), moment > Model.history_until)
