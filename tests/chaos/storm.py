"""Kill at random moments, hundreds of times, and look whether anything was lost or doubled.

Run: `python -m tests.chaos.storm --database sqlite|postgres --kills 150 --seed 1`
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import postgres
from tests.chaos.audit import Check, table_of
from tests.chaos.stage import Stage, staged

TARGETS = ("api", "worker-0", "worker-1", "host")
RIPE = 4.0  # seconds: who has just been started does nothing yet that could go wrong


def storm(stage: Stage, kills: int, seed: int, every: float) -> Counter[str]:
    """Kill a random process, start it again, wait a random time, and so on."""
    rng = random.Random(seed)
    killed: Counter[str] = Counter()
    stage.wait_for_acknowledged(1)
    for _ in range(kills):
        time.sleep(rng.uniform(0.0, 2 * every))
        while not (ripe := [name for name in TARGETS if stage.age(name) > RIPE]):
            time.sleep(0.05)
        victim = rng.choice(ripe)
        stage.kill(victim)
        stage.revive()
        killed[victim.partition("-")[0]] += 1
    return killed


@contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """Yield the URL of an empty database."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / 'seqwatch.sqlite'}"
    else:
        with postgres.running(durable=True) as url:
            yield url


@contextmanager
def place() -> Iterator[Path]:
    """Yield a folder; it is left there, with the logs, when something goes wrong."""
    folder = Path(tempfile.mkdtemp(prefix="seqwatch-chaos-"))
    try:
        yield folder
    except BaseException:
        sys.stderr.write(f"what is left lies in {folder}\n")
        raise
    shutil.rmtree(folder)


def run(kind: str, kills: int, seed: int, every: float, rate: float) -> list[Check]:
    """Run one storm and print what it did."""
    with (
        place() as folder,
        database(kind, folder) as url,
        staged(Stage(folder, url, rate=rate)) as stage,
    ):
        began = time.monotonic()
        killed = storm(stage, kills, seed, every)
        seconds = time.monotonic() - began
        checks = stage.close()
        n = len(stage.acknowledged("predictions"))
        sys.stdout.write(
            f"{kind}, seed {seed}: {killed.total()} kills in {seconds:.0f} s "
            f"({', '.join(f'{name} {n}' for name, n in sorted(killed.items()))}), "
            f"{n:,} predictions acknowledged\n{table_of(checks)}\n"
        )
    return checks


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--kills", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=float, default=1.0, help="mean seconds between kills")
    parser.add_argument("--rate", type=float, default=2000.0, help="predictions per second")
    given = parser.parse_args()
    checks = run(given.database, given.kills, given.seed, given.every, given.rate)
    return 0 if all(check.is_ok for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
