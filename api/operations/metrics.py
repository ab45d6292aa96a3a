"""Metrics for Prometheus: of this process, and of the whole installation."""

from fastapi import APIRouter, Request, Response
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from api.server.dependencies import CallerDep, NowDep, PlatformDep, ReadDep
from db.tables import Scope
from services.access import api_keys
from services.read_models.own_health import own_health
from services.read_models.prometheus import capacity, gauges

router = APIRouter(tags=["metrics"])


@router.get("/metrics", response_class=Response)
def metrics(
    request: Request, who: CallerDep, parts: PlatformDep, session: ReadDep, now: NowDep
) -> Response:
    """Answer one scrape; the key must give access to all models.

    In the format OpenMetrics, for which Prometheus asks, with exemplars.
    """
    api_keys.require(who, Scope.READ)
    of_here = capacity(parts.settings, parts.disks, parts.backlog_limit, session, now)
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    is_open = content_type.startswith("application/openmetrics-text")
    installation = (*gauges(session, now), *own_health(session, now), *of_here)
    read = "".join(each.text(is_open) for each in installation).encode()
    end = b"# EOF\n" if is_open else b""
    text = encode(REGISTRY).removesuffix(end) + read + end
    return Response(text, headers={"Content-Type": content_type})
