"""Evidence: what a monitor measured; the platform decides by the model's false-alarm budget."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.arrays import Floats
from core.window import Window
from monitors.detail import Detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Implicated:
    """An input that the score comes from, and how far it moved, in standard deviations."""

    name: str
    score: float | None
    effect: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What may have happened, and how probable that is, 0 to 1."""

    name: str
    probability: float


class EvidenceDetail(Detail, frozen=True):
    """What a finding from evidence holds."""

    effect: float | None = None
    implicated: tuple[Implicated, ...] = ()
    causes: tuple[Cause, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """What one evaluation measured.

    Attributes
    ----------
    score
        Larger is more unusual; NaN where nothing could be measured.
    null : (evaluation,)
        The scores of evaluations without a change, in the order of time, each as if its own
        window had not been seen. NaN where there was no data.
    window
        The event time that was evaluated.
    message
        One sentence for a breach: what changed, by how much.
    effect
        Size of the change, in standard deviations.
    implicated
        Inputs, the worst first.
    causes
        The most probable first.
    gap
        Evaluations that overlap: so many quiet ones end an alarm.
    per_day
        Evaluations in a day.
    """

    score: float
    null: Floats
    window: Window
    message: str
    effect: float | None = None
    implicated: Sequence[Implicated] = ()
    causes: Sequence[Cause] = ()
    gap: int = 1
    per_day: float = 1.0
