"""Pages of a model's SLOs, and of one SLO."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import NotFound, Unprocessable
from db.queries import models
from db.tables import Model, Monitor
from monitors import registry
from monitors.slo.objective import BurnRateDetail, BurnRateParams, TierBurn
from services.models import slo_corrections
from services.models.slo_corrections import SLO, Correction
from services.read_models.overview import changes
from services.read_models.overview.changes import Change
from services.read_models.slos import status
from services.read_models.slos.status import SloStatus
from web.charts import Chart, Mark, curve
from web.rendering import PageRoute
from web.signing import VisitDep

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SloLine:
    """An SLO in a list, as it stands now.

    Attributes
    ----------
    params, now
        None while its SLI is not available.
    top
        The tier that is nearest to its factor.
    """

    name: str
    is_enabled: bool
    params: BurnRateParams | None = None
    now: SloStatus | None = None
    detail: BurnRateDetail | None = None
    top: TierBurn | None = None


def lines(session: Session, model_id: UUID, now: datetime) -> list[SloLine]:
    """Return the SLOs of a model by name."""
    slos = (Monitor.model_id == model_id) & (Monitor.kind == SLO)
    found = session.scalars(select(Monitor).where(slos).order_by(Monitor.name))
    return [_line(session, monitor, now) for monitor in found]


def _line(session: Session, monitor: Monitor, now: datetime) -> SloLine:
    try:
        seen = status.status(session, monitor.model_id, monitor, None, now)
    except Unprocessable:
        return SloLine(name=monitor.name, is_enabled=monitor.enabled)
    detail = _detail(seen.detail)
    return SloLine(
        name=monitor.name,
        is_enabled=monitor.enabled,
        params=registry.parse(SLO, monitor.params),
        now=seen,
        detail=detail,
        top=max(detail.tiers, key=lambda tier: tier.burn / tier.factor, default=None),
    )


@router.get("/models/{name}/slos")
def show_slos(name: str, visit: VisitDep) -> Response:
    """Show the SLOs of a model."""
    with visit.reading() as session:
        shown = lines(session, _model(session, name, visit.only).id, visit.now)
    return visit.page("slos.html", model=name, slos=shown)


@router.get("/models/{name}/slos/{slo}")
def show_slo(name: str, slo: str, visit: VisitDep) -> Response:
    """Show the budget of one SLO, its tiers, its windows, and what spent it."""
    with visit.reading() as session:
        model_id = _model(session, name, visit.only).id
        monitor = slo_corrections.slo(session, model_id, slo)
        seen = status.status(session, model_id, monitor, None, visit.now)
        corrected = slo_corrections.corrections(session, monitor)
    start = seen.period.start
    changed = changes.changes(visit.site.sessions, visit.site.lake, model_id, start)
    return visit.page(
        "slo.html",
        model=name,
        slo=seen,
        params=registry.parse(SLO, seen.params),
        detail=_detail(seen.detail),
        budget=budget(seen, corrected, changed),
        corrections=corrected[::-1],
    )


def budget(
    slo: SloStatus, corrections: Sequence[Correction], changed: Sequence[Change]
) -> Chart:
    """Draw what was left of the budget, in percent, with corrections and what changed."""
    since = slo.period.start.timestamp()
    marks = [
        *(Mark(x=one.start.timestamp(), label="corrected", tone="good") for one in corrections),
        *(Mark(x=one.at.timestamp(), label=one.label, tone="accent") for one in changed),
    ]
    points = slo.budget
    return Chart(
        x=tuple(point.at.timestamp() for point in points),
        series=(
            curve("Budget left", (100 * point.remaining for point in points), "one"),
            curve("All spent", (0.0,) * len(points), "limit", "dashed"),
        ),
        kind="moment",
        unit="%",
        marks=tuple(sorted((m for m in marks if m.x >= since), key=lambda mark: mark.x)),
        from_zero=False,
    )


def _detail(stored: Mapping[str, Any]) -> BurnRateDetail:
    found = registry.detail(SLO, stored)
    assert isinstance(found, BurnRateDetail)
    return found


def _model(session: Session, name: str, only: UUID | None) -> Model:
    found = models.find(session, name)
    if only not in (None, found.id):
        raise NotFound(f"no model {name!r}")
    return found
