"""Plug-ins over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.server.dependencies import CallerDep
from api.server.json_route import JsonRoute
from api.server.paging import PagingDep
from db.tables import Scope
from services.access import api_keys
from services.read_models import plugins
from services.read_models.paging import Page

router = APIRouter(prefix="/v1/plugins", tags=["plugins"], route_class=JsonRoute)


@router.get("")
def list_plugins(
    who: CallerDep,
    paging: PagingDep,
    group: Annotated[
        str | None, Query(description="Of entry points, e.g. `seqwatch.templates`.")
    ] = None,
) -> Page[plugins.Plugin]:
    """List what is installed at each extension point, and why a plug-in is unavailable."""
    api_keys.require(who, Scope.READ, who.model_id)
    found = [*plugins.installed(group)]
    return paging.cut(found, lambda one: f"{one.group}/{one.name}")
