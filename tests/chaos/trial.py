"""One platform under traffic: real processes, several models, one receiver of webhooks."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime

import httpx
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from db.session import read_only
from db.tables import Delivery, Finding, FlipRow, Inbox, Model
from tests import postgres
from tests.chaos.audit import Check, audit, same, table_of
from tests.chaos.faulty_receiver import FaultyReceiver, receiving
from tests.chaos.outage import small_disk
from tests.chaos.slots import (
    backlog,
    check_notifications,
    check_slots,
    closed_slots,
    note_order,
)
from tests.chaos.stage import Stage, staged
from tests.chaos.storm import place
from tests.chaos.traffic import Sender

MODELS = ("north", "south", "west")
PROGRESS_SECONDS = 240.0  # at most, until what closed during an outage is evaluated
BACKLOG_SECONDS = 2400.0  # at most, until nothing waits: retries of notifications lie apart
DISK_MIB = 1024
N_WORKERS = 2
SETTINGS = {
    "SEQWATCH_LEASE": "10",
    "SEQWATCH_EVALUATE_EVERY": "0.5",
    "SEQWATCH_REEVALUATE_EVERY": "15",
    "SEQWATCH_DELIVER_EVERY": "0.5",
    "SEQWATCH_WEBHOOK_TIMEOUT": "5",
    "SEQWATCH_WEBHOOK_ALLOW": "127.0.0.0/8",
}


class NoProgress(AssertionError):
    """What waits does not get less."""


class Trial:
    """A platform, who sends to it, and who receives from it."""

    def __init__(
        self,
        stage: Stage,
        receiver: FaultyReceiver,
        server: postgres.Server | None,
        day_seconds: float,
    ) -> None:
        self.stage, self.receiver, self.server = stage, receiver, server
        self.senders = [Sender(stage.url, stage.key, model, day_seconds) for model in MODELS]
        self.died: list[str] = []
        note_order(stage.engine)
        answer = httpx.put(
            f"{stage.url}/v1/channels/on-call",
            json={"url": receiver.url},
            headers={"Authorization": f"Bearer {stage.key}"},
            timeout=60,
        )
        assert answer.status_code == 201, answer.text
        for sender in self.senders:
            sender.start()

    def wait_for_progress(self, *, notifications: bool = False) -> float:
        """Wait until all that is due now is done, while more comes; return the seconds.

        Raises
        ------
        NoProgress
            With what is left, after `PROGRESS_SECONDS`.
        """
        began, due = time.monotonic(), None
        left = "the database does not answer"
        while time.monotonic() - began < PROGRESS_SECONDS:
            self.note_deaths()
            try:
                due = due or self._due()
                left = self._left(due, notifications=notifications)
                if not left:
                    return time.monotonic() - began
            except SQLAlchemyError as error:
                left = f"the database does not answer: {type(error).__name__}"
            time.sleep(0.5)
        raise NoProgress(f"after {PROGRESS_SECONDS:.0f} s: {left}")

    def _due(self) -> tuple[dict[str, datetime], int, int]:
        with read_only(self.stage.sessions) as session:
            slots: dict[str, datetime] = {}
            for model in session.scalars(select(Model)):
                if closed := closed_slots(session, model):
                    slots[model.name] = closed[-1]
            entry = session.scalar(select(func.max(Inbox.id))) or 0
            delivery = session.scalar(select(func.max(Delivery.seq))) or 0
        return slots, entry, delivery

    def _left(self, due: tuple[dict[str, datetime], int, int], *, notifications: bool) -> str:
        slots, entry, delivery = due
        with read_only(self.stage.sessions) as session:
            evaluated = {m.name: m.evaluated_until for m in session.scalars(select(Model))}
            late = [
                f"{name} evaluated to {evaluated[name]} of {slot}"
                for name, slot in slots.items()
                if (until := evaluated[name]) is None or until < slot
            ]
            oldest = session.scalar(select(func.min(Inbox.id)))
            if oldest is not None and oldest <= entry:
                late.append(f"inbox not archived from {oldest} to {entry}")
            n_open = session.scalar(
                select(func.count()).where(
                    Delivery.seq <= delivery, Delivery.finished_at.is_(None)
                )
            )
            if notifications and n_open:
                late.append(f"{n_open} notifications not delivered")
        return "; ".join(late)

    def note_deaths(self) -> None:
        """Note which processes ended by themselves, and start them again."""
        for name, process in [*self.stage.processes.items()]:
            if process.poll() is not None:
                self.died.append(f"{name} ({process.returncode})")
                self.stage.start(name)

    def wait_for_slots(self, n: int) -> None:
        """Wait until so many slots of each model have been evaluated."""
        began = time.monotonic()
        while time.monotonic() - began < PROGRESS_SECONDS:
            with read_only(self.stage.sessions) as session:
                evaluated = [
                    sum(slot <= model.evaluated_until for slot in closed_slots(session, model))
                    for model in session.scalars(select(Model))
                    if model.evaluated_until is not None
                ]
            if len(evaluated) == len(MODELS) and min(evaluated) >= n:
                return
            time.sleep(0.5)
        raise NoProgress(f"fewer than {n} slots are evaluated; see {self.stage.home}/log")

    def wait_for_retry(self) -> None:
        """Wait until a notification has failed and waits for its next attempt."""
        began = time.monotonic()
        while time.monotonic() - began < PROGRESS_SECONDS:
            with read_only(self.stage.sessions) as session:
                waiting = select(Delivery.seq).where(
                    Delivery.finished_at.is_(None),
                    Delivery.attempts > 0,
                    Delivery.lease_until.is_(None),
                )
                if session.scalar(waiting.limit(1)) is not None:
                    return
            time.sleep(0.2)
        raise NoProgress("no notification has failed")

    def n_findings(self) -> int:
        with read_only(self.stage.sessions) as session:
            return session.scalar(select(func.count()).select_from(Finding)) or 0

    def finish(self) -> list[Check]:
        """End the traffic, wait until nothing waits, and check everything."""
        for sender in self.senders:
            sender.stop()
        until, left = time.monotonic() + BACKLOG_SECONDS, {"database": 1}
        while left and time.monotonic() < until:
            self.note_deaths()
            try:
                with read_only(self.stage.sessions) as session:
                    left = backlog(session)
            except SQLAlchemyError:
                left = {"database": 1}
            time.sleep(0.5)
        ready = httpx.get(f"{self.stage.url}/ready", timeout=30)
        self.stage.stop()
        return [*self._checks(left, ready)]

    def _checks(self, left: Mapping[str, int], ready: httpx.Response) -> Iterator[Check]:
        yield same("processes that ended by themselves", [], self.died)
        yield same("what waits", {}, dict(left))
        yield same("/ready", (200, "ready"), (ready.status_code, ready.text.strip()))
        wrong = [each for sender in self.senders for each in sender.wrong]
        yield same("answers other than 200, 429 and 503", [], wrong[:3])
        with read_only(self.stage.sessions) as session:
            yield from check_slots(session)
            yield from check_notifications(session, self.receiver.ids)
            n_flips = session.scalar(select(func.count()).select_from(FlipRow)) or 0
            yield Check(
                what="alerts fired and were resolved",
                expected="> 0",
                found=n_flips,
                is_ok=n_flips > 0,
            )
        for sender in self.senders:
            for check in audit(
                self.stage.sessions,
                self.stage.lake,
                sender.model,
                predictions=sender.acknowledged("predictions"),
                labels=sender.acknowledged("labels"),
            ):
                yield Check(
                    what=f"{sender.model}: {check.what}",
                    expected=check.expected,
                    found=check.found,
                    is_ok=check.is_ok,
                )


@contextmanager
def trial(
    kind: str,
    *,
    day_seconds: float,
    environment: Mapping[str, str] | None = None,
    on_small_disk: bool = False,
) -> Iterator[Trial]:
    """Start a platform on a database, with traffic and a receiver; leave nothing behind."""
    with ExitStack() as stack:
        home = stack.enter_context(place())
        folder = home
        if on_small_disk:
            folder = stack.enter_context(small_disk(home / "disk", DISK_MIB))
        server = None
        if kind == "postgres":
            server = stack.enter_context(postgres.started(durable=True))
        url = server.url if server else f"sqlite:///{folder / 'seqwatch.sqlite'}"
        receiver = stack.enter_context(receiving())
        stage = Stage(
            folder,
            url,
            home=home,
            models=MODELS,
            settings={**SETTINGS, **(environment or {})},
        )
        stack.enter_context(staged(stage, N_WORKERS, with_host=False))
        stage.start("trainer")
        running = Trial(stage, receiver, server, day_seconds)
        try:
            yield running
        finally:
            for sender in running.senders:
                sender.abandon()


def write_line(text: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def report(title: str, checks: Sequence[Check]) -> None:
    """Print a verdict, what is wrong, and how much was compared."""
    n_wrong = sum(not check.is_ok for check in checks)
    write_line(f"{title}: {len(checks)} checks, {n_wrong} wrong")
    write_line(
        table_of(
            c for c in checks if not c.is_ok or "notification" in c.what or "slots" in c.what
        )
    )
