"""Mean shift: evidence that the level of an input moved and stayed."""

from monitors.baselines.coverage import NO_NUMBERS, with_coverage
from monitors.baselines.segments import like_fitted, names_of, with_enough
from monitors.drift import mean_shift, mean_shift_evaluation
from monitors.drift.mean_shift import MeanShiftBaseline, MeanShiftParams
from monitors.drift.mean_shift_evaluation import MeanShiftDetail
from monitors.false_alarms.warm_up import WarmingUp
from monitors.finding import Finding
from monitors.kind import Inputs, MonitorKind, by_any
from monitors.sources import RecentInput
from monitors.summaries.hourly import Hourly
from monitors.summaries.input_history import InputHistory


def fit_hours(
    hours: Hourly, params: MeanShiftParams, n_total: int | None
) -> MeanShiftBaseline | WarmingUp:
    """Fit the total, and every segment whose reference is long enough."""
    if n_total is not None:
        hours = with_enough(hours, n_total, mean_shift.WEEK)
    return mean_shift.fit(hours, params)


def fit(params: MeanShiftParams, reference: InputHistory) -> MeanShiftBaseline | WarmingUp:
    """Fit the typical level and the threshold on the hours of the reference."""
    return fit_hours(reference.hours, params, reference.n_total)


def evaluate(params: MeanShiftParams, inputs: Inputs) -> Finding:
    """Evaluate half a year of evidence."""
    recent, baseline = inputs[_recent(params)], inputs.fitted
    if not recent.hours.names:
        return inputs.context.no_data(NO_NUMBERS)
    hours = like_fitted(recent.hours, baseline)
    found = mean_shift_evaluation.evaluate(baseline, hours, inputs.context.as_of)
    return with_coverage(found, names_of(baseline), recent)


def _recent(params: MeanShiftParams) -> RecentInput:
    return RecentInput(look_back=mean_shift_evaluation.LOOK_BACK, by_segment=params.by_segment)


KIND = MonitorKind(
    name="mean_shift",
    question="Has the mean of an input shifted and stayed?",
    params=MeanShiftParams,
    detail=MeanShiftDetail,
    sources=lambda params: [_recent(params)],
    evaluate=evaluate,
    fit=fit,
    fits_by_segment=lambda params: params.by_segment,
    oks_to_resolve=7,
    is_against_reference=True,
    is_explained_by=by_any,
    runbook=lambda *_: "drift",
)
