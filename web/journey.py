"""Progress of a rollout, and of the evidence of its verdict."""

from dataclasses import dataclass
from math import log
from typing import Literal

from retrain.rollout import Phase
from retrain.verdict import Rule, Verdict
from services.read_models.overview.rollouts import RolloutPage
from web.words import percent

BEFORE_CANARY = (Phase.REQUESTED, Phase.TRAINING, Phase.GATING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One phase in the progress of a rollout."""

    name: str
    state: Literal["done", "now", "ahead", "lost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One e-value and its threshold; `fill` is the share reached, in percent by logarithm."""

    claim: str
    value: float
    bar: float
    fill: float
    tone: Literal["good", "bad"]


def way(rollout: RolloutPage) -> tuple[Stop, ...]:
    """Return every phase, from the request to the promotion, and that of the rollout.

    A first version has no canary: there is no champion to compare it with.
    """
    canary = [f"Canary {percent(share)}" for share in rollout.steps]
    names = [
        "Requested",
        "Training",
        "Gate",
        *(canary if rollout.line.base else ()),
        "Promoted",
    ]
    reached = max((_place(event.phase, rollout) for event in rollout.events), default=0)
    if rollout.line.phase is Phase.PROMOTED:
        return tuple(Stop(name=name, state="done") for name in names)
    here: Literal["now", "lost"] = "now" if rollout.line.is_open else "lost"
    return tuple(
        Stop(name=name, state="done" if i < reached else "ahead" if i > reached else here)
        for i, name in enumerate(names)
    )


def _place(phase: Phase, rollout: RolloutPage) -> int:
    if phase is Phase.CANARY:
        return len(BEFORE_CANARY) + rollout.line.step
    return BEFORE_CANARY.index(phase) if phase in BEFORE_CANARY else 0


def evidence(verdict: Verdict | None, bars: Rule) -> tuple[Evidence, ...]:
    """Return the three e-values of the verdict; nothing before the first verdict."""
    if verdict is None:
        return ()
    success, harm = 1 / bars.alpha, 1 / bars.alpha_harm
    return (
        _evidence("is better", verdict.e_success, success, "good"),
        _evidence("is worse", verdict.e_harm, harm, "bad"),
        _evidence("fails more often", verdict.e_failures, harm, "bad"),
    )


def _evidence(claim: str, value: float, bar: float, tone: Literal["good", "bad"]) -> Evidence:
    reached = log(max(value, 1.0)) / log(bar)
    return Evidence(
        claim=claim, value=value, bar=bar, fill=round(100 * min(reached, 1.0), 1), tone=tone
    )
