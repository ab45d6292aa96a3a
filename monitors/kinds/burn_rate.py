"""Burn rate: how fast the error budget of an SLI is consumed."""

from monitors.finding import Finding
from monitors.kind import Inputs, MonitorKind, Severity
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


KIND = MonitorKind(
    name="burn_rate",
    question="Is the error budget of an SLI consumed too fast?",
    params=BurnRateParams,
    sources=lambda params: [_slices(params)],
    evaluate=evaluate,
    severity=Severity.PAGE,
    about=about,
)
