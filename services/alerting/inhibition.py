"""What is wrong with a model's input, as its monitors last said."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.tables import Finding, Monitor
from monitors.finding import Outcome
from monitors.input_fault.input_fault import Fault


def known(
    session: Session, monitor_id: UUID, before: datetime | None = None
) -> tuple[Fault, ...]:
    """Return the faults that a monitor follows; a look that broke forgets none.

    Those that it followed before a moment of event time, if one is given.
    """
    query = select(Finding).where(
        Finding.monitor_id == monitor_id, Finding.outcome != Outcome.ERROR
    )
    if before is not None:
        query = query.where(Finding.as_of < before)
    latest = session.scalar(query.order_by(Finding.as_of.desc()).limit(1))
    if latest is None:
        return ()
    return tuple(Fault.from_json(fault) for fault in latest.detail.get("faults", ()))


def of_model(session: Session, model_id: UUID) -> str | None:
    """Say what is wrong with a model's input, or was until lately; None when nothing is.

    Windows hold the days of a fault for some time after its repair: until the
    monitor forgets it, what they show is still the fault's doing.
    """
    return "; ".join(_told(fault) for fault in _followed(session, model_id)) or None


def broken(session: Session, model_id: UUID) -> frozenset[str]:
    """Return the features of a model's input that are broken, or were until lately."""
    return frozenset(fault.feature for fault in _followed(session, model_id))


def _followed(session: Session, model_id: UUID) -> list[Fault]:
    monitors = session.scalars(
        select(Monitor.id)
        .where(
            Monitor.model_id == model_id,
            Monitor.kind == "input_fault",
            Monitor.enabled.is_(True),
        )
        .order_by(Monitor.name)
    )
    return [fault for monitor_id in monitors.all() for fault in known(session, monitor_id)]


def _told(fault: Fault) -> str:
    return str(fault) if fault.until is None else f"{fault} until {fault.until:%Y-%m-%dT%H:%MZ}"
