"""Liveness and readiness: the only addresses that need no key."""

from collections import Counter

from fastapi import APIRouter, Response
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from alerts.platform import PlatformFault
from api.server.dependencies import NowDep, PlatformDep
from db.session import read_only
from services.access.capacity import backlog, reached
from services.platform_faults import platform_alerts

router = APIRouter(tags=["health"])


@router.get("/health", response_class=Response)
def health() -> Response:
    """Answer as long as the process runs."""
    return Response("ok\n", media_type="text/plain")


@router.get(
    "/ready", response_class=Response, responses={503: {"description": "Not ready, and why."}}
)
def ready(parts: PlatformDep, now: NowDep) -> Response:
    """Answer 200 while batches are accepted; else 503, and why.

    Faults of the platform behind the API are named by kind, with 200: to take
    the API out of rotation would stop ingestion for every model.
    """
    kinds = Counter[PlatformFault]()
    try:
        with read_only(parts.sessions) as session:
            session.execute(text("SELECT 1 FROM model LIMIT 1"))
            waiting = backlog(session, now)
            kinds.update(alert.kind for alert in platform_alerts.open_alerts(session))
    except SQLAlchemyError:  # its message may hold an address: it is in the log
        reasons = ["the database does not answer, or does not bear our schema"]
    else:
        limits = reached(parts.settings, parts.disks, parts.backlog_limit, waiting)
        reasons = [*limits.values()]
    if reasons:
        why = "".join(f"not ready: {reason}\n" for reason in reasons)
        return Response(why, status_code=503, media_type="text/plain")
    degraded = "".join(f"degraded: {n} {kind.value}\n" for kind, n in sorted(kinds.items()))
    return Response(f"ready\n{degraded}", media_type="text/plain")
