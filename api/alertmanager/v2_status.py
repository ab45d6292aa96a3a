"""Alertmanager's API v2: status."""

from typing import Any

from fastapi import APIRouter

from alerts.message import moment
from api.server.dependencies import CallerDep, PlatformDep
from api.server.json_route import JsonRoute
from core import __version__
from db.tables import Scope
from services.access import api_keys
from services.alerting.firing_alerts import ROOT

router = APIRouter(prefix="/api/v2", route_class=JsonRoute, include_in_schema=False)

# Clients choose by it how they ask: the release of Alertmanager whose API this is.
RELEASE = "0.25.0"


@router.get("/status")
def get_status(who: CallerDep, parts: PlatformDep) -> dict[str, Any]:
    """Describe this installation, as an Alertmanager without a cluster."""
    api_keys.require(who, Scope.READ, who.model_id)
    unused = dict.fromkeys(("buildUser", "buildDate", "goVersion"), "")
    return {
        "cluster": {"status": "disabled", "peers": []},
        "versionInfo": {
            "version": RELEASE,
            "branch": "seqwatch",
            "revision": __version__,
            **unused,
        },
        # Not our routes: they are for the scope `admin`.
        "config": {"original": f"route: {{receiver: {ROOT}}}\nreceivers: [{{name: {ROOT}}}]\n"},
        "uptime": moment(parts.started_at),
    }
