"""Input fault: a sensor that is scaled, shifted, stuck or missing."""

from collections.abc import Sequence

from monitors.baselines.coverage import NO_NUMBERS, with_coverage
from monitors.false_alarms.warm_up import WarmingUp
from monitors.finding import Finding
from monitors.input_fault import segment_faults
from monitors.input_fault.input_fault import InputFault, InputFaultDetail, InputFaultParams
from monitors.input_fault.segment_faults import Block
from monitors.kind import BrokenInput, Inputs, MonitorKind, ReferenceOf, Severity
from monitors.sources import RecentInput
from monitors.summaries.input_history import InputHistory


def fit(params: InputFaultParams, reference: InputHistory) -> tuple[Block, ...]:
    """Fit how features move together on the hours of the longest reference."""
    return segment_faults.fit(reference.hours, params, reference.n_total)


def evaluate(params: InputFaultParams, inputs: Inputs) -> Finding:
    """Evaluate the last ten days, and follow the faults that are open."""
    recent, blocks = inputs[_recent(params)], inputs.fitted
    if not recent.hours.names:
        return inputs.context.no_data(NO_NUMBERS)
    found = segment_faults.evaluate(
        blocks, recent.hours, inputs.state or (), inputs.context.as_of
    )
    return with_coverage(found, _evaluated(blocks), recent)


def broken(detail: InputFaultDetail) -> list[BrokenInput]:
    """Return the inputs with a fault.

    A fault is followed for some time after its repair: windows hold its days until then.
    """
    return [
        BrokenInput(feature=one.feature, description=_described(one)) for one in detail.faults
    ]


def _evaluated(blocks: Sequence[Block]) -> list[str]:
    known = [block.fitted for block in blocks if not isinstance(block.fitted, WarmingUp)]
    return [name for fitted in known for name in fitted.names]


def _described(fault: InputFault) -> str:
    return str(fault) if fault.until is None else f"{fault} until {fault.until:%Y-%m-%dT%H:%MZ}"


def _recent(params: InputFaultParams) -> RecentInput:
    return RecentInput(by_segment=params.by_segment)


KIND = MonitorKind(
    name="input_fault",
    question="Is a sensor broken, or did its unit change?",
    params=InputFaultParams,
    detail=InputFaultDetail,
    sources=lambda params: [_recent(params)],
    evaluate=evaluate,
    fit=fit,
    fitted_on=ReferenceOf.WIDEST,
    fits_by_segment=lambda params: params.by_segment,
    reads_context=True,
    severity=Severity.PAGE,
    broken=broken,
    state=lambda detail: detail.faults,
    runbook=lambda *_: "input_fault",
)
