"""Window profile: the structure of values within a row's own window of steps."""

from monitors.baselines.first_days import reference_of
from monitors.finding import Finding
from monitors.kind import Inputs, MonitorKind, by_any
from monitors.sources import WindowProfiles
from monitors.temporal import window_profile
from monitors.temporal.window_profile import WindowProfileDetail, WindowProfileParams


def evaluate(params: WindowProfileParams, inputs: Inputs) -> Finding:
    """Evaluate the rows of the last window against those of the version's first days."""
    context, profiles = inputs.context, inputs[_profiles(params)]
    if profiles is None or profiles.first >= context.as_of:
        return context.no_data(
            "no version serves"
            if context.champion is None
            else f"rows of {context.champion} hold no lists of more than one step"
        )
    reference = reference_of(params, profiles.first, context.as_of)
    return window_profile.evaluate(
        profiles.layout, profiles.summary, reference, params, context.as_of
    )


def _profiles(params: WindowProfileParams) -> WindowProfiles:
    return WindowProfiles(window_days=params.window_days, reference_days=params.reference_days)


KIND = MonitorKind(
    name="window_profile",
    question="Has the within-window structure of the input changed?",
    params=WindowProfileParams,
    detail=WindowProfileDetail,
    sources=lambda params: [_profiles(params)],
    evaluate=evaluate,
    oks_to_resolve=7,
    is_against_reference=True,
    is_explained_by=by_any,
    runbook=lambda *_: "drift",
)
