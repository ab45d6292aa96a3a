"""What a monitor says about one window."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from core.window import Window

# What JSON can hold; a finding is stored as a row, so its detail must fit.
Json: TypeAlias = Mapping[str, "Json"] | Sequence["Json"] | str | int | float | bool | None


class Outcome(StrEnum):
    """How one evaluation ended. `NO_DATA` and `ERROR` are never `OK`."""

    OK = "ok"
    BREACH = "breach"
    NO_DATA = "no_data"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One monitor's verdict on one window.

    Attributes
    ----------
    outcome
        The verdict.
    value, threshold
        What was measured and what it was compared with, in the monitor's
        unit; a breach is `value > threshold`. None where there is none.
    window
        The event time that was judged.
    cause
        One sentence for the person who is told.
    detail
        What explains the verdict, as plain JSON.
    """

    outcome: Outcome
    value: float | None
    threshold: float | None
    window: Window
    cause: str = ""
    detail: Mapping[str, Json] = field(default_factory=dict)


def as_json(number: float) -> float | None:
    """Return `number` for a finding's detail: JSON has no NaN and no infinity.

    Examples
    --------
    >>> as_json(1.5), as_json(float("nan"))
    (1.5, None)
    """
    value = float(number)
    return value if abs(value) < float("inf") else None
