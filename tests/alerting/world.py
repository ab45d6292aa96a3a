"""Alerts of one model that are driven by hand, by the wall clock, with their dispatcher."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from alerts import route, silence
from alerts.labels import Matcher
from core.durations import DAY, SECOND
from db.session import read_only, unit_of_work
from db.tables import Alert, AlertGroup, Channel, Delivery, Incident, Route, Silence
from monitors.finding import Finding, Outcome
from notify.signing import new_secret
from services.alerting import dispatch, responses, routes, silences
from services.alerting.responses import Person
from tests.services.loop import Loop
from tests.streams import START

FULL = timedelta(minutes=6)  # longer than any group waits


class Alerting:
    """A model whose silence pages at the first breach and resolves at the first ok."""

    def __init__(
        self, sessions: sessionmaker[Session], kinds: tuple[str, ...] = ("silence",)
    ) -> None:
        self.sessions, self.now, self.n_days = sessions, START, 0
        self.loop = Loop(sessions, kinds=kinds)
        self.channel("on-call", "page", "ticket")
        with unit_of_work(sessions) as session:
            session.delete(session.get_one(Route, "all"))

    def channel(self, name: str, *severities: str) -> None:
        with unit_of_work(self.sessions) as session:
            session.add(
                Channel(
                    name=name,
                    config={"url": "http://127.0.0.1/", "secret": new_secret()},
                    severities=[*severities],
                    created_at=self.now,
                )
            )

    def route(self, name: str, definition: route.Route) -> None:
        with unit_of_work(self.sessions) as session:
            routes.put(session, name, definition, self.now)

    def find(self, outcome: Outcome, *names: str) -> None:
        """Evaluate some monitors, by default silence, in one transaction."""
        self.n_days += 1
        at = START + self.n_days * DAY
        with unit_of_work(self.sessions) as session:
            found: dict[str, Finding] = {}
            for name in names or ("silence",):
                found[name] = self.loop.finding(name, outcome, at)
            self.loop.observe_all_in(session, found, at, self.now)

    def breach(self, *names: str) -> None:
        self.find(Outcome.BREACH, *names)

    def ok(self, *names: str) -> None:
        self.find(Outcome.OK, *names)

    def wait(self, span: timedelta = FULL) -> None:
        """Let time pass, with a dispatcher that wakes up every five seconds."""
        end = self.now + span
        while self.now < end:
            with read_only(self.sessions) as session:
                due = session.scalar(select(func.min(AlertGroup.next_flush_at)))
            self.now = min(end, max(due or end, self.now + 5 * SECOND))
            dispatch.flush_all(self.sessions, self.now)

    def silence(self, span: timedelta = DAY, **labels: str) -> UUID:
        matchers = [Matcher(name=name, value=of) for name, of in labels.items()]
        with unit_of_work(self.sessions) as session:
            definition = silence.Silence(
                matchers=tuple(matchers) or (Matcher(name="model", value="grid"),),
                starts_at=self.now,
                ends_at=self.now + span,
                author="ann",
                comment="",
            )
            return silences.put(session, definition, self.now).id

    def expire(self, silence_id: UUID) -> None:
        with unit_of_work(self.sessions) as session:
            silences.expire(session, session.get_one(Silence, silence_id), self.now)

    def acknowledge(self) -> None:
        with unit_of_work(self.sessions) as session:
            alert = session.scalars(select(Alert)).one()
            responses.acknowledge(session, alert, Person(name="ann", now=self.now))

    def messages(self, channel: str = "on-call") -> list[Any]:
        """Return the data of what a channel is sent, in order."""
        with read_only(self.sessions) as session:
            found = session.scalars(
                select(Delivery)
                .join(Channel, Channel.id == Delivery.channel_id)
                .where(Channel.name == channel)
                .order_by(Delivery.seq)
            )
            return [json.loads(row.body)["data"] for row in found]

    def sent(self, channel: str = "on-call") -> list[str]:
        """Return what a channel is sent of each alert, such as `firing` or `resolved`."""
        return [one["status"] for body in self.messages(channel) for one in body["alerts"]]

    def incidents(self) -> list[Incident]:
        return sorted(self.loop.all(Incident), key=lambda one: one.detected_at)
