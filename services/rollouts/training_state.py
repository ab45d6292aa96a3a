"""The state of a rollout's training, as it is stored with the rollout."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from db.tables import Rollout
from lake.reading import Snapshot
from retrain.gate import GateTests
from retrain.manifest import TrainingFigures
from retrain.template import Epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedIn:
    """A candidate that a trainer handed in; its artifact lies in its place.

    `objective` is what the accuracy of a first version is held to, where it is known.
    """

    sha256: str
    code: str
    figures: TrainingFigures
    objective: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingState:
    """What a training began with, and where it is; None before that.

    Attributes
    ----------
    cut, snapshot
        The newest event, and the state of the log, that it learns from: who begins again
        takes the same.
    epoch
        Its progress.
    candidate
        From a trainer elsewhere.
    tests
        Of the gate.
    """

    cut: datetime | None = None
    snapshot: Snapshot | None = None
    seed: int | None = None
    epoch: Epoch | None = None
    candidate: HandedIn | None = None
    tests: GateTests | None = None


def of(rollout: Rollout) -> TrainingState:
    """Return the state that is stored."""
    return msgspec.convert(rollout.progress, TrainingState)


def change(rollout: Rollout, **changes: Any) -> TrainingState:
    """Store a changed state, and return it."""
    state = replace(of(rollout), **changes)
    fields = msgspec.to_builtins(state)
    rollout.progress = {name: one for name, one in fields.items() if one is not None}
    return state
