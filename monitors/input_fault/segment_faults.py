"""Input faults by segment: each feature compared with itself in the other segments.

The relations to the others predict a broken one, as `input_fault` has it:
there other features are the company, here the same feature of other segments is. The
features of the total are one block, each feature across its segments another.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from monitors.baselines.segments import feature_of, like, with_enough
from monitors.false_alarms.warm_up import WarmingUp
from monitors.finding import Finding, Outcome
from monitors.input_fault.cross_feature_model import EVALUATION_DAYS, InputFaultBaseline
from monitors.input_fault.input_fault import InputFault, InputFaultDetail, InputFaultParams
from monitors.input_fault.input_fault import evaluate as evaluate_one
from monitors.input_fault.input_fault import fit as fit_one
from monitors.summaries.hourly import Hourly

# Of two features the broken one cannot be identified.
_SEGMENTS = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Features that keep each other company, and the baseline among them."""

    names: tuple[str, ...]
    fitted: InputFaultBaseline | WarmingUp


def fit(
    reference: Hourly, params: InputFaultParams, n_total: int | None = None
) -> tuple[Block, ...]:
    """Learn from the reference how the features of each block move together.

    Parameters
    ----------
    reference
        Hours before the model was deployed; the features of the total come first.
    params
        Parameters of the test. The promise is split evenly over the blocks.
    n_total
        How many features are of the total; None where there are no others.

    Returns
    -------
    tuple of Block
        The total's first. A segment is in no block until the reference holds 19
        evaluations of it, nor is a feature of fewer than three such segments.
    """
    if n_total is None:
        return (Block(names=reference.names, fitted=fit_one(reference, params)),)
    enough = with_enough(reference, n_total, EVALUATION_DAYS)
    of_feature = np.array([feature_of(name) for name in enough.names[n_total:]])
    places = [[*range(n_total)]]
    for name in enough.names[:n_total]:
        own = n_total + np.flatnonzero(of_feature == name)
        places += [own.tolist()] if own.size >= _SEGMENTS else []
    split = replace(
        params, days_between_false_alarms=params.days_between_false_alarms * len(places)
    )
    blocks = [enough.of(own) for own in places]
    return tuple(Block(names=own.names, fitted=fit_one(own, split)) for own in blocks)


def evaluate(
    blocks: Sequence[Block], recent: Hourly, previous: Sequence[InputFault], as_of: datetime
) -> Finding:
    """Evaluate the last closed days of each block, as `input_fault.evaluate` does.

    Parameters
    ----------
    blocks
        From `fit`.
    recent
        The hours before `as_of`, ten days at least, of all features.
    previous
        `faults` in the detail of the finding before, in full; empty to start. Faults of
        segments that are in no block are forgotten.
    as_of
        Event time, timezone-aware.

    Returns
    -------
    Finding
        `value` and `threshold` are of the block that is nearest to its limit, or
        farthest beyond it.
    """
    found = [
        evaluate_one(
            block.fitted,
            recent if block.names == recent.names else like(recent, block.names),
            [fault for fault in previous if fault.feature in block.names],
            as_of,
        )
        for block in blocks
    ]
    faults = tuple(fault for one in found for fault in _faults(one))
    evaluated = [one for one in found if one.outcome is not Outcome.NO_DATA]
    if not evaluated:
        return found[0].with_figures(faults=faults)
    worst = max(evaluated, key=_beyond)
    is_breach = any(one.outcome is Outcome.BREACH for one in evaluated)
    return replace(
        worst,
        outcome=Outcome.BREACH if is_breach else Outcome.OK,
        cause="; ".join(one.cause for one in evaluated if one.cause),
        detail=_detail(faults, blocks),
    )


def _beyond(finding: Finding) -> float:
    assert finding.value is not None
    assert finding.threshold is not None
    return finding.value / finding.threshold if finding.threshold > 0 else finding.value


def _faults(finding: Finding) -> tuple[InputFault, ...]:
    assert isinstance(finding.detail, InputFaultDetail)
    return finding.detail.faults


def _detail(faults: tuple[InputFault, ...], blocks: Sequence[Block]) -> InputFaultDetail:
    """Return the false alarm rate over all blocks, nominal and achieved on the reference."""
    fitted = [block.fitted for block in blocks if isinstance(block.fitted, InputFaultBaseline)]
    thresholds = [one.alarm_threshold for one in fitted]
    n_episodes = sum(threshold.replayed_episodes for threshold in thresholds)
    days = min(threshold.replayed_days for threshold in thresholds)
    return InputFaultDetail(
        faults=faults,
        promised_days=1.0 / sum(1.0 / threshold.promised_days for threshold in thresholds),
        achieved_days=days / n_episodes if n_episodes else None,
        replayed_days=days,
        extrapolated=any(threshold.extrapolated for threshold in thresholds),
    )
