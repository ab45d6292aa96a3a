"""Burn rate: how fast serving uses up its error budget."""

from monitors.finding import Finding
from monitors.kind import Inputs, MonitorKind, Severity
from monitors.slo import burn_rate
from monitors.slo.burn_rate import BurnRateParams, Indicator
from monitors.sources import ServingSlices


def evaluate(params: BurnRateParams, inputs: Inputs) -> Finding:
    """Evaluate the windows of every tier over the period."""
    return burn_rate.evaluate(inputs[_slices(params)], params, inputs.context.as_of)


def _slices(params: BurnRateParams) -> ServingSlices:
    is_latency = params.indicator is Indicator.LATENCY
    return ServingSlices(
        period=params.period,
        slower_than_seconds=params.slower_than_seconds if is_latency else None,
    )


KIND = MonitorKind(
    name="burn_rate",
    question="Is the error budget of serving burning too fast?",
    params=BurnRateParams,
    sources=lambda params: [_slices(params)],
    evaluate=evaluate,
    severity=Severity.PAGE,
    takes_utc=True,
)
