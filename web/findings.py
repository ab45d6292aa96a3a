"""The page of one finding, and the Evidently report on it."""

from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse

from db.session import read_only
from db.tables import Scope
from services.read_models.explanations.features import Day, FeatureMoved, Hour
from services.read_models.explanations.finding import explain
from services.read_models.reports import report_status
from web import finding_charts
from web.rendering import PageRoute, page, site
from web.signing import NowDep, VisitorDep
from web.views import drawn

router = APIRouter(route_class=PageRoute, include_in_schema=False)

Part = TypeVar("Part", Hour, Day)

MOST = 3  # hours and days that are named


@router.get("/findings/{finding_id}")
def show_finding(
    request: Request, finding_id: UUID, visitor: VisitorDep, now: NowDep
) -> Response:
    """Show what explains a finding."""
    ours = site(request)
    with read_only(ours.sessions) as session:
        found = explain(session, ours.reports, finding_id, visitor.model_id, now)
    return page(
        "finding.html",
        visitor=visitor,
        now=now,
        finding=found,
        charts=finding_charts,
        drawn=drawn,
        most_hours=most_hours,
        most_days=most_days,
        may_operate=visitor.holds(Scope.OPERATE),
    )


@router.get("/findings/{finding_id}/report")
def show_report(request: Request, finding_id: UUID, visitor: VisitorDep) -> Response:
    """Show the Evidently report on a finding, apart from all else."""
    ours = site(request)
    with read_only(ours.sessions) as session:
        path = report_status.locate(session, ours.reports, finding_id, visitor.model_id)
    return FileResponse(path, media_type="text/html", headers=report_status.HEADERS)


def most_hours(feature: FeatureMoved) -> Sequence[Hour]:
    """Return the hours that did most of what the mean moved, the most first."""
    return _most(feature.hours, feature.moved)


def most_days(feature: FeatureMoved) -> Sequence[Day]:
    """Return the days of the window that did most of it, the most first."""
    return _most(feature.days, feature.moved)


def _most(parts: Sequence[Part], moved: float | None) -> Sequence[Part]:
    if not moved:
        return []
    same_way = [part for part in parts if (part.moved or 0.0) * moved > 0]
    return sorted(same_way, key=lambda part: -abs(part.moved or 0.0))[:MOST]
