"""Dispatchers that are killed during a storm of flips."""

import os
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from alerts import route
from core.clock import utcnow
from core.durations import DAY
from db.session import read_only, unit_of_work
from db.tables import AlertGroup, Channel, Delivery, Incident
from monitors.finding import Outcome
from services.alerting import dispatch, routes
from tests.notify.receiver import Receiver
from tests.services.loop import Loop
from tests.streams import START

QUICK = timedelta(seconds=0.1)


class Dispatchers:
    """Replicas, of which one at random is killed and replaced."""

    def __init__(self, url: str, n: int, seed: int) -> None:
        self.command = [sys.executable, "-m", "tests.alerting.storm", url]
        self.random, self.n_kills = random.Random(seed), 0
        self.replicas = [self.start() for _ in range(n)]

    def start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(self.command, env={**os.environ, "PYTHONPATH": "."})

    def kill(self) -> None:
        place = self.random.randrange(len(self.replicas))
        self.replicas[place].kill()
        self.replicas[place].wait()
        self.replicas[place] = self.start()
        self.n_kills += 1


@contextmanager
def dispatching(url: str, n: int) -> Iterator[Dispatchers]:
    replicas = Dispatchers(url, n, seed=7)
    try:
        yield replicas
    finally:
        for one in replicas.replicas:
            one.kill()
            one.wait()


def storm(
    sessions: sessionmaker[Session],
    url: str,
    receiver: Receiver,
    *,
    n_models: int,
    n_flips: int,
    n_replicas: int,
    kill_every: int,
) -> int:
    loops = [Loop(sessions, f"m{number}", ("silence",)) for number in range(n_models)]
    loops[0].listen("page")
    with unit_of_work(sessions) as session:
        channel = session.query(Channel).one()
        channel.config = {**channel.config, "url": receiver.url}
        quick = route.Route(group_wait=QUICK / 2, group_interval=QUICK)
        routes.put(session, "all", quick, utcnow())
    with dispatching(url, n_replicas) as replicas:
        for number in range(n_flips):
            loop, turn = loops[number % n_models], number // n_models
            outcome = Outcome.OK if turn % 2 else Outcome.BREACH
            with unit_of_work(sessions) as session:
                at = START + (turn + 1) * DAY
                loop.observe_in(session, "silence", outcome, at, now=utcnow())
            if number % kill_every == kill_every - 1:
                replicas.kill()
        n_kills = replicas.n_kills
        wait_until_sent(sessions)
    check(sessions, receiver)
    return n_kills


def wait_until_sent(sessions: sessionmaker[Session]) -> None:
    ends = time.monotonic() + 180
    waiting = -1
    while waiting and time.monotonic() < ends:
        time.sleep(0.2)
        with unit_of_work(sessions) as session:  # no attempt waits for its lease or its delay
            open_ones = session.query(Delivery).filter(Delivery.finished_at.is_(None)).all()
            unnotified = select(func.count()).where(Incident.notified_at.is_(None))
            waiting = len(open_ones) + (session.scalar(unnotified) or 0)
            ended = select(func.count()).select_from(AlertGroup)
            waiting += session.scalar(ended.where(AlertGroup.next_flush_at < utcnow())) or 0
            for one in open_ones:
                if one.lease_until is not None and one.created_at < utcnow() - 20 * QUICK:
                    one.lease_until = min(one.lease_until, utcnow() + 20 * QUICK)
    assert waiting == 0, "everything is sent in time"


def check(sessions: sessionmaker[Session], receiver: Receiver) -> None:
    """Every flip was received, resolves included, in order; a repeated one has the same id."""
    bodies: dict[str, bytes] = {}
    order = defaultdict[str, list[str]](list)
    resolved_in = defaultdict[str, set[str]](set)
    for one in receiver.received:
        key = one.headers["webhook-id"]
        assert bodies.setdefault(key, one.body) == one.body
        for alert in one.content["data"]["alerts"]:
            order[alert["labels"]["model"]].append(alert["incident"])
            if alert["status"] == "resolved":
                resolved_in[alert["incident"]].add(key)
    with read_only(sessions) as session:
        incidents: list[Any] = [*session.scalars(select(Incident).order_by(Incident.onset))]
        session.expunge_all()
    for incident in incidents:
        seen = str(incident.id)
        assert seen in order[incident.labels["model"]], "a flip was lost"
        if incident.resolved_at is not None:
            assert len(resolved_in[seen]) == 1, "a resolve is sent once, under one id"
    for model, received in order.items():
        expected = [str(one.id) for one in incidents if one.labels["model"] == model]
        assert [*dict.fromkeys(received)] == expected, "in order"


def test_no_flip_is_lost_when_dispatchers_are_killed(
    sessions: sessionmaker[Session], database_url: str, receiver: Receiver
) -> None:
    n_kills = storm(
        sessions,
        database_url,
        receiver,
        n_models=4,
        n_flips=40,
        n_replicas=2,
        kill_every=10,
    )
    assert n_kills == 4


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_no_flip_of_two_thousand_is_lost_with_three_replicas(
    sessions: sessionmaker[Session], database_url: str, receiver: Receiver
) -> None:
    n_kills = storm(
        sessions,
        database_url,
        receiver,
        n_models=20,
        n_flips=2_000,
        n_replicas=3,
        kill_every=100,
    )
    assert n_kills == 20


def test_a_crash_within_a_flush_leaves_nothing_half_done(
    sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = Loop(sessions, kinds=("silence",))
    loop.listen("page")
    with unit_of_work(sessions) as session:
        loop.observe_in(session, "silence", Outcome.BREACH, START + DAY)

    def crash(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as broken:
        broken.setattr(dispatch, "_finish", crash)
        with pytest.raises(RuntimeError):
            loop.dispatch(START + 2 * DAY)
    assert loop.all(Delivery) == []
    assert [one.notified_at for one in loop.all(Incident)] == [None]
    loop.dispatch(START + 2 * DAY)
    assert len(loop.all(Delivery)) == 1
