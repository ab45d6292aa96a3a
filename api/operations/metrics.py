"""Metrics for Prometheus: of this process, and of the whole installation."""

from collections.abc import Iterator

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import Metric
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
def metrics(who: CallerDep, parts: PlatformDep, session: ReadDep, now: NowDep) -> Response:
    """Answer one scrape; the key must give access to all models."""
    api_keys.require(who, Scope.READ)
    installation = CollectorRegistry()
    of_here = capacity(parts.settings, parts.disks, parts.backlog_limit, session, now)
    in_database = [*gauges(session, now), *own_health(session, now)]
    installation.register(_Read([*in_database, *of_here]))
    text = generate_latest(REGISTRY) + generate_latest(installation)
    return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})
