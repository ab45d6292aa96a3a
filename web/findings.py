"""The page of one finding, and the Evidently report on it."""

from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse

from services.read_models.explanations.features import Day, FeatureMoved, Hour
from services.read_models.explanations.finding import explain
from services.read_models.reports import report_status
from web import finding_charts
from web.rendering import PageRoute
from web.signing import VisitDep
from web.views import drawn

router = APIRouter(route_class=PageRoute, include_in_schema=False)

Part = TypeVar("Part", Hour, Day)

MOST = 3  # hours and days that are named


@router.get("/findings/{finding_id}")
def show_finding(finding_id: UUID, visit: VisitDep) -> Response:
    """Show the explanation of a finding."""
    with visit.reading() as session:
        found = explain(session, visit.site.reports, finding_id, visit.only, visit.now)
    return visit.page(
        "finding.html",
        finding=found,
        charts=finding_charts,
        drawn=drawn,
        most_hours=most_hours,
        most_days=most_days,
        may_operate=visit.may_operate,
    )


@router.get("/findings/{finding_id}/report")
def show_report(finding_id: UUID, visit: VisitDep) -> Response:
    """Show the Evidently report on a finding, apart from all else."""
    with visit.reading() as session:
        path = report_status.locate(session, visit.site.reports, finding_id, visit.only)
    return FileResponse(path, media_type="text/html", headers=report_status.HEADERS)


def most_hours(feature: FeatureMoved) -> Sequence[Hour]:
    """Return the hours with the largest part in the change of the mean, largest first."""
    return _most(feature.hours, feature.moved)


def most_days(feature: FeatureMoved) -> Sequence[Day]:
    """Return the days of the window with the largest part in it, largest first."""
    return _most(feature.days, feature.moved)


def _most(parts: Sequence[Part], moved: float | None) -> Sequence[Part]:
    if not moved:
        return []
    same_way = [part for part in parts if (part.moved or 0.0) * moved > 0]
    return sorted(same_way, key=lambda part: -abs(part.moved or 0.0))[:MOST]
