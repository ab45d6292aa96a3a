"""Counts of alarms and evaluated days by monitor, since a model began.

They are kept beside the alert once a day, and only what came since is counted when they are
read: neither a page nor a scrape takes longer because an installation is older.
"""

from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    SQLColumnExpression,
    Subquery,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session, aliased

from alerts.state import Flip, Verdict
from db.tables import Alert, Finding, FlipRow, Incident, Model
from monitors.finding import Outcome

_COUNTED_UNTIL = func.coalesce(Alert.counted_until, datetime(1970, 1, 1, tzinfo=UTC))


def live(session: Session, alerts: Iterable[Alert]) -> dict[UUID, tuple[int, int]]:
    """Count alarms of any severity, and evaluated days, of each monitor with an alert.

    Parameters
    ----------
    session
        The open transaction.
    alerts
        One of each monitor.

    Days of history that was brought in, days without an outcome, alarms that another one
    explains, and alarms with the verdict real or expected change, are left out.

    Returns
    -------
    dict
        Alarms and days by monitor; only monitors that evaluated a day.
    """
    kept = [*alerts]
    model_ids = {alert.model_id for alert in kept}
    alarms, days = _read(session, model_ids, lambda at: at > _COUNTED_UNTIL)
    found = {
        of.monitor_id: (
            of.n_alarms + alarms.get(of.id, 0),
            of.n_evaluated + days.get(of.id, 0),
        )
        for of in kept
    }
    return {monitor_id: counts for monitor_id, counts in found.items() if counts[1]}


def keep(session: Session, model_ids: Collection[UUID]) -> None:
    """Count everything anew, and keep the counts beside the alerts."""
    newest = select(func.max(Finding.as_of)).where(Finding.monitor_id == Alert.monitor_id)
    of_models = Alert.model_id.in_(model_ids)
    # The bound comes first: what is found meanwhile is beyond it, and counted when it is read.
    session.execute(
        update(Alert)
        .where(of_models)
        .values(counted_until=newest.scalar_subquery())
        .execution_options(synchronize_session=False)
    )
    alarms, days = _read(session, model_ids, lambda at: at <= _COUNTED_UNTIL)
    for alert in session.scalars(select(Alert).where(of_models)):
        alert.n_alarms = alarms.get(alert.id, 0)
        alert.n_evaluated = days.get(alert.id, 0)


def since_kept() -> tuple[Subquery, Subquery]:
    """Return alarms and evaluated days since the counts were kept: `n` by `id` of the alert."""
    alarms, days = _counts(lambda at: at > _COUNTED_UNTIL)
    return alarms.subquery(), days.subquery()


def _read(
    session: Session,
    model_ids: Collection[UUID],
    is_counted: Callable[[SQLColumnExpression[datetime]], ColumnElement[bool]],
) -> tuple[dict[UUID, int], dict[UUID, int]]:
    of_models = Alert.model_id.in_(model_ids)
    alarms, days = (query.where(of_models) for query in _counts(is_counted))
    return dict(session.execute(alarms).all()), dict(session.execute(days).all())


def _counts(
    is_counted: Callable[[SQLColumnExpression[datetime]], ColumnElement[bool]],
) -> tuple[Select[UUID, int], Select[UUID, int]]:
    """Count alarms and evaluated days of the monitor of each alert, at some times."""
    other = aliased(Alert)
    days = (
        select(Alert.id, func.count().label("n"))
        .join(Finding, Finding.monitor_id == Alert.monitor_id)
        .join(Model, Model.id == Alert.model_id)
        .where(
            Finding.outcome.in_([Outcome.OK, Outcome.BREACH]),
            _is_live(Finding.as_of),
            is_counted(Finding.as_of),
        )
        .group_by(Alert.id)
    )
    alarms = (
        select(Alert.id, func.count().label("n"))
        .join(other, other.monitor_id == Alert.monitor_id)
        .join(FlipRow, FlipRow.alert_id == other.id)
        .join(Model, Model.id == Alert.model_id)
        .where(
            FlipRow.flip == Flip.FIRED,
            FlipRow.inhibited.is_(False),
            ~exists().where(
                Incident.fired_id == FlipRow.id,
                Incident.verdict.in_([Verdict.REAL, Verdict.EXPECTED_CHANGE]),
            ),
            _is_live(FlipRow.at),
            is_counted(FlipRow.at),
        )
        .group_by(Alert.id)
    )
    return alarms, days


def _is_live(moment: SQLColumnExpression[datetime]) -> ColumnElement[bool]:
    return or_(Model.history_until.is_(None), moment > Model.history_until)
