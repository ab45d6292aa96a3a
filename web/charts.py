"""Charts as JSON for `static/charts.js`, and sparklines as SVG paths."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Literal

from alerts.state import Flip
from core.durations import MINUTE
from core.schema.zone import Zone
from retrain.gate import Gate
from services.read_models.overview.accuracy import DayError
from services.read_models.overview.changes import Change
from services.read_models.overview.model import Milestone, ModelPage
from services.read_models.overview.rollouts import CanaryDay
from services.read_models.overview.serving import ServingPart

Shape = Literal["line", "dashed", "area"]
Axis = Literal["y", "share"]

TONES = ("one", "two", "three", "four")  # colours of the style sheet, for versions in turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line or area over the chart's axis; `tone` names a colour of the style sheet."""

    label: str
    values: tuple[float | None, ...]
    tone: str
    shape: Shape = "line"
    axis: Axis = "y"


def curve(
    label: str,
    values: Iterable[float | None],
    tone: str,
    shape: Shape = "line",
    axis: Axis = "y",
) -> Series:
    """Return a series with any values."""
    return Series(label=label, values=tuple(values), tone=tone, shape=shape, axis=axis)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A vertical line that marks an event."""

    x: float
    label: str
    tone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Series over one axis; `x` is in seconds since 1970 where it is time.

    A chart of moments, or one that is not `from_zero`, shows raw numbers: its axis follows
    them. `is_stepped` draws each value from its own place to the next.
    """

    x: tuple[float, ...]
    series: tuple[Series, ...]
    kind: Literal["day", "hour", "step", "moment", "clock", "value"]
    unit: Literal["", "ms", "%"] = ""
    marks: tuple[Mark, ...] = ()
    from_zero: bool = True
    is_stepped: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the form that the script reads."""
        return asdict(self)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return all(value is None for series in self.series for value in series.values)


def accuracy(page: ModelPage, changes: Sequence[Change] = ()) -> Chart:
    """Draw the error by event day and version, the label coverage, and what changed."""
    days = sorted({day.day for day in page.days})
    served = [day for day in page.days if not day.is_shadow]
    coverage = {day.day: day.coverage for day in served}
    labels_in = curve(
        "Labels in", (coverage.get(day) for day in days), "quiet", "area", axis="share"
    )
    objective = curve("Objective", (page.objective,) * len(days), "limit", "dashed")
    return Chart(
        x=tuple(midnight(day) for day in days),
        series=(
            labels_in,
            *_by_version(days, page.days),
            *((objective,) if page.objective is not None else ()),
        ),
        kind="day",
        marks=_marks(page, days, changes),
    )


def _by_version(days: Sequence[date], rows: Sequence[DayError]) -> Iterable[Series]:
    tones = _tones(row.version for row in rows)
    errors = {(row.version, row.is_shadow, row.day): row.error for row in rows}
    for version, is_shadow in sorted({(row.version, row.is_shadow) for row in rows}):
        yield curve(
            f"{version} in shadow" if is_shadow else version,
            (errors.get((version, is_shadow, day)) for day in days),
            tones[version],
            "dashed" if is_shadow else "line",
        )


def _tones(versions: Iterable[str]) -> dict[str, str]:
    return {name: TONES[i % len(TONES)] for i, name in enumerate(sorted({*versions}))}


def _marks(
    page: ModelPage, days: Sequence[date], changes: Sequence[Change]
) -> tuple[Mark, ...]:
    if not days:
        return ()
    zone = Zone(page.zone)
    flips = [
        Mark(
            x=zone.local(change.at).timestamp(),
            label=f"{change.monitor} {change.flip}",
            tone="bad" if change.flip is Flip.FIRED else "good",
        )
        for change in page.alert_changes
        if not change.inhibited
    ]
    stones: list[Milestone | Change] = [*page.milestones, *changes]
    milestones = [
        Mark(x=zone.local(stone.at).timestamp(), label=stone.label, tone="accent")
        for stone in stones
    ]
    first = midnight(days[0])
    return tuple(
        sorted((m for m in flips + milestones if m.x >= first), key=lambda mark: mark.x)
    )


def steps(page: ModelPage) -> Chart:
    """Draw the error at each step of the horizon, beside that of the seasonal naive."""
    tones = _tones(day.version for day in page.days)
    # The champion as it serves, and the others as they run in its shadow.
    shown = [s for s in page.steps if (s.version == page.champion) is not s.is_shadow]
    lines = [
        curve(
            f"{line.version} in shadow" if line.is_shadow else line.version,
            line.errors,
            tones[line.version],
            "dashed" if line.is_shadow else "line",
        )
        for line in shown or page.steps
    ]
    # On the forecasts that were served: a shadow may have run on some of the days only.
    compared = sorted(shown or page.steps, key=lambda line: line.is_shadow)[:1]
    naive = [curve("Seasonal naive", line.naive, "muted", "dashed") for line in compared]
    return _stepwise([*lines, *naive])


def gate(measured: Gate | None, base: str, challenger: str) -> Chart:
    """Draw the error of both forecasts at each step of the horizon, on the gate's days."""
    if measured is None:
        return _stepwise([])
    both = (
        (base, measured.champion_by_step, "one"),
        (challenger, measured.challenger_by_step, "two"),
    )
    return _stepwise([curve(name, values, tone) for name, values, tone in both])


