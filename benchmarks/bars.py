"""All bars that were ever met: each with its figure, its limit, and what was last recorded.

Run: `make bench-bars`, or `python -m benchmarks.bars [--only fold] [--record]`. Every
benchmark runs as a process of its own and prints lines that `benchmarks.bar` reads.
Figures depend on the machine: compare one that moved with a run of the older code on the
same machine before you believe it.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.bar import Bar, parse

RECORD = Path(__file__).with_name("bars.json")
MOVED = 0.10
# In this order: what is most easily disturbed comes first, the tests last.
BENCHMARKS: dict[str, list[str]] = {
    "ingest": ["benchmarks.ingest", "--seconds", "4"],
    "flood": ["benchmarks.flood", "--seconds", "10", "--rounds", "2"],
    "client": ["benchmarks.client", "--calls", "10000", "--seconds", "2"],
    "start": ["benchmarks.start"],
    "fold": ["benchmarks.fold", "--rows", "200000"],
    "drift": ["benchmarks.drift"],
    "evaluation": ["benchmarks.evaluation"],
    "evaluation_run": ["benchmarks.evaluation_run"],
    "summary_sizes": ["benchmarks.summary_sizes"],
    "slo": ["benchmarks.slo"],
    "alert_latency": ["benchmarks.alert_latency", "--models=4", "--rate=400", "--seconds=85"],
    "open_tables": ["benchmarks.open_tables"],
    "fleet": ["benchmarks.fleet", "--models", "100"],
    "join": ["benchmarks.join", "--rows", "2500000"],
    "fleet_day": ["benchmarks.fleet_day"],
    "rounds": ["benchmarks.rounds", "--models", "10", "100"],
    "configuration": ["benchmarks.configuration"],
    "minutes": ["benchmarks.minutes", "--days", "2"],
    "training": ["benchmarks.training"],
    "tests": ["benchmarks.suite_time"],
}


def run(name: str) -> list[Bar]:
    """Run one benchmark, show its output, and return its bars; a failure is a missed bar."""
    print(f"== {name}", flush=True)
    with subprocess.Popen(
        [sys.executable, "-m", *BENCHMARKS[name]], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        bars = []
        for line in process.stdout:
            found = parse(line)
            if found is None:
                print(f"   {line}", end="", flush=True)
            else:
                bars.append(found)
    if process.returncode:
        failed = Bar(name=f"{name}: exit status", figure=process.returncode, unit="", at_most=0)
        bars.append(failed)
    return bars


def moved(bar: Bar, recorded: dict[str, float]) -> str:
    """Return how far a figure is from the recorded one, where that is more than a tenth."""
    before = recorded.get(bar.name)
    if not before:
        return ""
    change = bar.figure / before - 1
    return f"{change:+.0%} from {before:,.4g}" if abs(change) > MOVED else ""


def main() -> int:
    """Print one table; 0 when every bar is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=BENCHMARKS, help="may be repeated")
    parser.add_argument("--record", action="store_true", help="keep the figures of this run")
    given = parser.parse_args()
    recorded: dict[str, float] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    began = time.monotonic()
    bars = [bar for name in given.only or BENCHMARKS for bar in run(name)]
    print(f"\n{'bar':<44} {'figure':>12} {'':<14} {'limit':>14}  verdict")
    for bar in bars:
        verdict = "met" if bar.is_met else "MISSED"
        print(
            f"{bar.name:<44} {bar.figure:>12,.4g} {bar.unit:<14} {bar.limit:>14}  "
            f"{verdict:<7} {moved(bar, recorded)}"
        )
    n_missed = sum(not bar.is_met for bar in bars)
    minutes = (time.monotonic() - began) / 60
    print(f"\n{len(bars) - n_missed} of {len(bars)} bars met, in {minutes:.1f} min")
    if given.record:
        figures = recorded | {bar.name: bar.figure for bar in bars}
        RECORD.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")
    return min(n_missed, 1)


if __name__ == "__main__":
    sys.exit(main())
