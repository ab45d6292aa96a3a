"""Was every slot of every monitor evaluated once, in order, and every notification delivered?

A trigger of the database notes the order in which findings are stored: the clock of the
platform may move backwards meanwhile.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import pairwise
from uuid import UUID

from sqlalchemy import Engine, and_, column, func, select, table, text
from sqlalchemy.orm import Session

from core.schema.zone import UTC_ZONE
from db.queries import summaries
from db.queries.log import positions, recompute_marks
from db.tables import (
    Channel,
    Delivery,
    Finding,
    FlipRow,
    Inbox,
    Model,
    PlatformAlert,
    Run,
)
from db.tables.queue import RunStatus
from monitors import registry
from monitors.slo.serving import SERVING
from services.models import monitor_config
from tests.chaos.audit import Check, same

STORED = table("stored", column("seq"), column("finding"))


def note_order(engine: Engine) -> None:
    """Have the database number the findings as they are stored."""
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.execute(
                text("CREATE TABLE stored (seq INTEGER PRIMARY KEY AUTOINCREMENT, finding)")
            )
            connection.execute(
                text(
                    "CREATE TRIGGER note_order AFTER INSERT ON finding "
                    "BEGIN INSERT INTO stored (finding) VALUES (NEW.id); END"
                )
            )
            return
        connection.execute(
            text("CREATE TABLE stored (seq bigserial PRIMARY KEY, finding uuid)")
        )
        connection.execute(
            text(
                "CREATE FUNCTION note_order() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                "INSERT INTO stored (finding) VALUES (NEW.id); RETURN NEW; END $$"
            )
        )
        connection.execute(
            text(
                "CREATE TRIGGER note_order AFTER INSERT ON finding "
                "FOR EACH ROW EXECUTE FUNCTION note_order()"
            )
        )


def closed_slots(session: Session, model: Model) -> list[datetime]:
    """Return the end of each event day of a model that has closed, from its rows alone."""
    first = summaries.first(session, SERVING, model.id)
    if first is None or model.watermark is None:
        return []
    closed = model.watermark - model.policy.lateness_of(model.contract.grain)
    return [*UTC_ZONE.ends(UTC_ZONE.floor(first), closed)]


def backlog(session: Session) -> dict[str, int]:
    """Return how many of each thing wait; what waits for nothing is left out."""
    counts = {
        "batches": session.scalar(select(func.count()).select_from(Inbox)) or 0,
        "joins": len(positions.dirty_days(session)),
        "re-evaluations": len(recompute_marks.models_with_marks(session)),
        "notifications": _count(session, Delivery.finished_at.is_(None)),
        "slots": sum(
            _n_unevaluated(session, model) for model in session.scalars(select(Model))
        ),
        "alerts of the platform": _count(session, PlatformAlert.resolved_at.is_(None)),
        "runs that failed": _count(
            session, and_(Run.finished_at.is_(None), Run.error.is_not(None))
        ),
    }
    return {what: n for what, n in counts.items() if n}


def _count(session: Session, condition: object) -> int:
    return session.scalar(select(func.count()).where(condition)) or 0  # type: ignore[arg-type]


def _n_unevaluated(session: Session, model: Model) -> int:
    return sum(
        model.evaluated_until is None or slot > model.evaluated_until
        for slot in closed_slots(session, model)
    )


def check_slots(session: Session) -> Iterator[Check]:
    """Compare the findings of each monitor, in the order of their storage, with the slots."""
    order: defaultdict[UUID, list[datetime]] = defaultdict(list)
    for monitor_id, as_of in session.execute(
        select(Finding.monitor_id, Finding.as_of)
        .join(STORED, STORED.c.finding == Finding.id)
        .order_by(STORED.c.seq)
    ):
        order[monitor_id].append(as_of)
    yield same("runs given up", 0, _count(session, Run.status == RunStatus.DEAD))
    for model in session.scalars(select(Model).order_by(Model.name)):
        slots = closed_slots(session, model)
        missing = doubled = misplaced = 0
        n_monitors = 0
        for monitor in monitor_config.by_day(monitor_config.enabled(session, model.id)):
            found = order[monitor.id]
            if registry.stored(monitor.kind).watches_open_days:  # beside the slots
                found = [at for at in found if at in slots]
            missing += len({*slots} - {*found})
            doubled += len(found) - len({*found})
            misplaced += sum(later <= earlier for earlier, later in pairwise(found))
            n_monitors += 1
        what = f"{model.name}: of {len(slots)} slots of {n_monitors} monitors,"
        yield same(f"{what} not evaluated", 0, missing)
        yield same(f"{what} evaluated twice", 0, doubled)
        yield same(f"{what} evaluated out of order", 0, misplaced)


def check_notifications(session: Session, received: Iterable[str]) -> Iterator[Check]:
    """Compare what was queued with what the receiver has answered with 204."""
    n_channels = session.scalar(select(func.count()).select_from(Channel)) or 0
    flips = session.scalars(select(FlipRow.id).where(FlipRow.inhibited.is_(False))).all()
    causes = session.scalars(select(Delivery.cause_id)).all()
    yield same(
        f"alerts fired or resolved, of {len(flips)} not inhibited, without a notification",
        0,
        sum(causes.count(flip) < n_channels for flip in flips),
    )
    deliveries = session.scalars(select(Delivery).order_by(Delivery.seq)).all()
    first = {message: place for place, message in reversed([*enumerate(received)])}
    lost = [one for one in deliveries if not one.delivered or str(one.id) not in first]
    yield same(f"notifications, of {len(deliveries)}, not delivered", 0, len(lost))
    places: defaultdict[tuple[UUID, str], list[int]] = defaultdict(list)
    for one in deliveries:
        if str(one.id) in first:
            places[one.channel_id, one.subject].append(first[str(one.id)])
    late_ones = sum(a > b for arrived in places.values() for a, b in pairwise(arrived))
    yield same("notifications delivered before an earlier one of their subject", 0, late_ones)
