"""What users of other alerting systems complained of, each by number (specification, 8)."""

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session, sessionmaker

from alerts import route
from alerts.labels import Matcher
from core.durations import HOUR, MINUTE, SECOND
from db.session import unit_of_work
from db.tables import Alert, Channel, Delivery
from monitors.finding import Outcome
from notify.sender import Sender
from notify.signing import sign
from services.alerting import dispatch, responses
from services.alerting.deliver import deliver_all
from services.alerting.responses import Person
from tests.alerting.world import FULL, Alerting
from tests.notify.receiver import Receiver
from tests.services.loop import at_once


@pytest.fixture
def alerting(sessions: sessionmaker[Session]) -> Alerting:
    return Alerting(sessions)


def test_25_a_resolve_is_notified_although_the_alert_is_silenced(alerting: Alerting) -> None:
    alerting.breach()
    alerting.wait()
    alerting.silence()
    alerting.ok()
    alerting.wait()
    assert alerting.sent() == ["firing", "resolved"]


def test_26_a_resolve_reaches_who_was_notified_although_the_route_leads_elsewhere(
    alerting: Alerting,
) -> None:
    alerting.breach()
    alerting.wait()
    alerting.channel("other", "page")
    alerting.route("new", route.Route(channels=("other",)))
    with unit_of_work(alerting.sessions) as session:
        session.query(Channel).filter_by(name="on-call").one().severities = []
    alerting.ok()
    alerting.wait()
    assert alerting.sent() == ["firing", "resolved"]


def test_27_what_fired_during_a_silence_is_notified_when_it_ends_and_what_was_is_not_again(
    alerting: Alerting,
) -> None:
    silence = alerting.silence()
    alerting.breach()
    alerting.wait()
    assert alerting.sent() == []
    alerting.expire(silence)
    alerting.wait(5 * SECOND)
    assert alerting.sent() == ["firing"]
    alerting.silence(10 * MINUTE)
    alerting.wait(20 * MINUTE)
    assert alerting.sent() == ["firing"]


def test_27_a_silence_that_ends_by_itself_is_followed_by_the_notification(
    alerting: Alerting,
) -> None:
    alerting.silence(2 * MINUTE)
    alerting.breach()
    alerting.wait(2 * MINUTE)
    assert alerting.sent() == ["firing"]


def test_28_an_inhibited_alert_does_not_fire_after_a_restart(
    sessions: sessionmaker[Session],
) -> None:
    alerting = Alerting(sessions, kinds=("burn_rate",))
    alerting.breach("burn_rate")
    alerting.now += FULL  # no dispatcher ran; the first flush of a new one
    dispatch.flush_all(alerting.sessions, alerting.now)
    assert [one["severity"] for one in alerting.messages()[0]["alerts"]] == ["page"]


def test_29_a_page_inhibits_the_ticket_of_the_evaluation_that_fires_both(
    sessions: sessionmaker[Session],
) -> None:
    alerting = Alerting(sessions, kinds=("burn_rate",))
    alerting.breach("burn_rate")
    inhibited = {one.severity: one.inhibited_by for one in alerting.incidents()}
    assert inhibited == {"ticket": "page of burn_rate", "page": None}
    alerting.wait()
    assert [one["severity"] for one in alerting.messages()[0]["alerts"]] == ["page"]
    alerting.ok("burn_rate")
    alerting.wait()
    assert alerting.sent() == ["firing", "resolved"]


def test_30_replicas_send_a_resolve_once(alerting: Alerting) -> None:
    alerting.breach()
    alerting.wait(5 * SECOND)
    alerting.ok()
    alerting.now += FULL
    at_once(*(lambda: dispatch.flush_all(alerting.sessions, alerting.now) for _ in range(3)))
    assert alerting.sent() == ["firing", "resolved"]


def test_31_a_retry_has_the_same_id_and_flushes_meanwhile_add_none(
    alerting: Alerting, sender: Sender, receiver: Receiver
) -> None:
    with unit_of_work(alerting.sessions) as session:
        session.query(Channel).one().config = {
            **session.query(Channel).one().config,
            "url": receiver.url,
        }
    receiver.statuses = [503]
    alerting.breach()
    alerting.wait(5 * SECOND)
    for _ in range(3):
        deliver_all(alerting.sessions, sender, lambda: alerting.now)
        alerting.wait()
    assert len({one.headers["webhook-id"] for one in receiver.received}) == 1
    assert (len(receiver.received), len(alerting.loop.all(Delivery))) == (2, 1)


def test_24_a_notification_is_signed(
    alerting: Alerting, sender: Sender, receiver: Receiver
) -> None:
    with unit_of_work(alerting.sessions) as session:
        channel = session.query(Channel).one()
        channel.config = {**channel.config, "url": receiver.url}
        secret = channel.config["secret"]
    alerting.breach()
    alerting.wait(5 * SECOND)
    deliver_all(alerting.sessions, sender, lambda: alerting.now)
    [one] = receiver.received
    sent_at = int(alerting.now.timestamp())
    signature = sign(secret, one.headers["webhook-id"], sent_at, one.body)
    assert one.headers["webhook-signature"] == signature


