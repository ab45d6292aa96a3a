"""The features of every segment, laid beside those of the total for monitors to judge."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias, TypeVar

from sqlalchemy.orm import Session

from core.schema.contract import Contract
from core.window import Window
from db.queries import segments as stored
from db.tables import Model, SegmentChunk
from monitors.baselines.segments import beside, blocks, inherit, like, segment_of, with_enough
from monitors.baselines.warm_up import Learning
from monitors.drift import input_drift, mean_shift
from monitors.drift.input_drift import DriftBaseline, DriftParams
from monitors.drift.mean_shift import LevelBaseline, LevelParams
from monitors.finding import Finding, Json
from monitors.input_fault.segment_faults import Block
from monitors.statistics.seasonality import find_period
from monitors.summaries.hourly import Hourly, whole_days
from monitors.summaries.input_history import Counted
from monitors.temporal import panel
from monitors.temporal.panel import PanelBaseline, PanelParams
from services.aggregation import segments
from services.evaluation import evaluation_context
from services.evaluation.evaluation_context import Scene

Params = TypeVar("Params", DriftParams, PanelParams)
Learnt: TypeAlias = DriftBaseline | LevelBaseline | PanelBaseline | Learning


def counted_of(session: Session, model: Model, window: Window) -> Counted:
    """Read what `scene.counted_of` reads, and the numbers of every segment beside it."""
    return widened(
        session, model, window, evaluation_context.counted_of(session, model, window)
    )


def widened(session: Session, model: Model, window: Window, whole: Counted) -> Counted:
    """Lay the numbers of every segment beside what was counted of all."""
    contract = Contract.from_json(model.contract)
    apart = stored.read(session, SegmentChunk, model.id, [window])
    if apart is None or not contract.segment_by:
        return whole
    label = segments.label(session, model.id, contract)
    edges, summary = beside(whole.summary, whole.edges, apart, whole.measured, label)
    more = tuple(range(len(whole.edges.names), len(edges.names)))
    return replace(
        whole,
        edges=edges,
        measured=(*whole.measured, *more),
        kept=(*whole.kept, *more),
        summary=summary,
    )


def apart(seen: Scene, counted: Counted) -> Scene:
    """Return the scene with the features of every segment behind those of the total."""
    return replace(
        seen,
        counted=counted,
        recent=evaluation_context.on_hours(counted, evaluation_context.lately(seen.as_of)),
        n_total=len(seen.recent.names),
    )


def learn_drift(
    hours: Hourly, params: DriftParams, n_total: int | None
) -> DriftBaseline | Learning:
    """Learn what is usual of the total and of every segment that is known for long enough.

    Parameters
    ----------
    hours
        The reference.
    params
        How to look.
    n_total
        How many features are of the total; None where there are no others.
    """
    if n_total is None:
        return input_drift.calibrate(hours, params)
    enough = with_enough(hours, n_total, params.window_days)
    # All go by the total's season: that of a quiet segment is hard to see.
    period = params.period_hours or find_period(whole_days(hours).mean[:, :n_total])
    params = _inheriting(replace(params, period_hours=period), enough, n_total)
    return input_drift.calibrate(enough, params)


def learn_panel(
    hours: Hourly, params: PanelParams, n_total: int | None
) -> PanelBaseline | Learning:
    """Learn the same for sequence faults; only features of one segment keep company."""
    if n_total is None:
        return panel.calibrate(hours, params)
    enough = with_enough(hours, n_total, params.window_days)
    params = _inheriting(params, enough, n_total)
    return panel.calibrate(enough, params, blocks(enough.names, n_total))


def learn_level(
    hours: Hourly, params: LevelParams, n_total: int | None
) -> LevelBaseline | Learning:
    """Learn the same for levels that move and stay."""
    if n_total is None:
        return mean_shift.calibrate(hours, params)
    return mean_shift.calibrate(with_enough(hours, n_total, mean_shift.WEEK), params)


def _inheriting(params: Params, hours: Hourly, n_total: int) -> Params:
    weights = inherit(params.feature_weights, hours.names, n_total)
    return replace(params, feature_weights=weights)


def judged(hours: Hourly, learnt: Learnt) -> Hourly:
    """Return the features that the reference knows for long enough."""
    if isinstance(learnt, Learning) or hours.names == learnt.names:
        return hours
    return like(hours, learnt.names)


def judged_names(learnt: Learnt | Sequence[Block]) -> Sequence[str]:
    """Return the features that are judged."""
    if isinstance(learnt, Learning):
        return ()
    if isinstance(learnt, Sequence):
        known = [block.usual for block in learnt if not isinstance(block.usual, Learning)]
        return [name for usual in known for name in usual.names]
    return learnt.names


def told(
    finding: Finding, judged: Sequence[str], recent: Hourly, n_total: int | None
) -> Finding:
    """Say in a finding which inputs and segments have no reference to be judged by.

    Parameters
    ----------
    finding
        What was found.
    judged
        The features that were judged; none while none is.
    recent
        All features lately, likewise.
    n_total
        How many are of the total; None where there are no others.
    """
    whole = recent.names[:n_total]
    lacking = unevaluated([name for name in whole if name not in {*judged}] if judged else ())
    finding = replace(finding, detail={**finding.detail, **lacking})
    if n_total is None:
        return finding
    there = recent.n.sum(axis=0) > 0
    lately = {
        segment_of(name) for i, name in enumerate(recent.names) if i >= n_total and there[i]
    }
    known = {segment_of(name) for name in judged if name not in {*whole}}
    segments: dict[str, Json] = {
        "judged": sorted(known),
        "learning": sorted(lately - known),
    }
    return replace(finding, detail={**finding.detail, "segments": segments})


def unevaluated(names: Sequence[str]) -> dict[str, Json]:
    """Return what a finding's detail says of inputs that the reference does not hold.

    Examples
    --------
    >>> unevaluated(["wind"])
    {'not_evaluated': {'wind': {'outcome': 'no_data', 'reason': 'no_reference'}}}
    >>> unevaluated([])
    {}
    """
    told = {name: {"outcome": "no_data", "reason": "no_reference"} for name in names}
    return {"not_evaluated": told} if told else {}
