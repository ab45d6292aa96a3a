"""Take away lake, database, disk and receiver at random, or move the clock of the platform.

Afterwards every slot of every monitor was evaluated once, in order, every notification was
delivered, every acknowledged row is in the log once, and nothing waits.

Run: `python -m tests.chaos.surroundings --database both --seed 1`, or with `--clock`
"""

import argparse
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from tests import postgres
from tests.chaos import clock
from tests.chaos.audit import Check, same
from tests.chaos.faulty_receiver import Fault
from tests.chaos.outage import full, locked
from tests.chaos.trial import NoProgress, Trial, report, trial, write_line

SHORT, LONG = (10.0, 30.0), 300.0  # seconds
SHARE_OF_PAIRS = 0.25  # of the rounds, in which two things are away together
THINGS = ("lake", "database", "disk", "receiver")
DAY_SECONDS = 5.0  # in which an event day of every model passes

Outage: TypeAlias = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What is taken away together, and for how long."""

    outages: tuple[str, ...]
    seconds: float


def plan(
    lengths: Sequence[float], things: Mapping[str, Sequence[str]], rng: random.Random
) -> list[Round]:
    """Draw the rounds: each thing comes as often as every other.

    Parameters
    ----------
    lengths
        Of the rounds, in seconds.
    things
        In which ways each thing is taken away.
    rng
        Draws the order, the ways, and which rounds take two things.
    """
    rounds: list[Round] = []
    deck: list[str] = []
    for seconds in rng.sample(lengths, len(lengths)):
        taken: list[str] = []
        n_taken = 2 if len(things) > 1 and rng.random() < SHARE_OF_PAIRS else 1
        while len(taken) < n_taken:
            deck = deck or rng.sample([*things], len(things))
            thing = deck.pop()
            if thing not in taken:
                taken.append(thing)
        outages = tuple(rng.choice(things[thing]) for thing in taken)
        rounds.append(Round(outages=outages, seconds=seconds))
    return rounds


@contextmanager
def moved(lake: Path, *, leave_file: bool) -> Iterator[None]:
    """Move the lake away, as when a volume is not mounted.

    With a file in its place nothing can be written there. Without one, the platform may
    make a new folder: that one is put aside.
    """
    away = lake.with_name("lake.away")
    lake.rename(away)
    if leave_file:
        lake.touch()
    try:
        yield
    finally:
        if leave_file:
            lake.unlink()
        while away.exists():  # again, when a folder is made between the two
            with suppress(FileNotFoundError):
                lake.rename(lake.with_name(f"lake.made-{time.monotonic_ns()}"))
            with suppress(OSError):
                away.rename(lake)


@contextmanager
def stopped(server: postgres.Server, mode: str) -> Iterator[None]:
    """Stop PostgreSQL, and start it again."""
    assert server.stop(mode), "PostgreSQL did not stop"
    try:
        yield
    finally:
        assert server.start(), "PostgreSQL did not start again"


def outages(running: Trial) -> dict[str, dict[str, Outage]]:
    """Return, for each thing, the ways in which it is taken away."""
    folder, server = running.stage.folder, running.server
    lake = folder / "lake"
    found: dict[str, dict[str, Outage]] = {
        "lake": {
            "lake moved away": partial(moved, lake, leave_file=False),
            "lake unusable": partial(moved, lake, leave_file=True),
        },
        "receiver": {fault.value: partial(running.receiver.faulty, fault) for fault in Fault},
    }
    if server is None:
        found["database"] = {"database locked": partial(locked, folder / "seqwatch.sqlite")}
    else:
        found["database"] = {
            f"database stopped, {mode}": partial(stopped, server, mode)
            for mode in ("immediate", "fast")
        }
    if os.geteuid() == 0:
        found["disk"] = {"disk full": partial(full, folder)}
    return found


def play(running: Trial, rounds: Sequence[Round], ways: Mapping[str, Outage]) -> list[Check]:
    """Take away what each round names, and wait each time until the platform has caught up."""
    stuck = []
    for number, one in enumerate(rounds, 1):
        before = running.n_findings()
        with ExitStack() as stack:
            for name in one.outages:
                stack.enter_context(ways[name]())
            time.sleep(one.seconds)
        try:
            recovered = f"recovered after {running.wait_for_progress():.1f} s"
        except NoProgress as error:
            recovered = f"NOT RECOVERED {error}"
            stuck.append(f"round {number}")
        running.note_deaths()
        write_line(
            f"  round {number:2}: {' and '.join(one.outages)} for {one.seconds:.0f} s, "
            f"{recovered}, {running.n_findings() - before} findings since"
        )
        if stuck:
            break
    return [same("rounds after which the platform did not recover", [], stuck)]


def run(
    kind: str,
    lengths: Sequence[float],
    seed: int,
    day_seconds: float = DAY_SECONDS,
    things: Sequence[str] = THINGS,
) -> list[Check]:
    """Play all rounds on one database, and print what was found."""
    began = time.monotonic()
    is_root = os.geteuid() == 0
    with trial(kind, day_seconds=day_seconds, on_small_disk=is_root) as running:
        by_thing = outages(running)
        ways = {name: way for each in by_thing.values() for name, way in each.items()}
        names = {thing: [*by_thing[thing]] for thing in things if thing in by_thing}
        running.wait_for_slots(2)
        write_line(f"{kind}, seed {seed}: {len(lengths)} rounds")
        checks = play(running, plan(lengths, names, random.Random(seed)), ways)
        checks += running.finish()
    report(f"{kind}, {time.monotonic() - began:.0f} s", checks)
    return checks


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgres", "both"], default="both")
    parser.add_argument("--clock", action="store_true", help="move the clock instead")
    parser.add_argument("--rounds", type=int, default=17, help="short ones")
    parser.add_argument("--long-rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, nargs=2, default=SHORT, metavar=("MIN", "MAX"))
    parser.add_argument("--long-seconds", type=float, default=LONG)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--day-seconds", type=float, default=DAY_SECONDS)
    parser.add_argument("--things", nargs="+", choices=THINGS, default=THINGS)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    checks: list[Check] = []
    for kind in ("sqlite", "postgres") if given.database == "both" else (given.database,):
        if given.clock:
            checks += clock.run(kind, given.seconds[1], given.day_seconds)
            continue
        lengths = [rng.uniform(*given.seconds) for _ in range(given.rounds)]
        lengths += [given.long_seconds] * given.long_rounds
        checks += run(kind, lengths, given.seed, given.day_seconds, given.things)
    return 0 if all(check.is_ok for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
