"""Dependencies of the routes: sessions, caller, model, scopes, preconditions."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Header, Query, Request, Security
from fastapi.security import APIKeyHeader
from sqlalchemy.orm import Session, sessionmaker

from core.clock import utcnow
from core.errors import NotFound, PreconditionFailed
from core.settings import Settings
from db.session import read_only, unit_of_work
from db.tables import Scope
from notify.sender import Sender
from services.access.api_keys import Authenticator, Caller, audit, require, token_in
from services.access.capacity import BacklogLimit, Disks
from services.access.rate_limits import BodyLimiter
from services.models.registry import Entry, ModelCache


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """The parts that every request shares."""

    started_at: datetime
    settings: Settings
    sessions: sessionmaker[Session]
    authenticator: Authenticator
    directory: ModelCache
    limiter: BodyLimiter
    disks: Disks
    backlog_limit: BacklogLimit
    sender: Sender


def platform(request: Request) -> Platform:
    """Return the shared parts of the application."""
    parts = request.app.state.platform
    assert isinstance(parts, Platform)
    return parts


PlatformDep = Annotated[Platform, Depends(platform)]


def session(parts: PlatformDep) -> Iterator[Session]:
    """Yield the session of the request's transaction; it is committed at the end."""
    with unit_of_work(parts.sessions) as open_session:
        yield open_session


def reading(parts: PlatformDep) -> Iterator[Session]:
    """Yield a read-only session on one consistent snapshot; it waits for no writer."""
    with read_only(parts.sessions) as open_session:
        yield open_session


# scope="function": commit before the response is sent. FastAPI's default is
# to commit after it, and then a failed commit still answers 201.
SessionDep = Annotated[Session, Depends(session, scope="function")]
ReadDep = Annotated[Session, Depends(reading, scope="function")]
NowDep = Annotated[datetime, Depends(utcnow)]

_KEY = APIKeyHeader(
    name="Authorization", scheme_name="key", description="Bearer sw_…", auto_error=False
)


def caller(parts: PlatformDep, authorization: Annotated[str | None, Security(_KEY)]) -> Caller:
    """Return the caller of the request; anonymous requests are refused."""
    return parts.authenticator.authenticate(token_in(authorization))


CallerDep = Annotated[Caller, Depends(caller)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One change: by whom, when, and in which transaction."""

    caller: Caller
    session: Session
    now: datetime

    def record(self, action: str, subject: str, detail: dict[str, Any] | None = None) -> None:
        """Add an entry to the audit log, in the transaction of the change."""
        audit(self.session, self.caller.name, action, subject, detail or {}, self.now)


def act(who: CallerDep, session: SessionDep, now: NowDep) -> Act:
    """Return the change; the route checks its scope, and records what it changed."""
    return Act(caller=who, session=session, now=now)


ActDep = Annotated[Act, Depends(act)]


class Model:
    """The model in the address, for a caller with one of the scopes."""

    def __init__(self, *scopes: Scope) -> None:
        self._scopes = scopes

    def __call__(self, model: str, parts: PlatformDep, who: CallerDep) -> Entry:
        """Return the model, or raise NotFound or Forbidden; any one of the scopes suffices."""
        scope = next((one for one in self._scopes if who.holds(one)), self._scopes[0])
        return parts.directory.reach(who, scope, model)


ReadModel = Annotated[Entry, Depends(Model(Scope.READ))]
OperateModel = Annotated[Entry, Depends(Model(Scope.OPERATE))]
AdminModel = Annotated[Entry, Depends(Model(Scope.ADMIN))]
# An inference service has an ingest key, and reads which version to load.
ServingModel = Annotated[Entry, Depends(Model(Scope.READ, Scope.INGEST))]


def reach(
    parts: PlatformDep, who: CallerDep, model: Annotated[str | None, Query()] = None
) -> UUID | None:
    """Return the one model that a list is about; None when it is about all."""
    if model is not None:
        return parts.directory.reach(who, Scope.READ, model).model_id
    require(who, Scope.READ, who.model_id)
    return who.model_id


ReachDep = Annotated[UUID | None, Depends(reach)]


def admin(who: CallerDep) -> Caller:
    """Return a caller with scope `admin` for all models, or raise Forbidden."""
    require(who, Scope.ADMIN)
    return who


AdminDep = Annotated[Caller, Depends(admin)]


def entity_tag(*declared: object) -> str:
    """Return a strong entity tag of what was declared; it changes with nothing else.

    Examples
    --------
    >>> entity_tag("load", 1) == entity_tag("load", 1) != entity_tag("load", 2)
    True
    """
    text = json.dumps(declared, sort_keys=True, default=str)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


class Precondition:
    """The header If-Match: a change is for the state that the caller has read."""

    def __init__(
        self, if_match: Annotated[str | None, Header(alias="If-Match")] = None
    ) -> None:
        self._if_match = if_match

    def check(self, read_tag: Callable[[], str]) -> None:
        """Refuse to change a resource whose state is not the one that the header names.

        Parameters
        ----------
        read_tag
            Locks the resource and returns its tag, or raises NotFound.

        Raises
        ------
        PreconditionFailed
            If the header is given, and names another state.
        """
        if self._if_match is None:
            return
        try:
            tag = read_tag()
        except NotFound as absent:
            raise PreconditionFailed(f"If-Match: {absent}") from None
        named = [one.strip() for one in self._if_match.split(",")]
        if tag not in named and "*" not in named:
            raise PreconditionFailed("If-Match: changed meanwhile; read it again")


PreconditionDep = Annotated[Precondition, Depends()]
