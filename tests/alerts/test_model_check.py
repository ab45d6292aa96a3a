"""Exhaustive check of one alert with its dispatcher: every state that inputs can reach."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from uuid import UUID, uuid5

import pytest

from alerts.dispatch import Known, Member, Notice, Notified, Target, flush, next_flush
from alerts.inhibition import FiringAlert, inhibitor
from alerts.route import Receiver, Timers
from alerts.state import AlertRule, AlertState, Flip, Phase, corrected, step
from monitors.finding import Outcome

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TICK = timedelta(seconds=1)
TIMERS = Timers(group_wait=TICK, group_interval=2 * TICK, repeat_interval=TICK)
RECEIVER = Receiver(
    channels=("on-call",), timers=TIMERS, escalate_after=TICK, escalate_to=("boss",)
)
BOTH = frozenset({"page", "ticket"})
TARGETS = (Target(name="on-call", severities=BOTH), Target(name="boss", severities=BOTH))
IDS = [uuid5(UUID(int=0), str(number)) for number in range(3)]
OWN, OTHER = UUID(int=1), UUID(int=2)
LONG_AGO = -2  # ticks: no timer is longer


class Input(StrEnum):
    BREACH = "condition true"
    OK = "condition false"
    NO_DATA = "no data"
    TIME = "time passes"
    SILENCE = "silence starts or ends"
    INHIBITOR = "inhibitor starts or ends"
    ACKNOWLEDGE = "acknowledge"
    RESTART = "restart during a flush"
    LABEL_BAD = "label arrives: the last window was a breach"
    LABEL_GOOD = "label arrives: the last window was none"


@dataclass(frozen=True, slots=True)
class Incident:
    """Times are in ticks before now."""

    id: UUID
    is_firing: bool = True
    is_inhibited: bool = False
    was_muted: bool = False
    is_acknowledged: bool = False
    notified_at: int | None = None
    known: frozenset[tuple[str, str]] = frozenset()  # channel; firing or resolved


QUIET = AlertState()


@dataclass(frozen=True, slots=True)
class World:
    state: AlertState = QUIET
    is_silenced: bool = False
    has_inhibitor: bool = False
    incidents: tuple[Incident, ...] = ()
    due: int | None = None
    flushed: int | None = None
    at: tuple[tuple[str, int], ...] = ()  # when each channel was notified last

    @property
    def firing(self) -> Incident | None:
        return next((one for one in self.incidents if one.is_firing), None)

    def is_muted(self, one: Incident) -> bool:
        if not one.is_firing:
            return one.was_muted
        return self.is_silenced or one.is_inhibited

    def changed(self, new: Incident) -> "World":
        those = tuple(new if one.id == new.id else one for one in self.incidents)
        return replace(self, incidents=those)


def moment(ticks: int | None) -> datetime | None:
    return None if ticks is None else NOW + ticks * TICK


def touched(world: World, *, page: bool) -> World:
    at = next_flush(moment(world.due), moment(world.flushed), TIMERS, NOW, page=page)
    return replace(world, due=(at - NOW) // TICK)


def inhibited(world: World) -> World:
    """Evaluate inhibition, in the transaction that moved an alert."""
    own = FiringAlert(monitor_id=OWN, monitor="drift", severity="page", needs_data=True)
    other = FiringAlert(
        monitor_id=OTHER, monitor="silence", severity="page", means_missing_data=True
    )
    one = world.firing
    if one is None:
        return world
    by = inhibitor(own, [own, other] if world.has_inhibitor else [own])
    if (by is not None) == one.is_inhibited:
        return world
    world = world.changed(replace(one, is_inhibited=by is not None))
    return touched(world, page=True) if by is None else world


def evaluated(world: World, outcome: Outcome, rule: AlertRule) -> World:
    state, change = step(rule, world.state, outcome, NOW)
    world = replace(world, state=replace(state, since=None))
    if change is None:
        return inhibited(world)
    if change.flip is Flip.FIRED:
        used = {one.id for one in world.incidents}
        free = next(one for one in IDS if one not in used)
        world = replace(world, incidents=(*world.incidents, Incident(free)))
        return inhibited(touched(world, page=True))
    one = world.firing
    assert one is not None
    ended = replace(one, is_firing=False, was_muted=world.is_muted(one))
    return touched(world.changed(ended), page=False)


def members(world: World) -> list[Member]:
    return [
        Member(
            id=one.id,
            number=number,
            severity="page",
            is_firing=one.is_firing,
            muted_until=NOW if world.is_muted(one) else None,
            is_acknowledged=one.is_acknowledged,
            notified_at=moment(one.notified_at),
        )
        for number, one in enumerate(world.incidents)
    ]


def known_of(world: World, channel: str) -> Known:
    def ids(what: str) -> frozenset[UUID]:
        return frozenset(one.id for one in world.incidents if (channel, what) in one.known)

    at = dict(world.at).get(channel)
    return Known(
        firing=ids("firing") - ids("resolved"), resolved=ids("resolved"), at=moment(at)
    )


def flushed(world: World) -> World:
    """Flush the group, as `services.alerting.dispatch` does, and check what it sends."""
    knows = {target.name: known_of(world, target.name) for target in TARGETS}
    found = flush(members(world), knows, RECEIVER, TARGETS, NOW)
    by_id = {one.id: one for one in world.incidents}
    at = dict(world.at)
    for notice in found.notices:
        check(world, notice, by_id, knows[notice.channel])
        at[notice.channel] = 0
        for one in (*notice.firing, *notice.resolved):
            is_new = by_id[one].notified_at is None
            marks = {(notice.channel, "firing")}
            marks |= {(notice.channel, "resolved")} if one in notice.resolved else set()
            by_id[one] = replace(
                by_id[one],
                notified_at=0 if is_new else by_id[one].notified_at,
                known=by_id[one].known | marks,
            )
    for one in found.done:
        channels = {channel for channel, what in by_id[one].known if what == "firing"}
        ends = {channel for channel, what in by_id[one].known if what == "resolved"}
        assert channels == ends, "who was notified that it fires is notified of its end"
    kept = tuple(one for one in by_id.values() if one.id not in found.done)
    if found.next_at is None:
        assert not kept
        return replace(world, incidents=(), due=None, flushed=None, at=())
    due = (found.next_at - NOW) // TICK
    order = tuple(sorted(at.items()))
    return replace(world, incidents=kept, due=due, flushed=0, at=order)


def check(world: World, notice: Notice, by_id: dict[UUID, Incident], before: Known) -> None:
    for one in notice.firing:
        incident = by_id[one]
        assert incident.is_firing
        assert not world.is_muted(incident), "what is muted is not notified"
        is_first = one not in before.firing
        is_repeat = (
            notice.why is Notified.REPEAT
            and before.at is not None
            and before.at < NOW - TIMERS.repeat_interval
            and not incident.is_acknowledged
        )
        is_beside = notice.why is Notified.NEW_RESOLVED or notice.why is Notified.ENDED
        assert is_first or is_repeat or is_beside, "no double page"
        if notice.channel == "boss" and is_first:
            assert not incident.is_acknowledged
            assert incident.notified_at is not None
    for one in notice.resolved:
        assert not by_id[one].is_firing, "a silence never resolves"
        assert one not in before.resolved, "a resolve is sent once"
        assert one in before.firing or by_id[one].notified_at is None
    assert notice.is_firing is any(
        one.is_firing and (one.id in before.firing or one.id in notice.firing)
        for one in world.incidents
    )


@cache
def passed(world: World) -> World:
    """Let one tick pass; the group is flushed when it is due."""

    def earlier(at: int | None) -> int | None:
        return None if at is None else max(at - 1, LONG_AGO)

    world = replace(
        world,
        due=earlier(world.due),
        flushed=earlier(world.flushed),
        at=tuple((name, max(at - 1, LONG_AGO)) for name, at in world.at),
        incidents=tuple(
            replace(one, notified_at=None if one.notified_at is None else -1)
            for one in world.incidents
        ),
    )
    return flushed(world) if world.due is not None and world.due <= 0 else world


def after(world: World, given: Input, rule: AlertRule) -> World | None:
    """Return the world after an input; None where it cannot come."""
    match given:
        case Input.BREACH | Input.OK | Input.NO_DATA:
            outcomes = {Input.BREACH: "breach", Input.OK: "ok", Input.NO_DATA: "no_data"}
            return evaluated(world, Outcome(outcomes[given]), rule)
        case Input.TIME:
            return passed(world)
        case Input.SILENCE:
            changed = replace(world, is_silenced=not world.is_silenced)
            assert changed.state == world.state
            return replace(changed, due=0) if world.due is not None else changed
        case Input.INHIBITOR:
            return inhibited(replace(world, has_inhibitor=not world.has_inhibitor))
        case Input.ACKNOWLEDGE:
            one = world.firing
            return None if one is None else world.changed(replace(one, is_acknowledged=True))
        case Input.RESTART:
            flushed(world)  # its transaction is rolled back
            return world
        case Input.LABEL_BAD | Input.LABEL_GOOD:
            first, now = ("ok", "breach") if given is Input.LABEL_BAD else ("breach", "ok")
            state = corrected(rule, world.state, first, now, NOW)
            assert (state.phase is Phase.FIRING) is (world.state.phase is Phase.FIRING)
            return replace(world, state=replace(state, since=None))


def settled(world: World) -> World:
    """Let time pass until everything that waits has been sent."""
    for _ in range(6):
        world = passed(world)
    return world


def reachable(rule: AlertRule, most: int) -> Iterator[World]:
    """Yield every state in which at most so many incidents wait for a flush together."""
    waiting, seen = deque([World()]), {World()}
    while waiting:
        world = waiting.popleft()
        yield world
        for given in Input:
            new = after(world, given, rule)
            if new is None or len(new.incidents) > most:
                continue
            if new not in seen:
                seen.add(new)
                waiting.append(new)


ONE, TWO = AlertRule(breaches_to_fire=1, oks_to_resolve=1), AlertRule()


@pytest.mark.parametrize(
    ("rule", "most"),
    [
        pytest.param(ONE, 1, id="one breach, one ok"),
        pytest.param(ONE, 2, marks=pytest.mark.slow, id="flips between two flushes"),
        pytest.param(TWO, 2, marks=pytest.mark.slow, id="two breaches, two oks"),
    ],
)
def test_no_state_loses_a_resolve_or_a_page_or_sends_one_twice(
    rule: AlertRule, most: int
) -> None:
    n_states = 0
    for world in reachable(rule, most):
        n_states += 1
        firing = world.firing
        assert (firing is not None) is (world.state.phase is Phase.FIRING)
        later = settled(world)
        assert all(one.is_firing for one in later.incidents), "no resolve is lost"
        audible = replace(world, is_silenced=False, due=0 if world.incidents else None)
        end = inhibited(replace(audible, has_inhibitor=False))
        still = settled(end).firing
        if firing is not None:
            assert still is not None
            assert ("on-call", "firing") in still.known, "none is lost to a mute that ended"
            if not still.is_acknowledged:
                assert ("boss", "firing") in still.known, "it is escalated"
    assert n_states > 500
