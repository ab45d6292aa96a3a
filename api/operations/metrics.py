"""Metrics for Prometheus: of this process, and of the whole installation."""

from collections.abc import Iterator

from fastapi import APIRouter, Request, Response
from prometheus_client import REGISTRY
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from api.server.dependencies import CallerDep, NowDep, PlatformDep, ReadDep
from db.tables import Scope
from services.access import api_keys
from services.read_models.own_health import own_health
from services.read_models.prometheus import capacity, gauges

router = APIRouter(tags=["metrics"])


class _Read(Collector):
    """Metric families read for one scrape."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


@router.get("/metrics", response_class=Response)
def metrics(
    request: Request, who: CallerDep, parts: PlatformDep, session: ReadDep, now: NowDep
) -> Response:
    """Answer one scrape; the key must give access to all models.

    In the format OpenMetrics, for which Prometheus asks, with exemplars.
    """
    api_keys.require(who, Scope.READ)
    of_here = capacity(parts.settings, parts.disks, parts.backlog_limit, session, now)
    in_database = [*gauges(session, now), *own_health(session, now)]
    families = _Read([*REGISTRY.collect(), *in_database, *of_here])
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(families), headers={"Content-Type": content_type})
