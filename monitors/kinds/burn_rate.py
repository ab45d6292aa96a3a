"""Burn rate: how fast the error budget of an SLI is consumed."""

from dataclasses import dataclass

import msgspec

from monitors.finding import Finding
from monitors.kind import Detail, Inputs, MonitorKind, Severity
from monitors.show import CellKind, Column, Table, View
from monitors.slo import burn_rate, sli
from monitors.slo.burn_rate import BurnRateParams
from monitors.sources import SliSlices


def evaluate(params: BurnRateParams, inputs: Inputs) -> Finding:
    """Evaluate the windows of every tier over the period."""
    return burn_rate.evaluate(inputs[_slices(params)], params, inputs.context.as_of)


def _slices(params: BurnRateParams) -> SliSlices:
    return SliSlices(
        sli=params.sli,
        params=sli.parse(params.sli, params.sli_params),
        period=params.period,
        by_segment=params.by_segment,
    )


def about(params: BurnRateParams) -> str:
    """Return name and question of the SLI."""
    return f"SLI {params.sli}: {sli.find(params.sli).question}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counts:
    good: int
    bad: int
    unknown: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tier:
    tier: str
    burn: float
    factor: float


def show(detail: Detail, _: float | None) -> list[View]:
    """Show the burn of each tier, and the events of the day by version and segment."""
    tiers = msgspec.convert(detail.get("tiers", ()), list[_Tier])
    found: list[View] = []
    if tiers:
        columns = (
            Column(name="Tier", unit=CellKind.TEXT),
            Column(name="Fastest burn of the day"),
            Column(name="Limit"),
        )
        burns = tuple((one.tier, one.burn, one.factor) for one in tiers)
        found.append(Table(title="Burn rate", columns=columns, rows=burns))
    for key, burning, title in (
        ("versions", "burned_by", "Events by version"),
        ("by_segment", "burned_by_segments", "Events by segment"),
    ):
        counts = msgspec.convert(detail.get(key, {}), dict[str, _Counts])
        by = msgspec.convert(detail.get(burning, ()), list[str])
        rows = tuple(
            (name, one.good, one.bad, one.unknown, "burning" if name in by else "")
            for name, one in counts.items()
        )
        if rows:
            found.append(Table(title=title, columns=_EVENTS, rows=rows))
    return found


_EVENTS = (
    Column(name="Of", unit=CellKind.TEXT),
    *(Column(name=name, unit=CellKind.COUNT) for name in ("Good", "Bad", "Unknown")),
    Column(name="Budget", unit=CellKind.TEXT),
)

KIND = MonitorKind(
    name="burn_rate",
    question="Is the error budget of an SLI consumed too fast?",
    params=BurnRateParams,
    sources=lambda params: [_slices(params)],
    evaluate=evaluate,
    show=show,
    severity=Severity.PAGE,
    about=about,
)
