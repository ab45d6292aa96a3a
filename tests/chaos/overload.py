"""Send twice as much as the platform carries on, and look whether anything was lost.

Run: `python -m tests.chaos.overload --database sqlite|postgres|both --seconds 60`

The archive runs every ten seconds and may leave at most `MOST_BYTES` in the inbox, so the
platform carries `MOST_BYTES` in ten seconds: at 2,000 predictions a second of the host, about
half of what is sent.
"""

import argparse
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx

from services.access.capacity import Limit
from tests import postgres
from tests.chaos.audit import Check, same, table_of
from tests.chaos.stage import PATIENCE, Stage, staged
from tests.chaos.storm import place

MOST_BYTES = 2**20
ARCHIVE_SECONDS = 10
SETTINGS = {
    "SEQWATCH_MAX_BACKLOG_BYTES": str(MOST_BYTES),
    "SEQWATCH_ARCHIVE_EVERY": str(ARCHIVE_SECONDS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What was seen in one moment in which the limit held."""

    status: int
    retry_after: str
    ready: str
    metrics: str
    spooled: int


def refusal(stage: Stage) -> Refusal:
    """Wait until a batch is refused; a batch without a valid row is never stored."""
    until = time.monotonic() + PATIENCE
    headers = {"Authorization": f"Bearer {stage.key}"}
    with httpx.Client(base_url=stage.url, headers=headers, timeout=30) as api:
        while time.monotonic() < until:
            answer = api.post("/v1/models/load/predictions", json={"rows": []})
            if answer.status_code == 503:
                return Refusal(
                    status=answer.status_code,
                    retry_after=answer.headers.get("retry-after", ""),
                    ready=api.get("/ready").text,
                    metrics=api.get("/metrics").text,
                    spooled=size_of(stage.home / "spool"),
                )
            time.sleep(0.1)
    raise TimeoutError(f"nothing is refused; see {stage.home}/log")


def size_of(folder: Path) -> int:
    """Return the bytes of the files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def run(kind: str, seconds: float, rate: float) -> list[Check]:
    """Send too much for a while, print what was found, and return it."""
    with ExitStack() as stack:
        home = stack.enter_context(place())
        url = f"sqlite:///{home / 'seqwatch.sqlite'}"
        if kind == "postgres":
            url = stack.enter_context(postgres.started(durable=True)).url
        stage = Stage(home, url, rate=rate, settings=SETTINGS)
        stack.enter_context(staged(stage, n_workers=1))
        time.sleep(seconds)
        seen = refusal(stage)
        reached = f'seqwatch_limit_reached{{limit="{Limit.BACKLOG_BYTES}"}} 1.0'
        checks = [
            same("refused with Retry-After", True, int(seen.retry_after or 0) > 0),
            same("/ready names the limit", True, "SEQWATCH_MAX_BACKLOG_BYTES" in seen.ready),
            same("a metric names the limit", True, reached in seen.metrics),
            same("the client spools", True, seen.spooled > 0),
        ]
        n_during = len(stage.acknowledged("predictions"))
        checks += stage.close()
        n = len(stage.acknowledged("predictions"))
        sys.stdout.write(
            f"{rate:,g} a second for {seconds:g} s on {kind}: {n:,} predictions acknowledged, "
            f"{n_during:,} of them meanwhile\n{table_of(checks)}\n"
        )
    return checks


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgres", "both"], default="sqlite")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=2_000.0, help="predictions per second")
    given = parser.parse_args()
    kinds = ["sqlite", "postgres"] if given.database == "both" else [given.database]
    checks = [check for kind in kinds for check in run(kind, given.seconds, given.rate)]
    return 0 if all(check.is_ok for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
