"""Deliveries that are repeated: open, although delivered, until there is a newer one.

For receivers that forget an alert which is not sent again, such as Alertmanager.
"""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, exists, update
from sqlalchemy.orm import Session, aliased

from db.tables import Delivery

LONGEST = timedelta(hours=1)  # between two repetitions


def follows(newer: type[Delivery]) -> ColumnElement[bool]:
    """Of a delivery of an outer statement: `newer` is to its channel, about its subject."""
    return and_(
        newer.channel_id == Delivery.channel_id,
        newer.subject == Delivery.subject,
        newer.seq > Delivery.seq,
    )


def end_before(session: Session, seq: int, now: datetime) -> None:
    """Finish what was repeated until this delivery, which is finished."""
    newer = aliased(Delivery)
    session.execute(
        update(Delivery)
        .where(
            Delivery.delivered,
            Delivery.finished_at.is_(None),
            exists().where(newer.seq == seq, follows(newer)),
        )
        .values(finished_at=now, lease_until=None, fence=Delivery.fence + 1)
        .execution_options(synchronize_session=False)
    )
