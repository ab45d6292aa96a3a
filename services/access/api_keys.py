"""API keys: authentication, scopes, creation, revocation, and the audit log."""

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.errors import Forbidden, NotFound, Unauthorized
from core.limits import AS_INSTALLED, Limits
from db.queries.unique import insert_unique
from db.session import read_only
from db.tables import ApiKey, AuditEvent, Rollout, Scope
from services.access.ttl_cache import Cached

ALERTMANAGER_PATHS = "/api/v2/"  # its clients read an error as a JSON string
# They need a key; pages need a cookie.
API_PATHS = ("/v1/", ALERTMANAGER_PATHS, "/metrics", "/openapi.json")
PREFIX = "sw_"
N_RANDOM_BYTES = 32
NO_KEY = "send a key: Authorization: Bearer sw_…"
TRAINING_PREFIX = "swt_"
# 32 random bytes as `secrets.token_urlsafe` encodes them.
_TOKEN = re.compile(rf"({PREFIX}|{TRAINING_PREFIX})[A-Za-z0-9_-]{{43}}")
TTL = timedelta(seconds=5)  # how long a revoked key may still be accepted


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An authenticated key.

    Attributes
    ----------
    model_id
        The only model that the key gives access to; None gives access to all.
    limits
        What it may send, where that is less than the installation allows.
    rollout_id
        The rollout whose training the token is for: it has no scope, and gives access only
        to the routes on which its trainer reports. None of a key.
    """

    key_id: UUID
    name: str
    scopes: frozenset[Scope]
    model_id: UUID | None
    limits: Limits = AS_INSTALLED
    rollout_id: UUID | None = None

    def holds(self, scope: Scope) -> bool:
        """Return whether the key has this scope; `admin` includes all scopes."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


class Authenticator:
    """Authenticates tokens. Known keys are cached for `ttl`; unknown tokens are not cached."""

    def __init__(self, sessions: sessionmaker[Session], ttl: timedelta = TTL) -> None:
        self._sessions = sessions
        self._callers = Cached(self._look_up, ttl)

    def authenticate(self, token: str | None) -> Caller:
        """Return the caller that a token belongs to.

        Raises
        ------
        Unauthorized
            If there is no token, or it is unknown or revoked.
        """
        if not token:
            raise Unauthorized(NO_KEY)
        return self._callers.get(digest_of(token))

    def cached(self, token: str) -> Caller | None:
        """Return the caller of a token if it is in the cache; reads no database."""
        return self._callers.cached(digest_of(token))

    def _look_up(self, digest: bytes) -> Caller:
        with read_only(self._sessions) as session:
            key = session.scalar(
                select(ApiKey).where(ApiKey.digest == digest, ApiKey.revoked_at.is_(None))
            )
            if key is not None:
                return caller_of(key)
            rollout = session.scalar(
                select(Rollout).where(
                    Rollout.token_digest == digest, Rollout.finished_at.is_(None)
                )
            )
            if rollout is None:
                raise Unauthorized("unknown or revoked key")
            return trainer_of(rollout)


def caller_of(key: ApiKey) -> Caller:
    """Return the key as a value."""
    return Caller(
        key_id=key.id,
        name=key.name,
        scopes=frozenset(Scope(scope) for scope in key.scopes),
        model_id=key.model_id,
        limits=Limits.from_json(key.limits),
    )


def trainer_of(rollout: Rollout) -> Caller:
    """Return the trainer of a rollout as a value."""
    return Caller(
        key_id=rollout.id,
        name=f"trainer of rollout {rollout.id}",
        scopes=frozenset(),
        model_id=rollout.model_id,
        rollout_id=rollout.id,
    )


def new_training_token() -> str:
    """Return a random token for one training."""
    return TRAINING_PREFIX + secrets.token_urlsafe(N_RANDOM_BYTES)


def digest_of(token: str) -> bytes:
    """Return the only form in which a token is stored.

    A plain hash suffices: the token is 32 random bytes, not a password.
    """
    return hashlib.sha256(token.encode()).digest()


def token_in(authorization: str | None) -> str | None:
    """Return the token of an `Authorization` header; None when it carries none.

    Examples
    --------
    >>> token_in("Bearer sw_example")
    'sw_example'
    >>> token_in("Basic dTpw") is None
    True
    """
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def plausible_token(authorization: str | None) -> str:
    """Return the token of a header if it has the form of a key; reads no database.

    Raises
    ------
    Unauthorized
        If there is none, or it does not have the form of a key or a training token.
    """
    token = token_in(authorization)
    if not token:
        raise Unauthorized(NO_KEY)
    if _TOKEN.fullmatch(token) is None:
        raise Unauthorized("unknown or revoked key")
    return token


def require(caller: Caller, scope: Scope, model_id: UUID | None = None) -> None:
    """Check that a caller has a scope, for one model or for the whole installation.

    Parameters
    ----------
    caller
        The caller of the request.
    scope
        The scope that the request needs.
    model_id
        The model that the request is about; None when it is about the whole
        installation, to which a key for one model has no access.

    Raises
    ------
    Forbidden
        If the scope is missing, or the key is for another model.
    """
    if not caller.holds(scope):
        raise Forbidden(f"key {caller.name!r} lacks the scope {scope}")
    if caller.model_id is not None and caller.model_id != model_id:
        raise Forbidden(f"key {caller.name!r} is for one model only, and not for this")


def create_key(
    session: Session,
    name: str,
    scopes: Iterable[str],
    model_id: UUID | None,
    now: datetime,
    limits: Limits = AS_INSTALLED,
) -> str:
    """Create a key and return its token, which cannot be read again.

    Raises
    ------
    Conflict
        If the name is taken, also by a revoked key: the audit log names keys.
    """
    token = PREFIX + secrets.token_urlsafe(N_RANDOM_BYTES)
    key = ApiKey(
        name=name,
        digest=digest_of(token),
        scopes=sorted({*scopes}),
        model_id=model_id,
        limits=limits.to_json(),
        created_at=now,
    )
    insert_unique(session, key, f"there is already a key named {name!r}")
    return token


def keys(session: Session) -> list[ApiKey]:
    """Return every key, revoked ones too, by name."""
    return [*session.scalars(select(ApiKey).order_by(ApiKey.name))]


def revoke_key(session: Session, name: str, now: datetime) -> None:
    """Revoke a key permanently. Authenticators accept it for at most their `ttl` more.

    Raises
    ------
    NotFound
        If there is no key of that name.
    """
    key = session.scalar(select(ApiKey).where(ApiKey.name == name))
    if key is None:
        raise NotFound(f"no key {name!r}")
    key.revoked_at = key.revoked_at or now


def audit(
    session: Session,
    actor: str,
    action: str,
    subject: str,
    detail: dict[str, Any],
    now: datetime,
) -> None:
    """Record a change in the audit log, in the transaction of the change."""
    session.add(
        AuditEvent(actor=actor, action=action, subject=subject, detail=detail, recorded_at=now)
    )
