"""Policy: durations and limits that the owner of a model sets."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import timedelta
from typing import Any, TypeAlias

from core.durations import CENTURY, DAY, Duration, to_text
from core.errors import Unprocessable
from core.stored import parsed
from core.streams import Level

Param: TypeAlias = bool | int | float | str | None  # of a template
_OF_DAYS = ("new_labels", "gate_window", "training_history", "keep_")  # counted in days


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Durations are event time: the model's own clock.

    Attributes
    ----------
    days_between_false_alarms
        The false-alarm contract: on unchanged input, drift is found no more
        often than once in so many days, and neither are sequence faults.
    lateness
        An event day, or a grain, is closed when the watermark has passed its end by this.
        By default two grains, at least 10 s and at most an hour.
    label_delay
        After this time from the target, a label is expected to be in.
    cool_down
        Between the end of one rollout and the next request by an alert. Longer
        than the accuracy window and the label delay together: until then an
        alert still sees forecasts of the version that was replaced.
    new_labels
        Of labels since the change began: retraining waits for so many.
    gate_window
        The last days of those: kept from training, for the gate.
    training_history
        How far back training reads.
    min_canary_sessions
        Sessions, labelled and scored by both versions, before a step is evaluated.
    max_canary
        Without a verdict for so long, a step of the canary waits for a person.
    max_training
        From when a retraining may begin until it is at the gate, in wall time.
    max_gate
        An inconclusive gate is tested again for so long, then the challenger is
        rejected.
    max_paused
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
    keep_rows
        How long rows are kept, in event days up to the newest; None keeps all. Longer than
        retraining waits for labels, or none could ever begin.
    keep_slice_summaries, keep_grain_summaries, keep_hour_summaries, keep_day_summaries
        How long the summaries of each level are kept (`core.streams`), in event days; None
        takes the installation's default.
    """

    days_between_false_alarms: float = 90.0
    lateness: Duration | None = None
    label_delay: Duration = timedelta(hours=36)
    cool_down: Duration = 14 * DAY
    new_labels: Duration = 14 * DAY
    gate_window: Duration = 5 * DAY
    training_history: Duration = 730 * DAY
    min_canary_sessions: int = 20
    max_canary: Duration = 60 * DAY
    max_training: Duration = 7 * DAY
    max_gate: Duration = 30 * DAY
    max_paused: Duration = 30 * DAY
    retrain_on_accuracy: bool = True
    template: str = "segment_lstm"
    template_params: Mapping[str, Param] = field(default_factory=dict)
    trainer: str = "builtin"
    keep_rows: Duration | None = None
    keep_slice_summaries: Duration | None = None
    keep_grain_summaries: Duration | None = None
    keep_hour_summaries: Duration | None = None
    keep_day_summaries: Duration | None = None

    def __post_init__(self) -> None:
        for name, value in self._durations.items():
            if value < timedelta(0):
                raise Unprocessable(f"policy: {name} must not be negative")
            if value > CENTURY:
                raise Unprocessable(f"policy: {name} must not be more than {to_text(CENTURY)}")
            if name.startswith(_OF_DAYS) and value % DAY:
                raise Unprocessable(f"policy: {name} must be whole days")
        if not 1 <= self.days_between_false_alarms <= CENTURY.days:
            raise Unprocessable(
                f"policy: days_between_false_alarms must be 1 to {CENTURY.days}"
            )
        if self.min_canary_sessions < 0:
            raise Unprocessable("policy: min_canary_sessions must not be negative")
        if not DAY <= self.gate_window < self.new_labels:
            raise Unprocessable("policy: needs P1D <= gate_window < new_labels")
        least = self.new_labels + math.ceil(self.label_delay / DAY) * DAY
        if self.keep_rows is not None and self.keep_rows <= least:
            raise Unprocessable(
                f"policy: keep_rows must be more than {to_text(least)}: new_labels and "
                "label_delay"
            )
        self._check_summaries()

    def _check_summaries(self) -> None:
        kept = self.summary_retention
        for level, duration in kept.items():
            if not duration:
                raise Unprocessable(f"policy: keep_{level}_summaries must be at least P1D")
            for finer in level.finer:
                if finer in kept and kept[finer] > duration:
                    raise Unprocessable(
                        f"policy: keep_{finer}_summaries must not be more than "
                        f"keep_{level}_summaries"
                    )

    @property
    def _durations(self) -> Mapping[str, timedelta]:
        stated = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: of for name, of in stated.items() if isinstance(of, timedelta)}

    @property
    def summary_retention(self) -> Mapping[Level, timedelta]:
        """How long summaries are kept, of each level that is stated."""
        found = {level: getattr(self, f"keep_{level}_summaries") for level in Level}
        return {level: duration for level, duration in found.items() if duration is not None}

    def lateness_of(self, grain: timedelta) -> timedelta:
        """Return how long after its end an event day, or a grain, is held open.

        Examples
        --------
        >>> str(Policy().lateness_of(timedelta(minutes=1)))
        '0:02:00'
        """
        if self.lateness is not None:
            return self.lateness
        return min(max(2 * grain, timedelta(seconds=10)), timedelta(hours=1))

    def to_json(self) -> dict[str, Any]:
        """Return the form that is stored."""
        return asdict(self) | {name: to_text(of) for name, of in self._durations.items()}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Policy":
        """Read the stored form; what is absent takes its default.

        Raises
        ------
        Unprocessable
            Naming the entry that is unknown or of the wrong type.

        Examples
        --------
        >>> str(Policy.from_json({"gate_window": "P3D"}).gate_window)
        '3 days, 0:00:00'
        """
        return parsed(stored, cls, "policy")
