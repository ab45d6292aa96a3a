"""`seqwatch alert` and `seqwatch silence` against a platform on a real port."""

from collections.abc import Callable

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from db.session import read_only
from db.tables import Alert, Silence
from tests.alerting.world import Alerting
from tests.configuration.conftest import Seqwatch, as_key, seqwatch, url

__all__ = ["as_key", "seqwatch", "url"]  # fixtures

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def paged(sessions: sessionmaker[Session]) -> Alerting:
    world = Alerting(sessions)
    world.breach()
    world.wait()
    return world


def alert_id(sessions: sessionmaker[Session]) -> str:
    with read_only(sessions) as session:
        return str(session.scalars(select(Alert.id)).one())


@pytest.mark.usefixtures("paged")
def test_an_alert_is_listed_acknowledged_and_given_a_verdict(
    seqwatch: Seqwatch, as_key: Callable[..., str], sessions: sessionmaker[Session]
) -> None:
    as_key("read", "operate")
    own = alert_id(sessions)
    listed = seqwatch("alert", "list")
    assert listed.status == 0, listed.err
    assert listed.out.startswith(f"{own}  firing page  grid/silence, since ")
    acknowledged = seqwatch("alert", "ack", own, "--note", "on it")
    assert "acknowledged by read-operate" in acknowledged.out
    answered = seqwatch("alert", "verdict", own, "false_alarm", "--note", "a test")
    assert "verdict: false_alarm by read-operate" in answered.out
    shown = seqwatch("alert", "show", own).out
    for name in ("onset: ", "detected: ", "notified: ", "acknowledged: ", "notified on-call: "):
        assert name in shown


@pytest.mark.usefixtures("paged")
def test_alerts_that_match_are_silenced_until_the_silence_expires(
    seqwatch: Seqwatch, as_key: Callable[..., str], sessions: sessionmaker[Session]
) -> None:
    as_key("read", "operate")
    added = seqwatch(
        "silence", "add", "model=grid", "monitor=~sil.*", "--comment", "maintenance"
    )
    assert added.status == 0, added.err
    with read_only(sessions) as session:
        row = session.scalars(select(Silence)).one()
        silence_id = str(row.id)
    assert added.out.startswith(f"{silence_id}  active until ")
    assert "model=grid, monitor=~sil.*" in added.out
    assert "read-operate: maintenance" in added.out
    assert "silenced" in seqwatch("alert", "list").out
    assert silence_id in seqwatch("alert", "show", alert_id(sessions)).out
    assert silence_id in seqwatch("silence", "list").out
    assert seqwatch("silence", "expire", silence_id).status == 0
    assert seqwatch("silence", "list").out == ""
    assert f"{silence_id}  expired" in seqwatch("silence", "list", "--all").out


@pytest.mark.usefixtures("paged")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["silence", "add", "grid"], "'grid' is no matcher"),
        (["silence", "add", "model=~("], "regular expression"),
        (["silence", "add", "model=grid", "--duration", "2h"], "--duration: "),
        (["silence", "expire", "00000000-0000-0000-0000-000000000000"], "404: no silence"),
        (["alert", "ack", "00000000-0000-0000-0000-000000000000"], "404: no alert"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(
    seqwatch: Seqwatch, as_key: Callable[..., str], arguments: list[str], message: str
) -> None:
    as_key("read", "operate")
    ran = seqwatch(*arguments)
    assert ran.status == 1
    assert message in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.usefixtures("paged")
def test_a_key_that_may_only_read_lists_and_changes_nothing(
    seqwatch: Seqwatch, as_key: Callable[..., str], sessions: sessionmaker[Session]
) -> None:
    as_key("read")
    assert "firing" in seqwatch("alert", "list").out
    ran = seqwatch("alert", "ack", alert_id(sessions))
    assert (ran.status, ran.out) == (1, "")
    assert "operate" in ran.err