def _stepwise(lines: Sequence[Series]) -> Chart:
    longest = max((len(line.values) for line in lines), default=0)
    return Chart(
        x=tuple(float(step) for step in range(1, longest + 1)),
        series=tuple(lines),
        kind="step",
    )


def latency(hours: Sequence[ServingPart], changes: Sequence[Milestone | Change] = ()) -> Chart:
    """Draw the latency of each hour at three quantiles, in milliseconds, and what changed."""
    quantiles = (
        ("p50", tuple(hour.served.p50 for hour in hours), "one"),
        ("p95", tuple(hour.served.p95 for hour in hours), "two"),
        ("p99", tuple(hour.served.p99 for hour in hours), "three"),
    )
    return _hourly(
        hours,
        [
            curve(name, (v and 1000 * v for v in values), tone)
            for name, values, tone in quantiles
        ],
        changes,
        "ms",
    )


def availability(
    hours: Sequence[ServingPart], changes: Sequence[Milestone | Change] = ()
) -> Chart:
    """Draw the share of predictions that failed, hour by hour, and what changed."""
    served = [hour.served for hour in hours]
    failed = tuple(one.n_failed / one.n if one.n else None for one in served)
    return _hourly(hours, [curve("Failed", failed, "limit", "area", axis="share")], changes)


def minutes(parts: Sequence[ServingPart]) -> Chart:
    """Draw the share of predictions that failed in each of the last minutes."""
    failed = [part.served.n_failed / part.served.n for part in parts]
    ends = [(part.start + MINUTE).timestamp() for part in parts[-1:]]
    return Chart(
        x=(*(part.start.timestamp() for part in parts), *ends),
        series=(curve("Failed", (*failed, *failed[-1:]), "limit", "area", axis="share"),),
        kind="moment",
        is_stepped=True,
    )


def _hourly(
    hours: Sequence[ServingPart],
    lines: Sequence[Series],
    changes: Sequence[Milestone | Change],
    unit: Literal["", "ms"] = "",
) -> Chart:
    shown = sorted(changes, key=lambda change: change.at)
    return Chart(
        x=tuple(hour.start.timestamp() for hour in hours),
        series=tuple(lines),
        kind="hour",
        unit=unit,
        marks=tuple(
            Mark(x=change.at.timestamp(), label=change.label, tone="accent")
            for change in shown
            if hours and change.at >= hours[0].start
        ),
    )


def sessions(days: Sequence[CanaryDay], base: str, challenger: str) -> Chart:
    """Draw the mean loss of both versions on the sessions that both scored."""
    return Chart(
        x=tuple(midnight(day.day) for day in days),
        series=(
            curve(base, (d.loss_champion for d in days), "one"),
            curve(challenger, (d.loss_challenger for d in days), "two"),
        ),
        kind="day",
    )


def midnight(day: date) -> float:
    """Return where a day is on an axis of time."""
    return datetime.combine(day, time(), UTC).timestamp()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sparkline:
    """A trend as SVG: `path` and the objective's height, in a box of `width` x `height`."""

    width: int
    height: int
    path: str
    objective: float | None
    end: tuple[float, float]


def sparkline(values: Sequence[float | None], objective: float | None) -> Sparkline | None:
    """Draw the trend; None when there are not two values. Gaps stay gaps.

    Examples
    --------
    >>> line = sparkline([1.0, None, 2.0, 3.0], objective=2.0)
    >>> line.path, line.objective
    ('M2.0,26.0 M79.3,14.0 L118.0,2.0', 14.0)
    """
    width, height, edge = 120, 28, 2
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return None
    low, high = min(known), max(known)
    if objective is not None:
        low, high = min(low, objective), max(high, objective)
    span = (high - low) or 1.0

    def at(value: float) -> float:
        return round(height - edge - (height - 2 * edge) * (value - low) / span, 1)

    path, end, pen_is_up = [], (0.0, 0.0), True
    for i, value in enumerate(values):
        if value is None:
            pen_is_up = True
            continue
        end = (round(edge + (width - 2 * edge) * i / (len(values) - 1), 1), at(value))
        path.append(f"{'M' if pen_is_up else 'L'}{end[0]},{end[1]}")
        pen_is_up = False
    return Sparkline(
        width=width,
        height=height,
        path=" ".join(path),
        objective=None if objective is None else at(objective),
        end=end,
    )


HEAT = (0.5, 0.75, 1.0, 1.5, 2.0)  # shares of the limit where the next shade begins


def heat(score: float | None, limit: float | None) -> str:
    """Return the shade of a drift score: the higher, the further beyond its limit.

    Examples
    --------
    >>> heat(1.0, 4.0), heat(9.0, 4.0), heat(None, 4.0)
    ('0', '5', 'none')
    """
    if score is None or not limit:
        return "none"
    return str(sum(score / limit > step for step in HEAT))
