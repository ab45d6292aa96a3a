"""Policy: durations and limits that the owner of a model sets."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any, TypeAlias

from core.errors import Unprocessable
from core.stored import parsed
from core.streams import Level

Param: TypeAlias = bool | int | float | str | None  # of a template
CENTURY = timedelta(days=36_525)  # nothing that anybody decides lasts longer


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Durations are event time: the model's own clock.

    Attributes
    ----------
    days_between_false_alarms
        The false-alarm contract: on unchanged input, drift is found no more
        often than once in so many days, and neither are sequence faults.
    lateness_seconds
        An event day, or a grain, is closed when the watermark has passed its end by this.
        By default two grains, at least 10 s and at most an hour.
    label_delay_seconds
        After this time from the target, a label is expected to be in.
    cool_down_seconds
        Between the end of one rollout and the next request by an alert. Longer
        than the accuracy window and the label delay together: until then an
        alert still sees forecasts of the version that was replaced.
    new_label_days
        Days of labels since the change began that retraining waits for.
    gate_days
        The last days of those: kept from training, for the gate.
    history_days
        How far back training reads.
    min_canary_sessions
        Sessions, labelled and scored by both versions, before a step is evaluated.
    max_canary_seconds
        Without a verdict for so long, the canary waits for a person.
    max_training_seconds
        From when a retraining may begin until it is at the gate, in wall time.
    max_gate_seconds
        An inconclusive gate is tested again for so long, then the challenger is
        rejected.
    max_paused_seconds
        A rollout waits for a person for so long, in wall time; then it is rolled
        back.
    retrain_on_accuracy
        Ask for retraining by itself when an accuracy alert fires, where a trainer
        can work.
    template, template_params
        What is trained: the name of an installed template, and its parameters; those that are
        absent take their defaults.
    trainer
        Who trains: the name of a trainer.
    keep_days
        Event days whose rows are kept, up to the newest; None keeps all. Longer
        than retraining waits for labels, or none could ever begin.
    slice_summary_days, grain_summary_days, hour_summary_days, day_summary_days
        Event days whose summaries are kept at each level (`core.streams`); None takes
        the installation's default.
    """

    days_between_false_alarms: float = 90.0
    lateness_seconds: float | None = None
    label_delay_seconds: float = 36 * 3600.0
    cool_down_seconds: float = 14 * 86400.0
    new_label_days: int = 14
    gate_days: int = 5
    history_days: int = 730
    min_canary_sessions: int = 20
    max_canary_seconds: float = 60 * 86400.0
    max_training_seconds: float = 7 * 86400.0
    max_gate_seconds: float = 30 * 86400.0
    max_paused_seconds: float = 30 * 86400.0
    retrain_on_accuracy: bool = True
    template: str = "segment_lstm"
    template_params: Mapping[str, Param] = field(default_factory=dict)
    trainer: str = "builtin"
    keep_days: int | None = None
    slice_summary_days: int | None = None
    grain_summary_days: int | None = None
    hour_summary_days: int | None = None
    day_summary_days: int | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not isinstance(value, int | float):
                continue
            if not value >= 0:
                raise Unprocessable(f"policy: {name} must not be negative")
            longest = CENTURY / timedelta(seconds=1 if name.endswith("_seconds") else 86400)
            if name != "min_canary_sessions" and value > longest:
                raise Unprocessable(f"policy: {name} must not be more than {longest:.0f}")
        if self.days_between_false_alarms < 1:
            raise Unprocessable("policy: days_between_false_alarms must be at least 1")
        if not 1 <= self.gate_days < self.new_label_days:
            raise Unprocessable("policy: needs 1 <= gate_days < new_label_days")
        least = self.new_label_days + math.ceil(self.label_delay / timedelta(days=1))
        if self.keep_days is not None and self.keep_days <= least:
            raise Unprocessable(
                f"policy: keep_days must be more than {least}: new_label_days and label_delay"
            )

        self._check_summary_days()

    def _check_summary_days(self) -> None:
        for level, days in self.summary_days.items():
            if days == 0:
                raise Unprocessable(f"policy: {level}_summary_days must be at least 1")
            for finer in level.finer:
                longer = self.summary_days.get(finer)
                if longer is not None and longer > days:
                    raise Unprocessable(
                        f"policy: {finer}_summary_days must not be more than "
                        f"{level}_summary_days"
                    )

    @property
    def summary_days(self) -> Mapping[Level, int]:
        """How many days of summaries are kept, of each level that is stated."""
        found = {level: getattr(self, f"{level}_summary_days") for level in Level}
        return {level: days for level, days in found.items() if days is not None}

    def lateness(self, grain: timedelta) -> timedelta:
        """Return how long after its end an event day, or a grain, is held open.

        Examples
        --------
        >>> str(Policy().lateness(timedelta(minutes=1)))
        '0:02:00'
        """
        if self.lateness_seconds is not None:
            return timedelta(seconds=self.lateness_seconds)
        return min(max(2 * grain, timedelta(seconds=10)), timedelta(hours=1))

    @property
    def label_delay(self) -> timedelta:
        """How long after the target a label may take."""
        return timedelta(seconds=self.label_delay_seconds)

    @property
    def cool_down(self) -> timedelta:
        """The rest between two rollouts."""
        return timedelta(seconds=self.cool_down_seconds)

    @property
    def max_canary(self) -> timedelta:
        """How long a step of the canary may go on without a verdict."""
        return timedelta(seconds=self.max_canary_seconds)

    @property
    def max_training(self) -> timedelta:
        """How long a retraining may take from when it may begin."""
        return timedelta(seconds=self.max_training_seconds)

    @property
    def max_gate(self) -> timedelta:
        """How long an inconclusive gate is tested again."""
        return timedelta(seconds=self.max_gate_seconds)

    @property
    def max_paused(self) -> timedelta:
        """How long a rollout waits for a person."""
        return timedelta(seconds=self.max_paused_seconds)

    def to_json(self) -> dict[str, Any]:
        """Return the form that is stored."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Policy":
        """Read the stored form; what is absent takes its default.

        Raises
        ------
        Unprocessable
            Naming the entry that is unknown or of the wrong type.

        Examples
        --------
        >>> Policy.from_json({"gate_days": 3}).gate_days
        3
        """
        return parsed(stored, cls, "policy")
