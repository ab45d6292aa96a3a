"""Silences and maintenance windows over HTTP."""

from datetime import datetime, time
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import Field

from alerts import silence
from alerts.labels import Matcher
from api.server.body import Body, Moment
from api.server.dependencies import ActDep, CallerDep, NowDep, ReadDep
from api.server.json_route import JsonRoute
from api.server.paging import PagingDep
from api.server.responses import created
from core.durations import Duration
from core.errors import Unprocessable
from db.tables import Scope
from services.access import api_keys
from services.alerting import silences
from services.read_models.paging import Page

router = APIRouter(prefix="/v1/silences", tags=["silences"], route_class=JsonRoute)


class MatcherBody(Body):
    """A condition on one label, as in Alertmanager.

    Attributes
    ----------
    is_regex
        The value is a regular expression that must match all of the label.
    is_equal
        False: the label must not match.
    """

    name: str = Field(min_length=1, max_length=100)
    value: str = Field(max_length=1000)
    is_regex: bool = False
    is_equal: bool = True

    def matcher(self) -> Matcher:
        """Return the condition, or raise Unprocessable."""
        try:
            return Matcher(**self.model_dump())
        except ValueError as error:
            raise Unprocessable(f"matchers: {error}") from None


class WeeklyBody(Body):
    """Hours in which a maintenance window recurs.

    Attributes
    ----------
    days
        Some of mon, tue, wed, thu, fri, sat, sun.
    start
        Local time of the zone.
    """

    days: list[str]
    start: time
    duration: Duration
    zone: str = "UTC"


class SilencePut(Body):
    """A silence; with `weekly` a maintenance window that recurs until `ends_at`.

    Attributes
    ----------
    starts_at
        By default now.
    author
        By default the name of the key.
    """

    matchers: list[MatcherBody] = Field(min_length=1, max_length=50)
    starts_at: Moment | None = None
    ends_at: Moment
    author: str = Field(default="", max_length=100)
    comment: str = Field(default="", max_length=2000)
    weekly: WeeklyBody | None = None


def silence_of(body: SilencePut, author: str, starts_at: datetime) -> silence.Silence:
    """Return the definition of a silence, or raise Unprocessable."""
    matchers = tuple(one.matcher() for one in body.matchers)
    try:
        weekly = (
            None
            if body.weekly is None
            else silence.Weekly(
                days=tuple(body.weekly.days),
                start=body.weekly.start,
                duration=body.weekly.duration,
                zone=body.weekly.zone,
            )
        )
        return silence.Silence(
            matchers=matchers,
            starts_at=body.starts_at or starts_at,
            ends_at=body.ends_at,
            author=body.author or author,
            comment=body.comment,
            weekly=weekly,
        )
    except ValueError as error:
        raise Unprocessable(str(error)) from None


@router.get("")
def list_silences(
    who: CallerDep, session: ReadDep, now: NowDep, paging: PagingDep
) -> Page[silences.SilenceNow]:
    """List all silences, expired ones too, by their end."""
    api_keys.require(who, Scope.READ)
    return paging.cut(silences.every(session, now), lambda one: str(one.id))


@router.post("", status_code=201)
def create_silence(body: SilencePut, act: ActDep) -> silences.SilenceNow:
    """Add a silence: alerts whose labels match are not notified until it ends."""
    api_keys.require(act.caller, Scope.OPERATE)
    definition = silence_of(body, act.caller.name, act.now)
    row = silences.put(act.session, definition, act.now)
    act.record("silence.add", str(row.id), body.model_dump(mode="json"))
    return silences.described(row, act.now)


@router.get("/{silence_id}")
def read_silence(
    silence_id: UUID, who: CallerDep, session: ReadDep, now: NowDep
) -> silences.SilenceNow:
    """Describe one silence."""
    api_keys.require(who, Scope.READ)
    return silences.described(silences.find(session, silence_id), now)


@router.put("/{silence_id}", responses=created(silences.SilenceNow))
def put_silence(
    silence_id: UUID, body: SilencePut, answer: Response, act: ActDep
) -> silences.SilenceNow:
    """Change a silence; 201 with another id where a new one had to take its place.

    In place: the end, the comment, and the start of one that has not begun.
    """
    api_keys.require(act.caller, Scope.OPERATE)
    before = silences.find(act.session, silence_id)
    definition = silence_of(body, act.caller.name, before.definition.starts_at)
    row = silences.put(act.session, definition, act.now, before)
    act.record("silence.update", str(row.id), body.model_dump(mode="json"))
    answer.status_code = 200 if row.id == silence_id else 201
    return silences.described(row, act.now)


@router.delete("/{silence_id}", status_code=204, response_class=Response)
def expire_silence(silence_id: UUID, act: ActDep) -> None:
    """End a silence now: what it muted and still fires is notified."""
    api_keys.require(act.caller, Scope.OPERATE)
    silences.expire(act.session, silences.find(act.session, silence_id), act.now)
    act.record("silence.expire", str(silence_id))
