"""Charts of single predictions and of sessions: raw numbers over time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from core.schema.contract import Contract
from services.read_models.lookup.rows import Prediction
from web.charts import TONES, Chart, Mark, curve

MOST_CHARTS = 12  # of one prediction: features beyond are in the table only
FAILED = ("error", "timeout")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One feature or target of one prediction."""

    name: str
    chart: Chart


def prediction(row: Prediction, contract: Contract) -> list[Trace]:
    """Draw each target with its forecast and its label, then the windows of input."""
    at, step = row.fields["at"], contract.step
    output = row.fields["output"] or {}
    inputs = row.fields["features"] or {}
    found = [
        Trace(
            name=target,
            chart=_chart(
                _before(inputs.get(target), at, step),
                _after(output.get(target), at, step),
                _after(row.label.actual.get(target) if row.label else None, at, step),
                at,
            ),
        )
        for target in contract.targets
    ]
    found += [
        Trace(name=name, chart=_chart(_before(values, at, step), {}, {}, at))
        for name, values in inputs.items()
        if name not in contract.targets
    ]
    return [trace for trace in found if len(trace.chart.x) > 1][:MOST_CHARTS]


Points = dict[float, float | None]


def _before(values: Sequence[Any] | None, at: datetime, step: timedelta) -> Points:
    known = _numbers(values)
    last = len(known) - 1
    return {(at - (last - i) * step).timestamp(): value for i, value in enumerate(known)}


def _after(values: Sequence[Any] | None, at: datetime, step: timedelta) -> Points:
    known = _numbers(values)
    return {(at + (i + 1) * step).timestamp(): value for i, value in enumerate(known)}


def _numbers(values: Sequence[Any] | None) -> Sequence[float | None]:
    """Return values that can be drawn: none of a list of texts."""
    return () if values is None or any(isinstance(one, str) for one in values) else values


def _chart(before: Points, forecast: Points, actual: Points, at: datetime) -> Chart:
    x = sorted({*before, *forecast, *actual})
    named = (
        ("Input", before, "muted", "line"),
        ("Forecast", forecast, "one", "line"),
        ("Label", actual, "two", "dashed"),
    )
    series = tuple(
        curve(label, (points.get(t) for t in x), tone, shape)  # type: ignore[arg-type]
        for label, points, tone, shape in named
        if any(value is not None for value in points.values())
    )
    marks = (Mark(x=at.timestamp(), label="predicted", tone="soft"),) if forecast else ()
    return Chart(x=tuple(x), series=series, kind="moment", marks=marks)


def session(rows: Sequence[Prediction], contract: Contract) -> Chart:
    """Draw forecast and label of the next step, with the events of the session."""
    x = tuple(_next(row, contract) for row in rows)
    lines = []
    for i, target in enumerate(contract.targets[:2]):
        forecast = [_first((row.fields["output"] or {}).get(target)) for row in rows]
        actual = [_first(row.label.actual.get(target)) if row.label else None for row in rows]
        lines.append(curve(f"{target}, forecast", forecast, TONES[i]))
        lines.append(curve(f"{target}, label", actual, TONES[i + 2], "dashed"))
    shown = tuple(line for line in lines if any(v is not None for v in line.values))
    return Chart(x=x, series=shown, kind="moment", marks=tuple(_marks(rows, contract)))


def _first(values: Sequence[Any] | None) -> float | None:
    return next(iter(_numbers(values)), None)


def latency(rows: Sequence[Prediction], contract: Contract) -> Chart:
    """Draw how long each step took, in milliseconds."""
    seconds = [row.fields["latency_seconds"] for row in rows]
    return Chart(
        x=tuple(_next(row, contract) for row in rows),
        series=(
            curve(
                "Latency", (None if value is None else 1000 * value for value in seconds), "one"
            ),
        ),
        kind="moment",
        unit="ms",
        marks=tuple(mark for mark in _marks(rows, contract) if mark.tone == "bad"),
    )


def _next(row: Prediction, contract: Contract) -> float:
    at: datetime = row.fields["at"]
    return (at + contract.step).timestamp()


def _marks(rows: Sequence[Prediction], contract: Contract) -> Iterable[Mark]:
    before: str | None = None
    for row in rows:
        for word, tone in events(row, before):
            yield Mark(x=_next(row, contract), label=word, tone=tone)
        before = row.fields["version"]


def events(row: Prediction, version_before: str | None) -> list[tuple[str, str]]:
    """Return the events of a session at one step, in words, each with its tone."""
    fields = row.fields
    words = [
        ("starts", "accent", fields["session_start"]),
        ("cold start", "wait", fields["cold_start"]),
        (fields["version"], "accent", version_before not in (None, fields["version"])),
        (fields["status"], "bad", fields["status"] in FAILED),
        (fields["status"], "wait", fields["status"] == "degraded"),
        ("ends", "accent", fields["session_end"]),
    ]
    return [(word, tone) for word, tone, is_so in words if is_so]
