"""Findings within minutes have a page, and stand on that of their model."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import MINUTE
from db.session import read_only
from db.tables import Model
from tests.services.live_world import LEARNT, World, stuck
from tests.web.conftest import Browsers


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_stuck_input_and_a_silent_service_are_shown(
    signed_in: Browsers, sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(sessions, monkeypatch)
    world.learn()
    for minute in range(LEARNT, LEARNT + 6):
        world.send(minute, 1, stuck)
        world.check()
    for _ in range(6):
        world.check(passed=MINUTE)
    [still] = world.breaches("input_health")
    [silent] = world.breaches("silence")
    browser = signed_in("read")
    with read_only(sessions) as session:
        name = session.scalars(select(Model.name)).one()
    model = browser.get(f"/models/{name}").text
    for finding in (still, silent):
        answer = browser.get(f"/findings/{finding.id}")
        assert answer.status_code == 200
        assert ("names no feature" in answer.text) == (finding is silent)
        assert finding.cause in answer.text
        assert finding.cause in model
