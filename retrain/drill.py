"""Drills: what a test of the safety net does to a challenger."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """Test of the safety net: the weights of the next challenger are scrambled.

    Attributes
    ----------
    damages_challenger
        The gate must reject it.
    bypasses_gate
        The gate accepts every challenger: the canary must roll a damaged one back.
    """

    damages_challenger: bool = False
    bypasses_gate: bool = False


NO_DRILL = Drill()
