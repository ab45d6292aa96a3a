"""The application, built from its parts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import Depends, FastAPI
from fastapi.telemetry import TelemetryConfig
from sqlalchemy.orm import Session, sessionmaker

from api.alerting import alerts, channels, evaluations, findings, routes, silences
from api.alertmanager import v2_alerts, v2_silences, v2_status
from api.configuration import routes as configuration
from api.ingestion import erasures, events, ingest, kserve, lookup, sources, streams
from api.models import (
    backtests,
    history,
    models,
    monitors,
    openslo,
    rollouts,
    segments,
    skew,
    slos,
    trainers,
    trainings,
    versions,
)
from api.operations import health, keys, metrics, plugins
from api.operations.request_spans import RequestSpans
from api.server import description, errors
from api.server.authentication import AsyncAuthenticator, RequireKey
from api.server.dependencies import Platform
from api.server.description import Application
from api.server.parameters import refuse_unknown
from api.server.security import SecurityHeaders
from core import __version__
from core.clock import utcnow
from core.settings import Settings
from notify.sender import Sender
from services.access.api_keys import Authenticator
from services.access.capacity import BacklogLimit, Disks
from services.access.rate_limits import BodyLimiter
from services.ingest import Committer
from services.kserve.pairing import Pairing
from services.models.registry import ModelCache
from services.telemetry.spans import tracing
from web import pages

OPERATIONS = (health, metrics)  # asked by Prometheus and by load balancers
ROUTERS = (
    alerts,
    backtests,
    channels,
    configuration,
    description,
    erasures,
    evaluations,
    events,
    findings,
    history,
    keys,
    lookup,
    models,
    monitors,
    plugins,
    rollouts,
    routes,
    segments,
    silences,
    skew,
    openslo,
    slos,
    sources,
    streams,
    trainers,
    trainings,
    versions,
)
# Clients send them parameters of other servers too, as Grafana does.
ALERTMANAGER = (v2_alerts, v2_silences, v2_status)


def create_app(settings: Settings, sessions: sessionmaker[Session]) -> FastAPI:
    """Build the application from its parts; nothing is read at import."""
    parts = Platform(
        started_at=utcnow(),
        settings=settings,
        sessions=sessions,
        authenticator=Authenticator(sessions),
        directory=ModelCache(sessions),
        limiter=BodyLimiter(settings.max_waiting_bytes),
        disks=Disks(settings),
        backlog_limit=BacklogLimit(settings.max_backlog_bytes),
        sender=Sender.of(settings),
    )
    committer = Committer(
        sessions,
        max_rows=settings.max_rows,
        backlog_limit=parts.backlog_limit,
        limiter=parts.limiter,
        disks=parts.disks,
    )

    spans = tracing(settings, "api")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        committer.start()
        try:
            yield
        finally:
            committer.stop()
            spans.stop()

    # FastAPI's OpenAPI route needs no key, and its pages load scripts from other hosts:
    # module `description` serves the document with authentication.
    app = Application(
        title="Seqwatch",
        version=__version__,
        openapi_url=None,
        lifespan=lifespan,
        redirect_slashes=False,  # the redirect would go to the host in the header Host
        # FastAPI's spans name the path and the query of a request; ours name its route.
        telemetry=TelemetryConfig(
            tracing=False, metrics=False, logs=False, auto_configure=False
        ),
    )
    app.state.platform = parts
    authenticator = AsyncAuthenticator(parts.authenticator)
    errors.install(app)
    # First, because nearly all requests are for these routes.
    access = ingest.IngestAccess(authenticator, parts.directory, settings)
    pairing = Pairing(sessions, settings.max_rows)
    app.express(ingest.routes(access, committer, settings))
    app.router.routes.extend(kserve.routes(access, pairing, committer, settings))
    for module in (*OPERATIONS, *ALERTMANAGER):
        app.include_router(module.router)
    for module in ROUTERS:
        app.include_router(module.router, dependencies=[Depends(refuse_unknown)])
    pages.mount(app, sessions=sessions, authenticator=parts.authenticator, settings=settings)
    app.add_middleware(RequireKey, authenticator=authenticator)
    app.add_middleware(SecurityHeaders)
    if spans.tracer is not None:
        app.surround(partial(RequestSpans, tracer=spans.tracer))
    return app