def test_32_a_repeat_comes_once_an_interval_until_somebody_acknowledges(
    alerting: Alerting,
) -> None:
    alerting.breach()
    alerting.wait(4 * HOUR - MINUTE)
    assert [one["notification_reason"] for one in alerting.messages()] == ["first"]
    alerting.wait(20 * MINUTE)
    assert [one["notification_reason"] for one in alerting.messages()] == ["first", "repeat"]
    alerting.acknowledge()
    alerting.wait(5 * HOUR)
    assert len(alerting.messages()) == 2


def test_33_a_silence_of_an_alert_ends_when_it_is_resolved(alerting: Alerting) -> None:
    alerting.breach()
    alerting.wait(5 * SECOND)
    with unit_of_work(alerting.sessions) as session:
        alert = session.query(Alert).one()
        responses.silence_alert(session, alert, None, Person(name="ann", now=alerting.now))
    alerting.ok()
    alerting.wait()
    alerting.breach()
    alerting.wait(5 * SECOND)
    assert alerting.sent() == ["firing", "resolved", "firing"]


@pytest.mark.parametrize("is_between", [True, False], ids=["after", "during"])
def test_34_an_alert_that_fires_again_is_notified_after_a_silence(
    alerting: Alerting, is_between: bool
) -> None:
    alerting.breach()
    alerting.wait()
    silence = alerting.silence()
    alerting.ok()
    alerting.wait()
    if is_between:
        alerting.expire(silence)
        alerting.breach()
    else:
        alerting.breach()
        alerting.wait()
        alerting.expire(silence)
    alerting.wait(10 * SECOND)
    assert alerting.sent() == ["firing", "resolved", "firing"]


def test_a_silence_never_resolves_what_was_notified(alerting: Alerting) -> None:
    alerting.breach()
    alerting.wait()
    alerting.silence()
    alerting.wait(HOUR)
    assert alerting.sent() == ["firing"]
    assert [one.resolved_at for one in alerting.incidents()] == [None]


def test_what_fired_and_ended_between_two_flushes_is_notified_once(alerting: Alerting) -> None:
    alerting.breach()
    alerting.ok()
    alerting.wait()
    assert [one["notification_reason"] for one in alerting.messages()] == ["ended"]
    assert alerting.sent() == ["resolved"]


def test_a_page_of_a_group_waits_no_longer_than_group_wait(alerting: Alerting) -> None:
    alerting.breach()
    alerting.wait(5 * SECOND)
    alerting.ok()
    alerting.wait(10 * SECOND)
    assert alerting.sent() == ["firing"]  # group_interval is not over
    alerting.breach()
    alerting.wait(5 * SECOND)
    assert alerting.sent() == ["firing", "resolved", "firing"]


def test_what_nobody_acknowledges_is_escalated_and_its_end_too(alerting: Alerting) -> None:
    alerting.channel("boss", "page")
    escalation = route.Route(
        channels=("on-call",), escalate_after=10 * MINUTE, escalate_to=("boss",)
    )
    alerting.route("page", escalation)
    alerting.breach()
    alerting.wait(10 * MINUTE)
    assert alerting.sent("boss") == []
    alerting.wait(10 * SECOND)
    assert alerting.sent("boss") == ["firing"]
    alerting.ok()
    alerting.wait()
    assert alerting.sent("boss") == ["firing", "resolved"]
    alerting.breach()
    alerting.wait(MINUTE)
    alerting.acknowledge()
    alerting.wait(HOUR)
    assert alerting.sent("boss") == ["firing", "resolved"]


def test_alerts_of_a_model_are_one_notification_where_they_are_grouped_by_it(
    sessions: sessionmaker[Session],
) -> None:
    alerting = Alerting(sessions, kinds=("burn_rate", "input_drift", "mean_shift"))
    alerting.route("all", route.Route(group_by=("model",)))
    alerting.breach("burn_rate", "input_drift", "mean_shift")
    alerting.wait(5 * SECOND)
    [one] = alerting.messages()
    assert one["kind"] == "burn_rate"
    assert len(one["alerts"]) == 3
    assert one["group_key"] == '{all}:{model="grid"}'


def test_routes_lead_to_the_owner(sessions: sessionmaker[Session]) -> None:
    alerting = Alerting(sessions, kinds=("burn_rate",))
    alerting.channel("sre", "page")
    slo = (Matcher(name="sli", value="availability|latency", is_regex=True),)
    alerting.route("infrastructure", route.Route(matchers=slo, channels=("sre",)))
    alerting.route("model", route.Route(position=1, channels=("on-call",)))
    alerting.breach("burn_rate")
    alerting.wait(5 * SECOND)
    assert (alerting.sent("sre"), alerting.sent("on-call")) == (["firing"], [])


def test_no_data_resolves_nothing(alerting: Alerting) -> None:
    alerting.breach()
    alerting.find(Outcome.NO_DATA)
    alerting.wait(timedelta(days=1) / 24)
    assert alerting.sent() == ["firing"]
