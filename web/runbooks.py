"""The page of an alert's runbook."""

from uuid import UUID

from fastapi import APIRouter, Response
from markdown_it import MarkdownIt

from services.read_models.runbooks import runbook
from web.rendering import PageRoute
from web.signing import VisitDep

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_markdown = MarkdownIt("commonmark", {"html": False}).enable("table")


@router.get("/alerts/{alert_id}/runbook")
def show_runbook(alert_id: UUID, visit: VisitDep) -> Response:
    """Show the runbook of an alert, with the model's values as of now."""
    with visit.reading() as session:
        found = runbook.write(session, visit.site.reports, alert_id, visit.only, visit.now)
    return visit.page("runbook.html", runbook=found, html=_markdown.render(found.markdown))
