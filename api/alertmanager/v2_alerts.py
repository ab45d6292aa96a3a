"""Alertmanager's API v2: alerts that fire, their groups, and receivers.

Its clients know these routes from Alertmanager's own description, so that ours, whose errors
are problem details, leaves them out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from alerts.labels import Matcher, all_match, parse_matcher
from alerts.message import addresses, moment
from api.server.dependencies import CallerDep, NowDep, PlatformDep, ReadDep
from api.server.json_route import JsonRoute
from core.durations import MINUTE
from core.errors import Unprocessable
from db.tables import Scope
from services.access import api_keys
from services.alerting import firing_alerts
from services.alerting.firing_alerts import FiringAlert

router = APIRouter(prefix="/api/v2", route_class=JsonRoute, include_in_schema=False)

RECEIVER = "receiver"
# An alert of ours ends by an evaluation: `endsAt`, which clients need, is always ahead by what
# Alertmanager puts there (`resolve_timeout`).
ENDS_IN = 5 * MINUTE
NOT_STORED = (
    "Seqwatch stores no alerts of others: its alerts end by an evaluation, not by a time-out. "
    "Send them to an Alertmanager; a channel of kind alertmanager sends ours there too."
)


def matchers_of(
    filter_: Annotated[Sequence[str], Query(alias="filter", max_length=50)] = (),
) -> tuple[Matcher, ...]:
    """Return the conditions of the query, or raise Unprocessable."""
    try:
        return tuple(map(parse_matcher, filter_))
    except ValueError as error:
        raise Unprocessable(f"filter: {error}") from None


MatchersDep = Annotated[tuple[Matcher, ...], Depends(matchers_of)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Which alerts a query is for: `active` ones are neither silenced nor inhibited."""

    matchers: tuple[Matcher, ...]
    receiver: Matcher | None
    active: bool
    silenced: bool
    inhibited: bool

    def of(self, alerts: Sequence[FiringAlert]) -> list[FiringAlert]:
        """Return those of the alerts."""
        return [one for one in alerts if self._holds(one)]

    def takes(self, receiver: str) -> bool:
        """Return whether the query is for a receiver."""
        return self.receiver is None or self.receiver.matches({RECEIVER: receiver})

    def _holds(self, alert: FiringAlert) -> bool:
        return (
            (self.active or alert.is_muted)
            and (self.silenced or not alert.silenced_by)
            and (self.inhibited or not alert.inhibited_by)
            and all_match(self.matchers, alert.labels)
        )


def chosen(
    matchers: MatchersDep,
    receiver: Annotated[str | None, Query(max_length=1000)] = None,
    active: bool = True,
    silenced: bool = True,
    inhibited: bool = True,
) -> Chosen:
    """Return which alerts the query is for, or raise Unprocessable."""
    try:
        pattern = (
            None if receiver is None else Matcher(name=RECEIVER, value=receiver, is_regex=True)
        )
    except ValueError as error:
        raise Unprocessable(f"{RECEIVER}: {error}") from None
    return Chosen(
        matchers=matchers,
        receiver=pattern,
        active=active,
        silenced=silenced,
        inhibited=inhibited,
    )


ChosenDep = Annotated[Chosen, Depends(chosen)]


@router.get("/alerts")
def get_alerts(
    which: ChosenDep,
    who: CallerDep,
    parts: PlatformDep,
    session: ReadDep,
    now: NowDep,
) -> list[dict[str, Any]]:
    """List the alerts that fire; `unprocessed`, which none of ours is, is not read."""
    api_keys.require(who, Scope.READ, who.model_id)
    firing = firing_alerts.every(session, who.model_id, now)
    url = parts.settings.public_url
    return [
        _alert(one, url, now)
        for one in which.of(firing)
        if which.receiver is None or any(map(which.takes, one.receivers))
    ]


@router.get("/alerts/groups")
def get_groups(
    which: ChosenDep,
    who: CallerDep,
    parts: PlatformDep,
    session: ReadDep,
    now: NowDep,
) -> list[dict[str, Any]]:
    """List the groups of the alerts that fire."""
    api_keys.require(who, Scope.READ, who.model_id)
    found = []
    for group in firing_alerts.groups(session, who.model_id, now):
        alerts = which.of(group.alerts)
        if alerts and which.takes(group.receiver):
            url = parts.settings.public_url
            found.append(
                {
                    "labels": group.labels,
                    "receiver": {"name": group.receiver},
                    "alerts": [_alert(one, url, now) for one in alerts],
                }
            )
    return found


@router.post("/alerts")
def post_alerts(who: CallerDep) -> None:
    """Refuse alerts of others."""
    api_keys.require(who, Scope.OPERATE, who.model_id)
    raise Unprocessable(NOT_STORED)


@router.get("/receivers")
def get_receivers(who: CallerDep, session: ReadDep) -> list[dict[str, str]]:
    """List the routes by name, which clients of Alertmanager call receivers."""
    api_keys.require(who, Scope.READ, who.model_id)
    return [{"name": name} for name in firing_alerts.receivers(session)]


def _alert(alert: FiringAlert, url: str, now: datetime) -> dict[str, Any]:
    annotations = alert.content["annotations"]
    return {
        "labels": alert.labels,
        "annotations": annotations | addresses(annotations, url),
        "fingerprint": alert.fingerprint,
        "generatorURL": addresses(alert.content, url)["url"],
        "receivers": [{"name": name} for name in alert.receivers],
        "startsAt": moment(alert.starts_at),
        "updatedAt": moment(alert.updated_at),
        "endsAt": moment(now + ENDS_IN),
        "status": {
            "state": "suppressed" if alert.is_muted else "active",
            "silencedBy": alert.silenced_by,
            "inhibitedBy": alert.inhibited_by,
            "mutedBy": [],
        },
    }
