"""Browser sessions: a key is exchanged for a cookie."""

import secrets
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core.errors import Unauthorized
from db.queries.queue.leases import is_due
from db.tables import ApiKey, Scope, WebSession
from services.access.api_keys import Caller, caller_of, digest_of, require

LASTS = timedelta(hours=12)  # one working day: then the key must be entered again


def sign_in(session: Session, caller: Caller, now: datetime) -> str:
    """Open a browser session for a key that may read, and return the cookie's token.

    Raises
    ------
    Forbidden
        If the key may not read.
    """
    require(caller, Scope.READ, caller.model_id)
    session.execute(delete(WebSession).where(is_due(WebSession.expires_at, now, LASTS)))
    token = secrets.token_urlsafe(32)
    session.add(
        WebSession(digest=digest_of(token), api_key_id=caller.key_id, expires_at=now + LASTS)
    )
    return token


def who(session: Session, token: str | None, now: datetime) -> Caller:
    """Return the caller that a session cookie belongs to.

    Raises
    ------
    Unauthorized
        If there is no cookie, its session is over, or its key was revoked.
    """
    key = token and session.scalar(
        select(ApiKey)
        .join(WebSession, WebSession.api_key_id == ApiKey.id)
        .where(
            WebSession.digest == digest_of(token),
            ~is_due(WebSession.expires_at, now, LASTS),
            ApiKey.revoked_at.is_(None),
        )
    )
    if not key:
        raise Unauthorized("sign in with a key")
    return caller_of(key)


def sign_out(session: Session, token: str | None) -> None:
    """End a browser session; no effect if it has ended."""
    if token:
        session.execute(delete(WebSession).where(WebSession.digest == digest_of(token)))
