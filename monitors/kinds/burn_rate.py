"""Burn rate: how fast the error budget of an SLI is consumed."""

from monitors.finding import Finding
from monitors.kind import Inputs, MonitorKind, Severity
from monitors.show import CellKind, Column, Table, View
from monitors.slo import burn_rate, sli
from monitors.slo.objective import BurnRateDetail, BurnRateParams
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


def show(detail: BurnRateDetail, _: float | None) -> list[View]:
    """Show the burn of each tier, and the events of the day by version and segment."""
    found: list[View] = []
    if detail.tiers:
        columns = (
            Column(name="Tier", unit=CellKind.TEXT),
            Column(name="Fastest burn of the day"),
            Column(name="Limit"),
        )
        burns = tuple((one.tier, one.burn, one.factor) for one in detail.tiers)
        found.append(Table(title="Burn rate", columns=columns, rows=burns))
    for counts, burning, title in (
        (detail.versions, detail.burned_by or (), "Events by version"),
        (detail.by_segment, detail.burned_by_segments, "Events by segment"),
    ):
        rows = tuple(
            (name, one.good, one.bad, one.unknown, "burning" if name in burning else "")
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
    detail=BurnRateDetail,
    sources=lambda params: [_slices(params)],
    evaluate=evaluate,
    show=show,
    severity=Severity.PAGE,
    takes_utc=True,
    about=about,
    runbook=lambda params, _: sli.find(params.sli).runbook,
)
