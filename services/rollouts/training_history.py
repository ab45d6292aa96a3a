"""The material of a training or a gate test: series in contract order, of a pinned log."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np

from core.durations import DAY
from core.errors import Unprocessable
from core.policy import Policy
from core.schema.contract import Contract
from core.settings import Settings
from core.window import Window
from lake.reading import Log, Snapshot, SnapshotGone
from lake.series import Series, training_series
from retrain.drill import NO_DRILL, Drill
from retrain.manifest import Scaler
from retrain.plan import Sizes
from retrain.windows import Floats
from services.models.artifacts import path_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The champion that a challenger is compared with; no `sha256` where it is elsewhere."""

    name: str
    sha256: str | None
    objective: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRequest:
    """Request of a training. The same request gives the same version.

    Attributes
    ----------
    template, params, trainer
        By name, as the rollout asks for them.
    cut, snapshot
        The newest event, and the state of the log, that it learns from.
    base
        None for a first version.
    scaler
        The unit of the model's errors; None where none is fixed yet.
    """

    settings: Settings
    rollout_id: UUID
    model_id: UUID
    model: str
    contract: Contract
    policy: Policy
    template: str
    params: dict[str, object]
    trainer: str
    onset: datetime | None
    cut: datetime
    snapshot: Snapshot
    seed: int
    base: Base | None
    scaler: Scaler | None
    drill: Drill = NO_DRILL

    def weights(self, sha256: str) -> bytes:
        """Read an artifact of the model."""
        return path_of(self.settings.artifacts, self.model, sha256).read_bytes()

    @property
    def base_weights(self) -> tuple[bytes, str] | None:
        """Artifact and checksum of the base; None for a first version.

        Raises
        ------
        Unprocessable
            If they are kept elsewhere.
        """
        if self.base is None:
            return None
        if self.base.sha256 is None:
            raise Unprocessable(
                f"the weights of {self.base.name} are kept elsewhere: nothing to build on"
            )
        return self.weights(self.base.sha256), self.base.sha256


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class History:
    """Series in contract order, and how long things are.

    Attributes
    ----------
    inputs, targets : (entity, step, channel)
        NaN where missing, or where a channel is no target.
    start
        Event time of the first step.
    end
        Steps from here on have not all their labels yet.
    unit : (channel,)
        What errors are divided by.
    """

    inputs: Floats
    targets: Floats
    start: datetime
    end: int
    sizes: Sizes
    unit: Floats
    step: timedelta

    def step_of(self, moment: datetime) -> int:
        """Return the step that a moment lies in."""
        return (moment - self.start) // self.step

    def time_of(self, step: int) -> datetime:
        """Return when a step begins."""
        return self.start + step * self.step


def learn_until(policy: Policy, cut: datetime) -> datetime:
    """Return where the gate of a candidate from elsewhere begins: its last labelled days."""
    return cut - policy.label_delay - policy.gate_window


def is_there(settings: Settings, model_id: UUID, pinned: Snapshot) -> bool:
    """Return whether a past state of the log can still be opened: an erasure ends it."""
    try:
        Log(settings.lake, model_id, pinned)
    except SnapshotGone:
        return False
    return True


def snapshot(settings: Settings, model_id: UUID) -> Snapshot:
    """Return the state of the log now, to be trained on now and ever after."""
    return Log(settings.lake, model_id).snapshot


def read_history(request: TrainingRequest, since: datetime | None = None) -> History:
    """Read the series, all of it or from a moment on, cut to begin with the first reading.

    Raises
    ------
    Unprocessable
        If the log holds no input.
    """
    contract = request.contract
    log = Log(request.settings.lake, request.model_id, request.snapshot)
    since = since or request.cut - request.policy.training_history
    series = training_series(log, contract, Window(since, request.cut + contract.step))
    known = ~np.isnan(series.inputs).all(axis=(0, 2))
    if not known.any():
        raise Unprocessable("the log holds no input to train on")
    first = int(known.argmax())
    inputs = series.inputs[:, first:]
    start = series.start + first * series.step
    return History(
        inputs=inputs,
        targets=_by_channel(series, contract)[:, first:],
        start=start,
        end=(request.cut - request.policy.label_delay - start) // contract.step,
        sizes=Sizes(
            input_length=contract.input_length,
            horizon=contract.horizon,
            day=max(1, DAY // contract.step),
        ),
        unit=(
            np.nanstd(inputs, axis=(0, 1))
            if request.scaler is None
            else _all_channels(request.scaler.std, contract)
        ),
        step=contract.step,
    )


def _by_channel(series: Series, contract: Contract) -> Floats:
    """Return targets in the order of the features; NaN for a feature that is no target."""
    targets = np.full(series.inputs.shape, np.nan)
    for i, name in enumerate(contract.targets):
        targets[:, :, contract.feature_names.index(name)] = series.targets[:, :, i]
    return targets


def _all_channels(unit: Sequence[float], contract: Contract) -> Floats:
    spread = np.ones(len(contract.features))
    for name, std in zip(contract.targets, unit, strict=True):
        spread[contract.feature_names.index(name)] = std
    return spread
