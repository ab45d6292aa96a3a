"""The pages of an alert's runbook, and of the draft of its post-mortem."""

from functools import cache
from typing import TYPE_CHECKING
from uuid import UUID

from fastapi import APIRouter, Response

from services.read_models.post_mortems import post_mortem
from services.read_models.runbooks import runbook
from web.rendering import PageRoute
from web.signing import Visit, VisitDep

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@cache
def _markdown() -> "MarkdownIt":
    from markdown_it import MarkdownIt  # not before a page needs it

    return MarkdownIt("commonmark", {"html": False}).enable("table")


@router.get("/alerts/{alert_id}/runbook")
def show_runbook(alert_id: UUID, visit: VisitDep) -> Response:
    """Show the runbook of an alert, with the model's values as of now."""
    with visit.reading() as session:
        found = runbook.write(session, visit.site.reports, alert_id, visit.only, visit.now)
    return _page(visit, f"Runbook: {found.name}", found.markdown)


@router.get("/incidents/{incident_id}/post-mortem")
def show_post_mortem(incident_id: UUID, visit: VisitDep) -> Response:
    """Show the draft of a post-mortem of an incident."""
    with visit.reading() as session:
        text = post_mortem.write(
            session, visit.site.reports, incident_id, visit.only, visit.now
        )
    return _page(visit, "Post-mortem", text)


def _page(visit: Visit, title: str, markdown: str) -> Response:
    html = _markdown().render(markdown)
    return visit.page("markdown.html", title=title, html=html, markdown=markdown)
