"""Burn rate: how fast the error budget of an SLI is consumed."""

from monitors.finding import Finding
from monitors.kind import Inputs, Interval, MonitorKind, Severity
from monitors.show import CellKind, Column, Table, View
from monitors.slo import burn_rate, sli
from monitors.slo.objective import BurnRateDetail, BurnRateParams, TierBurn
from monitors.sources import SliSlices


def evaluate(params: BurnRateParams, inputs: Inputs) -> Finding:
    """Evaluate the windows of every tier, and the budget of the period."""
    context = inputs.context
    return burn_rate.evaluate(
        inputs[slices(params)], params, context.as_of, context.contract.zone
    )


def slices(params: BurnRateParams) -> SliSlices:
    """Return what an SLO reads."""
    return SliSlices(
        sli=params.sli,
        params=sli.parse(params.sli, params.sli_params),
        back=params.longest_period,
        method=params.method,
        slice_width=params.slice_width,
        slice_target=params.slice_target,
        calendar=params.calendar,
        zone=params.zone,
        by_segment=params.by_segment,
    )


def severities(params: BurnRateParams) -> tuple[Severity, ...]:
    """Return that it pages and writes tickets."""
    return (Severity.PAGE, Severity.TICKET)


def about(params: BurnRateParams) -> str:
    """Return name and question of the SLI."""
    return f"SLI {params.sli}: {sli.find(params.sli).question}"


def show(detail: BurnRateDetail, _: float | None) -> list[View]:
    """Show the burn of each tier, and the events of the day by version and segment."""
    found: list[View] = []
    if detail.tiers:
        burns = tuple(
            (
                one.tier,
                one.burn,
                one.burn_short,
                one.factor,
                f"{one.bad:g} of {_needed(one)}",
                _fires(one),
            )
            for one in detail.tiers
        )
        found.append(Table(title="Burn rate", columns=_TIERS, rows=burns))
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


def _needed(one: TierBurn) -> str:
    return "none is enough" if one.fewest_bad is None else f"{one.fewest_bad:,} needed"


def _fires(one: TierBurn) -> str:
    if one.burning:
        return "burning"
    if one.fires_in_seconds is None:
        return ""
    minutes, seconds = divmod(round(one.fires_in_seconds), 60)
    return f"fires in {minutes} min {seconds} s at this error rate"


_TIERS = (
    Column(name="Tier", unit=CellKind.TEXT),
    Column(name="Burn of long window"),
    Column(name="Of short window"),
    Column(name="Limit"),
    Column(name="Bad events", unit=CellKind.TEXT),
    Column(name="State", unit=CellKind.TEXT),
)
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
    sources=lambda params: [slices(params)],
    evaluate=evaluate,
    show=show,
    severity=Severity.PAGE,
    severities=severities,
    interval=Interval.CLOCK,
    ends_with_events=True,
    needs_reference=False,
    takes_utc=True,
    about=about,
    runbook=lambda params, _: sli.find(params.sli).runbook,
)
