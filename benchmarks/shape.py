"""False alarms and misses of `window_profile`.

Run: `python -m benchmarks.shape`. Rows are windows of 24 hours cut from real series, one
each hour, which overlap, or one a day, which do not. The first year is what the version
began with; the rest is watched. Faults last a week and begin every 23 days; one is found
when an evaluation of that week breaches. Beside it, `input_drift` and `temporal_pattern` on
the hourly means of the same rows, at the same false alarm rate.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.quality.series import DAY, FOLDER, Series, elec2, ett
from core.window import Window
from monitors.drift import input_drift, input_drift_baseline
from monitors.drift.input_drift_baseline import InputDriftBaseline, InputDriftParams
from monitors.false_alarms.threshold import episodes
from monitors.summaries.hourly import Hourly
from monitors.summaries.summary import Floats, Ints, Summary, chunk_start, freeze
from monitors.temporal import panel, window_profile, window_profile_sums
from monitors.temporal.panel import TemporalPatternBaseline, TemporalPatternParams
from monitors.temporal.window_profile import WindowProfileBaseline, WindowProfileParams
from monitors.temporal.window_profile_days import changes
from monitors.temporal.window_profile_schema import (
    LAGS,
    Joint,
    Layout,
    Numbers,
    Symbols,
    centre_and_scale,
)
from monitors.temporal.window_profile_sums import Lists

STEPS = 24
PADDED = 6
REFERENCE = 365  # days
WATCHED = 7  # days that a fault lasts
BACK = 60  # days before a fault that evaluations need
EACH = 23
PROMISE = 90.0
GAP = 7
TEXT_DAYS = 724
SERIES: dict[str, Callable[[], Series]] = {
    "ETTh1": lambda: ett("ETTh1"),
    "ETTh2": lambda: ett("ETTh2"),
    "Elec2": elec2,
}
Fault = Callable[[Floats, np.random.Generator], Floats]  # of (row, sensor, step)


def _noisy(rows: Floats, rng: np.random.Generator) -> Floats:
    spread: Floats = rows.std(axis=(0, 2), keepdims=True)
    return rows + rng.normal(0.0, 0.3, rows.shape) * spread


def _held(rows: Floats, rng: np.random.Generator) -> Floats:
    at = np.arange(rows.shape[-1])
    return rows[..., at - at % 2]


def _apart(rows: Floats, rng: np.random.Generator) -> Floats:
    """Let every second sensor's windows lie six steps beside those of the others."""
    turned = rows.copy()
    turned[:, ::2] = np.roll(rows[:, ::2], 6, axis=-1)
    return turned


def _swapped(rows: Floats, rng: np.random.Generator) -> Floats:
    """Exchange the first two sensors, each in the place and the spread of the other."""
    middle = rows.mean(axis=(0, 2), keepdims=True)
    spread = rows.std(axis=(0, 2), keepdims=True)
    plain = (rows - middle) / spread
    order = [1, 0, *range(2, rows.shape[1])]
    swapped: Floats = plain[:, order] * spread + middle
    return swapped


def _exchanged(rows: Floats, rng: np.random.Generator) -> Floats:
    return rows.reshape(*rows.shape[:2], -1, 2)[..., ::-1].reshape(rows.shape)


