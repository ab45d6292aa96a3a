"""Alertmanager's API v2: silences."""

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, BeforeValidator, Field
from sqlalchemy.orm import Session

from alerts import silence
from alerts.labels import Matcher, all_match
from alerts.message import moment
from api.alertmanager.v2_alerts import MatchersDep
from api.server.body import Moment
from api.server.dependencies import Act, ActDep, CallerDep, NowDep, ReadDep
from api.server.json_route import JsonRoute
from core.durations import DAY
from core.errors import Forbidden, NotFound, Unprocessable
from db.tables import Model, Scope, Silence
from services.access import api_keys
from services.access.api_keys import Caller
from services.alerting import silences

router = APIRouter(prefix="/api/v2", route_class=JsonRoute, include_in_schema=False)

SHOWN_FOR = 5 * DAY  # after its end, as Alertmanager's `data.retention`
MILLISECOND = timedelta(milliseconds=1)  # to which its clients round a moment


class PostedMatcher(BaseModel):
    """A condition on one label."""

    name: str = Field(min_length=1, max_length=100)
    value: str = Field(max_length=1000)
    is_regex: bool = Field(alias="isRegex")
    is_equal: bool = Field(default=True, alias="isEqual")


class PostedSilence(BaseModel):
    """A silence; with `id` one that is changed. Fields that are unknown are passed over."""

    id: Annotated[UUID | None, BeforeValidator(lambda given: given or None)] = None
    matchers: list[PostedMatcher] = Field(min_length=1, max_length=50)
    starts_at: Moment = Field(alias="startsAt")
    ends_at: Moment = Field(alias="endsAt")
    author: str = Field(default="", alias="createdBy", max_length=100)
    comment: str = Field(default="", max_length=2000)


@router.get("/silences")
def get_silences(
    matchers: MatchersDep, who: CallerDep, session: ReadDep, now: NowDep
) -> list[dict[str, Any]]:
    """List the silences, and those that have ended in the last five days.

    A filter is for the values, or regular expressions, of their matchers.
    """
    api_keys.require(who, Scope.READ, who.model_id)
    rows = silences.since(session, now - SHOWN_FOR)
    return [
        _shown(row, now)
        for row in sorted(rows, key=lambda one: (one.ends_at, one.id), reverse=True)
        if _is_within_reach(session, who, row.definition)
        and all_match(matchers, {one.name: one.value for one in row.definition.matchers})
    ]


@router.post("/silences")
def post_silence(body: PostedSilence, act: ActDep) -> dict[str, str]:
    """Add a silence, or change one; return its id, another where a new one took its place."""
    before = None if body.id is None else _find(act, body.id)
    try:
        definition = _definition(body, act, before)
    except ValueError as error:
        raise Unprocessable(str(error)) from None
    _require(act, definition)
    row = silences.put(act.session, definition, act.now, before)
    action = "silence.add" if before is None else "silence.update"
    act.record(action, str(row.id), body.model_dump(mode="json"))
    return {"silenceID": str(row.id)}


@router.get("/silence/{silence_id}")
def get_silence(
    silence_id: UUID, who: CallerDep, session: ReadDep, now: NowDep
) -> dict[str, Any]:
    """Describe one silence."""
    api_keys.require(who, Scope.READ, who.model_id)
    row = silences.find(session, silence_id)
    if not _is_within_reach(session, who, row.definition):
        raise NotFound(f"no silence {silence_id}")
    return _shown(row, now)


@router.delete("/silence/{silence_id}", response_class=Response)
def delete_silence(silence_id: UUID, act: ActDep) -> None:
    """End a silence now."""
    silences.expire(act.session, _find(act, silence_id), act.now)
    act.record("silence.expire", str(silence_id))


def _find(act: Act, silence_id: UUID) -> Silence:
    """Return a silence that the caller may change, or raise NotFound or Forbidden."""
    api_keys.require(act.caller, Scope.OPERATE, act.caller.model_id)
    row = silences.find(act.session, silence_id)
    _require(act, row.definition)
    return row


def _require(act: Act, definition: silence.Silence) -> None:
    api_keys.require(act.caller, Scope.OPERATE, act.caller.model_id)
    if not _is_within_reach(act.session, act.caller, definition):
        raise Forbidden(
            f"key {act.caller.name!r} is for one model only: a matcher must be "
            'model="…" with its name'
        )


def _is_within_reach(session: Session, who: Caller, definition: silence.Silence) -> bool:
    """Return whether a silence is for alerts of the key's model alone; of other keys, True."""
    if who.model_id is None:
        return True
    own = Matcher(name="model", value=session.get_one(Model, who.model_id).name)
    return own in definition.matchers


def _definition(body: PostedSilence, act: Act, before: Silence | None) -> silence.Silence:
    """Return what was posted; a window that recurs stays one, and a start that was rounded."""
    known = None if before is None else before.definition
    starts_at = body.starts_at
    if known is not None and abs(known.starts_at - starts_at) <= MILLISECOND:
        starts_at = known.starts_at
    return silence.Silence(
        matchers=tuple(Matcher(**one.model_dump()) for one in body.matchers),
        starts_at=starts_at,
        ends_at=body.ends_at,
        author=body.author or act.caller.name,
        comment=body.comment,
        weekly=None if known is None else known.weekly,
    )


def _shown(row: Silence, now: datetime) -> dict[str, Any]:
    of = row.definition
    return {
        "id": str(row.id),
        "status": {"state": of.state(now)},
        "updatedAt": moment(row.updated_at),
        "matchers": [
            {
                "name": one.name,
                "value": one.value,
                "isRegex": one.is_regex,
                "isEqual": one.is_equal,
            }
            for one in of.matchers
        ],
        "startsAt": moment(of.starts_at),
        "endsAt": moment(of.ends_at),
        "createdBy": of.author,
        "comment": of.comment,
    }
