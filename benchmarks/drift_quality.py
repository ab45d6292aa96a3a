"""How often does each detector of drift cry wolf, and what does it miss?

Run: `make bench-quality`, or `python -m benchmarks.drift_quality --quick` without
the peers' environments. Prints tables, and writes all figures with `--json`.
`docs/drift-quality.md` describes the method and shows a run.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality import paths, tables, weeks
from benchmarks.quality.detectors import Detector, Question, Watcher, peers_in_process
from benchmarks.quality.footprint import kept
from benchmarks.quality.ours import SeqwatchDrift, SeqwatchMeanShift, SeqwatchTemporalPattern
from benchmarks.quality.outside import Outside, outside
from benchmarks.quality.series import WEEK, Series, ar1, bootstrap, elec2, ett
from core import __version__

PHIS = (0.0, 0.5, 0.9, 0.97)
N_WINDOWS = 59  # of the reference of noise: the last of 60 is at 5 % exactly
PARTS = ("weeks", "noise", "paths", "promise", "cost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is done.

    Attributes
    ----------
    corrupt_each
        One week in so many is corrupted.
    n_noise
        Streams for each memory.
    n_injections
        Of each fault into each sensor, day by day.
    """

    corrupt_each: int
    strengths: tuple[int, ...]
    n_noise: int
    n_injections: int
    rule: paths.Promise