FAULTS: dict[str, Fault] = {
    "nothing": lambda rows, rng: rows,
    "rows reversed": lambda rows, rng: rows[..., ::-1],
    "steps shuffled": lambda rows, rng: rng.permuted(rows, axis=-1),
    "neighbouring steps exchanged": _exchanged,
    "rows late by one": lambda rows, rng: np.concatenate([rows[:1], rows[:-1]]),
    "windows of half the length": lambda rows, rng: rows[..., STEPS // 2 :],
    "every second step held": _held,
    "noise of .3 deviations": _noisy,
    "every second sensor turned by 6 steps": _apart,
    "two sensors exchanged, in each other's units": _swapped,
}
OF_PADDED: dict[str, Fault] = {
    "nothing, padded": FAULTS["nothing"],
    "padding on the wrong side": lambda rows, rng: np.roll(rows, -PADDED, axis=-1),
}
OF_SYMBOLS: dict[str, Fault] = {
    "nothing, symbols": FAULTS["nothing"],
    "symbols in reverse order": FAULTS["rows reversed"],
    "symbols shuffled": FAULTS["steps shuffled"],
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stream:
    """Rows of one kind, cut from one series.

    Attributes
    ----------
    rows : (row, sensor, step)
    hours : (row,)
        When the last step was.
    """

    name: str
    rows: Floats
    hours: Ints
    layout: Layout

    @property
    def n_days(self) -> int:
        """How many days have rows."""
        return int(self.hours[-1]) // DAY + 1

    def sums(self, rows: Floats, hours: Ints) -> Summary:
        """Return what is kept of the inside of rows."""
        n, n_sensors, length = rows.shape
        lists = [
            Lists(values=rows[:, i].ravel(), lengths=np.full(n, length))
            for i in range(n_sensors)
        ]
        phase, days = 2 * np.pi * (hours % DAY) / DAY, hours // DAY
        parts = []
        for i, block in enumerate(self.layout.blocks):
            match block:
                case Numbers():
                    figures = window_profile_sums.of_numbers(block, lists[i], phase)
                    parts.append(window_profile_sums.by_day(figures, days, block.edges))
                case Joint():
                    figures = window_profile_sums.of_windows(block, tuple(lists))
                    parts.append(window_profile_sums.by_day(figures, days, block.edges))
                case Symbols():
                    parts.append(window_profile_sums.of_symbols(block, lists[i], days))
        return window_profile_sums.beside(parts)

    def on_hours(self, rows: Floats, hours: Ints, first: int, end: int) -> Hourly:
        """Return what the hourly summaries make of the same rows."""
        n_sensors, length = rows.shape[1:]
        at = (hours[:, None] - length + 1 + np.arange(length)).ravel() - first
        inside = (at >= 0) & (at < end - first)
        n = np.bincount(at[inside], minlength=end - first).astype(float)
        sums = [
            np.bincount(at[inside], rows[:, i].ravel()[inside], minlength=end - first)
            for i in range(n_sensors)
        ]
        mean = np.column_stack(sums) / np.where(n > 0, n, np.nan)[:, None]
        some = np.repeat(n[:, None], n_sensors, axis=1)
        return Hourly(
            names=tuple(f"s{i}" for i in range(n_sensors)),
            first=first,
            n=some,
            n_missing=np.zeros_like(some),
            n_repeat=np.zeros_like(some),
            mean=mean,
            sd=np.zeros_like(mean),
        )


def windows(series: Series, stride: int) -> Stream:
    """Cut a series into rows of 24 steps."""
    ends = np.arange(STEPS - 1, len(series.values), stride)
    rows = np.stack([series.values[end - STEPS + 1 : end + 1].T for end in ends])
    of = [
        centre_and_scale(freeze({"x": column[: 42 * DAY]}).values[0])
        for column in series.values.T
    ]
    blocks = tuple(
        Numbers(name=f"s{i}", centre=centre, scale=scale, lags=LAGS)
        for i, (centre, scale) in enumerate(of)
    )
    joint = Joint(
        title="features together",
        names=tuple(block.name for block in blocks),
        centres=tuple(block.centre for block in blocks),
        scales=tuple(block.scale for block in blocks),
        steps=STEPS,
    )
    title = f"{series.name}, a row {'an hour' if stride == 1 else 'a day'}"
    return Stream(
        name=title,
        rows=rows,
        hours=ends.astype(np.int64),
        layout=Layout(blocks=(*blocks, joint)),
    )


def padded(stream: Stream) -> Stream:
    """Return rows that lack their six oldest steps, and are filled up with zeros."""
    rows = stream.rows.copy()
    rows[..., :PADDED] = 0.0
    blocks = tuple(
        replace(block, padding=0.0) if isinstance(block, Numbers) else block
        for block in stream.layout.blocks
    )
    return replace(stream, rows=rows, layout=Layout(blocks=blocks))


def text() -> Stream:
    """Cut a text into rows of 24 letters, one an hour, each letter as its class."""
    path = FOLDER / "charlm" / "tinyshakespeare.txt"
    if not path.exists():
        raise SystemExit(f"{path} is absent: set SEQWATCH_DATA to the folder of the series")
    letters = path.read_text()[: TEXT_DAYS * DAY * STEPS]
    texts = ("vowel", "consonant", "space", "line end", "mark")
    of = {" ": 2.0, "\n": 3.0} | dict.fromkeys("aeiouAEIOU", 0.0)
    codes = [of.get(each, 1.0 if each.isalpha() else 4.0) for each in letters]
    rows = np.array(codes).reshape(-1, 1, STEPS)
    return Stream(
        name="a play, a row an hour",
        rows=rows,
        hours=np.arange(len(rows)),
        layout=Layout(blocks=(Symbols(name="s0", texts=texts),)),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Watch:
    """What has learnt from the first year of a stream."""

    stream: Stream
    whole: Summary
    inside: WindowProfileBaseline
    drift: InputDriftBaseline
    sequence: TemporalPatternBaseline

    def scores(self, kept: Summary, first: int, end: int) -> tuple[Floats, Floats]:
        """Return the joint score of each day of a stretch, and that of each part."""
        away = changes(self.stream.layout, kept, first, end, self.inside.params.window_days)
        return window_profile.scored(self.inside, away)

    def by_others(self, hours: Hourly) -> tuple[bool, bool]:
        """Return whether drift, and whether sequence, calls within the last week."""
        levels = input_drift.evaluate_days(self.drift, hours).joint[-WATCHED:]
        order = panel.evaluate_days(self.sequence, hours).joint[-WATCHED:]
        return (
            bool((levels > self.drift.alarm_threshold.value).any()),
            bool((order > self.sequence.alarm_threshold.value).any()),
        )


def learnt(stream: Stream, params: WindowProfileParams) -> Watch:
    """Learn from the first year."""
    whole = stream.sums(stream.rows, stream.hours)
    year = Window(chunk_start(0), chunk_start(REFERENCE * DAY))
    inside = window_profile.fit(stream.layout, whole, year, params)
    hours = stream.on_hours(stream.rows, stream.hours, 0, REFERENCE * DAY)
    asked = params.days_between_false_alarms
    levels = input_drift_baseline.fit(hours, InputDriftParams(days_between_false_alarms=asked))
    order = panel.fit(hours, TemporalPatternParams(days_between_false_alarms=asked))
    assert isinstance(inside, WindowProfileBaseline)
    assert isinstance(levels, InputDriftBaseline)
    assert isinstance(order, TemporalPatternBaseline)
    return Watch(stream=stream, whole=whole, inside=inside, drift=levels, sequence=order)


def quiet(watch: Watch) -> str:
    """Return how often each calls on what is watched, as it is."""
    stream = watch.stream
    joint, _ = watch.scores(watch.whole, 0, stream.n_days)
    start = REFERENCE + 1
    hours = stream.on_hours(
        stream.rows, stream.hours, (start - BACK) * DAY, stream.n_days * DAY
    )
    live = stream.n_days - start
    calls = [
        episodes(joint[-live:] > watch.inside.alarm_threshold.value, GAP),
        episodes(
            input_drift.evaluate_days(watch.drift, hours).joint[-live:]
            > watch.drift.alarm_threshold.value,
            GAP,
        ),
        episodes(
            panel.evaluate_days(watch.sequence, hours).joint[-live:]
            > watch.sequence.alarm_threshold.value,
            GAP,
        ),
    ]
    promised = live / watch.inside.alarm_threshold.promised_days
    shown = "".join(f"{n:10d}" for n in calls)
    return f"{f'calls in {live} days, {promised:.1f} promised':46}{shown}"


def found(watch: Watch, fault: Fault, starts: Sequence[int]) -> str:
    """Return how many of the faults each finds, and where the inside shows them."""
    stream, hits, message = watch.stream, [0, 0, 0], Counter[str]()
    for start in starts:
        rng = np.random.default_rng([7, start])
        low, high = np.searchsorted(stream.hours, [start * DAY, (start + WATCHED) * DAY])
        back = int(np.searchsorted(stream.hours, (start - BACK) * DAY))
        broken = fault(stream.rows[low:high], rng)
        before = watch.whole.select((start - BACK) * DAY, start * DAY)
        during = stream.sums(broken, stream.hours[low:high])
        kept = Summary(
            chunks=np.concatenate([before.chunks, during.chunks]),
            moments=np.concatenate([before.moments, during.moments]),
            counts=np.concatenate([before.counts, during.counts]),
        )
        joint, scores = watch.scores(kept, start - BACK, start + WATCHED)
        called = joint[-WATCHED:] > watch.inside.alarm_threshold.value
        if called.any():
            worst = np.nan_to_num(scores[BACK + int(np.argmax(called))])
            message[watch.inside.parts[int(np.argmax(worst))].message] += 1
        parts = [
            stream.on_hours(rows, hours, (start - BACK) * DAY, (start + WATCHED) * DAY)
            for rows, hours in (
                (stream.rows[back:low], stream.hours[back:low]),
                (broken, stream.hours[low:high]),
            )
        ]
        both = replace(parts[0], n=parts[0].n + parts[1].n, mean=_together(parts))
        for i, hit in enumerate((bool(called.any()), *watch.by_others(both))):
            hits[i] += hit
    shares = "".join(f"{n / len(starts):10.2f}" for n in hits)
    return f"{shares}   {', '.join(f'{part} {n}' for part, n in message.most_common(2))}"


def _together(parts: Sequence[Hourly]) -> Floats:
    n = sum((part.n for part in parts), np.zeros_like(parts[0].n))
    total = sum((np.nan_to_num(part.mean) * part.n for part in parts), np.zeros_like(n))
    mean: Floats = np.full(n.shape, np.nan)
    np.divide(total, n, out=mean, where=n > 0)
    return mean


def _streams(name: str) -> Iterator[tuple[Stream, dict[str, Fault]]]:
    if name == "text":
        yield text(), OF_SYMBOLS
        return
    series = SERIES[name]()
    for stride in (1, STEPS):
        yield windows(series, stride), FAULTS
    yield padded(windows(series, 1)), OF_PADDED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "series", nargs="*", default=["ETTh1", "text"], choices=[*SERIES, "text"]
    )
    parser.add_argument("--window-days", type=int, default=WindowProfileParams().window_days)
    asked = parser.parse_args()
    params = WindowProfileParams(
        days_between_false_alarms=PROMISE, window=asked.window_days * DAY
    )
    for name in asked.series:
        for stream, faults in _streams(name):
            watch = learnt(stream, params)
            starts = range(REFERENCE + 40, stream.n_days - WATCHED, EACH)
            print(
                f"{stream.name:46}{'window_profile':>10}{'input_drift':>10}{'temporal_pattern':>10}"
            )
            print(quiet(watch))
            for title, fault in faults.items():
                print(f"{title:46}{found(watch, fault, starts)}")


if __name__ == "__main__":
    main()
