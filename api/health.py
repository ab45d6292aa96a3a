"""Is the process alive, and can it work? The only addresses that need no key."""

from fastapi import APIRouter, Response
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from api.dependencies import PlatformDep
from db.session import read_only

router = APIRouter(tags=["health"])


@router.get("/health", response_class=Response)
def health() -> Response:
    """Answer as long as the process runs."""
    return Response("ok\n", media_type="text/plain")


@router.get("/ready", response_class=Response)
def ready(parts: PlatformDep) -> Response:
    """Answer 200 when the database answers and bears our schema; why not is in the log."""
    try:
        with read_only(parts.sessions) as session:
            session.execute(text("SELECT 1 FROM model LIMIT 1"))
    except SQLAlchemyError:
        return Response("not ready\n", status_code=503, media_type="text/plain")
    return Response("ready\n", media_type="text/plain")