FULL = Extent(
    corrupt_each=3, strengths=(0, 1, 2), n_noise=2000, n_injections=1, rule=paths.Promise()
)
QUICK = Extent(
    corrupt_each=6,
    strengths=(1,),
    n_noise=100,
    n_injections=1,
    rule=paths.Promise(n_streams=12, live_days=90),
)
LONG = paths.Promise(n_streams=40, reference_days=730, live_days=1000)
WIDE = replace(LONG, n_streams=240)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """One run: who is asked, who only of promises, how much, from which seed."""

    detectors: Sequence[Detector]
    of_promises: Sequence[Watcher]
    extent: Extent
    seed: int
    quick: bool

    def over_weeks(self) -> dict[str, Any]:
        """Return size and power on real series."""
        asked = {one.name: self._weeks(one) for one in (ett("ETTh1"), ett("ETTh2"))}
        quiet_only = (
            []
            if self.quick
            else [
                weeks.one_week_out(elec2(), self.seed, 10**6, ()),
                weeks.one_week_out(bootstrap(ett("ETTh1"), self.seed), self.seed, 10**6, ()),
            ]
        )
        later = [] if self.quick else [weeks.forward(ett(name)) for name in asked]
        sizes: dict[str, Any] = {}
        out: dict[str, Any] = {"size": sizes}
        for detector in self.detectors:
            found = {name: weeks.ask(detector, trials) for name, trials in asked.items()}
            for trials in quiet_only:
                found[trials.series.name] = weeks.ask(detector, trials)
            for trials in later:
                found[f"{trials.series.name}, next year"] = weeks.ask(detector, trials)
            for name, answers in found.items():
                quiet = answers.quiet()
                share = weeks.rate(answers, quiet, answers.alarm, self.seed)
                sizes.setdefault(name, {})[detector.name] = share
            for name, other in (("ETTh1", "ETTh2"), ("ETTh2", "ETTh1")):
                self._power(out, detector.name, name, (found[name], found[other]))
            _write(f"weeks: {detector.name}")
        return out

    def _weeks(self, series: Series) -> weeks.Trials:
        extent = self.extent
        return weeks.one_week_out(series, self.seed, extent.corrupt_each, extent.strengths)

    def _power(
        self,
        out: dict[str, Any],
        detector: str,
        name: str,
        answers: tuple[weeks.Answers, weeks.Answers],
    ) -> None:
        here, calibration = answers
        alarm = weeks.with_threshold_of(here, calibration)
        for track, called in (("A", here.alarm), ("B", alarm)):
            of = out.setdefault(f"power {track}", {}).setdefault(name, {})
            of[detector] = weeks.power(here, called, self.seed)
        size = weeks.rate(here, here.quiet(), alarm, self.seed)
        out.setdefault("size B", {}).setdefault(name, {})[detector] = size
        hits = weeks.localised(here)
        out.setdefault("localised", {}).setdefault(name, {})[detector] = hits

    def over_noise(self) -> dict[str, Any]:
        """Return size on noise with memory."""
        out: dict[str, Any] = {}
        for i, phi in enumerate(PHIS):
            n_hours = (weeks.FIRST_WEEK + N_WINDOWS + 1) * WEEK
            made = [
                ar1(phi, n_hours, 20, self.seed + 100 * i + j)
                for j in range(self.extent.n_noise // 20)
            ]
            trials = weeks.streams(made, N_WINDOWS)
            for detector in self.detectors:
                answers = weeks.ask(detector, trials)
                share = weeks.rate(answers, answers.quiet(), answers.alarm, self.seed)
                out.setdefault(made[0].name, {})[detector.name] = share
            _write(f"noise: {made[0].name}")
        return {"size": out}

    def over_paths(self) -> dict[str, Any]:
        """Return calls day by day, AMOC area, and thresholds carried over."""
        n_hours = 104 * WEEK
        series = [ett("ETTh1"), ett("ETTh2")]
        if not self.quick:
            series += [elec2(), *(ar1(phi, n_hours, 4, self.seed + 7) for phi in (0.5, 0.9))]
        out: dict[str, Any] = {"area": {}, "calls": {}, "carried": {}}
        laid = paths.courses(series, self.seed, self.extent.n_injections)
        for detector in self.detectors:
            runs = {one.name: paths.run(detector, one) for one in laid}
            for name, run in runs.items():
                area = paths.area_interval(run, self.seed)
                out["area"].setdefault(name, {})[detector.name] = {
                    "area": area,
                    "by fault": paths.area_by_fault(run),
                }
                out["calls"].setdefault(name, {})[detector.name] = {
                    "per_30_days": run.calls_quiet,
                    "median_delay": run.calls_delay,
                    "missed": run.calls_missed,
                }
            for name, other in (("ETTh1", "ETTh2"), ("ETTh2", "ETTh1")):
                carried = paths.transferred(runs[name], runs[other])
                out["carried"].setdefault(name, {})[detector.name] = carried
            _write(f"paths: {detector.name}")
        return out

    def over_promises(self) -> dict[str, Any]:
        """Return what becomes of a promise, on noise of memory .9."""
        rule, seed = self.extent.rule, self.seed + 17
        out = {}
        asked = (*self.detectors, *self.of_promises)
        for detector in asked:
            out[detector.name] = paths.promise(detector, rule, seed)
        if self.quick:
            return out
        names = {one.name for one in asked}
        # 10,000 steps is the design of the bar on the delay.
        for days in (30.0, 90.0, 10_000 / 24):
            for ours in (
                SeqwatchDrift(days),
                SeqwatchTemporalPattern(days),
                SeqwatchMeanShift(days),
            ):
                if ours.name in names:
                    name = f"{ours.name}, {days:.0f} days, long"
                    out[name] = paths.promise(ours, LONG, seed)
            if SeqwatchMeanShift.name in names:  # cheap enough for an interval that decides
                name = f"{SeqwatchMeanShift.name}, {days:.0f} days, 240 streams"
                out[name] = paths.promise(SeqwatchMeanShift(days), WIDE, seed)
        return out

    def costs(self) -> dict[str, Any]:
        """Return CPU per decision: seven sensors, a year, one week each."""
        windows = ett("ETTh1").windows(weeks.FIRST_WEEK, weeks.N_WEEKS)
        asked = [
            Question(
                weeks=windows,
                sensor=i,
                left_out=51,
                trials=windows[51:52, :, i],
                around=windows[51],
            )
            for i in range(windows.shape[2])
        ]
        out = {}
        for detector in self.detectors:
            spent, done = detector.cpu, detector.n_decisions
            for _ in range(1 if isinstance(detector, Outside) else 5):
                detector.evaluate(asked)
            ms = (detector.cpu - spent) / (detector.n_decisions - done) * 1000
            out[detector.name] = {
                "ms": ms,
                "version": version_of(detector),
                "kept": kept(detector.name),
            }
        return out


def version_of(detector: Detector) -> str:
    """Return the version of what was measured."""
    if detector.name.startswith("Seqwatch"):
        return __version__
    if detector.name.startswith("scipy"):
        return version("scipy")
    return str(getattr(detector, "version", "-"))


def _write(what: str) -> None:
    print(f"{time.monotonic() - BEGAN:6.0f} s  {what}", file=sys.stderr, flush=True)


BEGAN = time.monotonic()


def shown(found: dict[str, Any]) -> str:
    """Return every table of a run."""
    parts = []
    if "weeks" in found:
        of = found["weeks"]
        parts += [("Quiet weeks called, as documented", tables.sizes(of["size"]))]
        parts += [("Quiet weeks called, tuned on the other", tables.sizes(of["size B"]))]
        for track in "AB":
            for name, by in of[f"power {track}"].items():
                parts.append((f"Power, track {track}, {name}", tables.powers(by, 1)))
        for name, by in of["localised"].items():
            rows = [[d, tables.share(hit)] for d, hit in by.items()]
            parts.append(
                (f"Corrupted sensor on top, {name}", tables.table(["", "top 1"], rows))
            )
    if "noise" in found:
        parts += [("Quiet noise called", tables.sizes(found["noise"]["size"]))]
    if "paths" in found:
        of = found["paths"]
        parts += [("AMOC area", tables.areas(of["area"]))]
        parts += [("Day by day, as documented", tables.calls(of["calls"]))]
        parts += [("Day by day, tuned on the other", tables.transfers(of["carried"]))]
    if "promise" in found:
        parts += [("Promises, AR(1) .9", tables.promises(found["promise"]))]
    if "cost" in found:
        parts += [("Cost", tables.costs(found["cost"]))]
    return "\n\n".join(f"## {title}\n\n{body}" for title, body in parts)


def merged(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return both findings; of what is in both, the later."""
    out = dict(before)
    for key, value in after.items():
        both = isinstance(value, dict) and isinstance(before.get(key), dict)
        out[key] = merged(before[key], value) if both else value
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two minutes, without peers")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--detectors", nargs="+", help="words of their names; all if absent")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--keep", action="store_true", help="what is there already")
    given = parser.parse_args()
    detectors: list[Detector] = [
        SeqwatchDrift(),
        SeqwatchTemporalPattern(),
        *peers_in_process(given.seed),
    ]
    of_promises: list[Watcher] = [SeqwatchMeanShift()]
    if not given.quick:
        detectors += outside()
    if given.detectors:
        wanted = given.detectors
        detectors = [one for one in detectors if any(word in one.name for word in wanted)]
        of_promises = [one for one in of_promises if any(word in one.name for word in wanted)]
    bench = Bench(
        detectors=detectors,
        of_promises=of_promises,
        extent=QUICK if given.quick else FULL,
        seed=given.seed,
        quick=given.quick,
    )
    run: dict[str, Callable[[], dict[str, Any]]] = {
        "weeks": bench.over_weeks,
        "noise": bench.over_noise,
        "paths": bench.over_paths,
        "promise": bench.over_promises,
        "cost": bench.costs,
    }
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "seed": given.seed,
        "quick": given.quick,
    }
    if given.keep and given.json and given.json.exists():
        found = merged(json.loads(given.json.read_text()), found)
    for part in given.only:
        found = merged(found, {part: run[part]()})
        if given.json:
            given.json.write_text(json.dumps(found, indent=1))
    print(shown(found))


if __name__ == "__main__":
    main()
