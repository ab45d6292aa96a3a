"""Kinds of skew between training and serving."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

# Pairs below which nothing is named. Under mere noise a line explains 99 % of the squares of
# n pairs with probability 0.01^((n - 2) / 2): 1e-18 for 20, and 2e-15 after trying 2,000 lags.
MIN_PAIRS = 20

# What undoing a fault may leave: of the feature's spread, and of the difference as it was.
MAX_LEFT = 0.01
MAX_SHARE_LEFT = 0.1

# Left over by arithmetic alone, in spreads: float32 keeps 1e-7 of a value.
ARITHMETIC = 1e-6


class Fault(StrEnum):
    """What was done to a feature on its way to the model."""

    UNIT = "unit"
    SCALE = "scale"
    OFFSET = "offset"
    AFFINE = "affine"
    DOUBLE_SCALING = "double_scaling"
    NOT_SCALED = "not_scaled"
    LAG = "lag"
    TIME_ZONE = "time_zone"
    REVERSED = "reversed"
    COLUMN_SWAP = "column_swap"
    DTYPE = "dtype"
    FILL_VALUE = "fill_value"
    CLIPPED = "clipped"
    MISSING = "missing"


class Verdict(StrEnum):
    """How a feature came out.

    `equal` to the last bit; `close` within the tolerance; `explained` by named
    faults; `unexplained`; `undetermined`, because too few pairs or a feature
    that never varies can show nothing.
    """

    EQUAL = "equal"
    CLOSE = "close"
    EXPLAINED = "explained"
    UNEXPLAINED = "unexplained"
    UNDETERMINED = "undetermined"


# None of these parameters is a value of a row.
HARMLESS = {"factor", "unit", "steps", "seconds", "column", "type", "share", "times"}

_MESSAGES = {
    Fault.UNIT: "another unit, factor {factor:.6g}",
    Fault.SCALE: "multiplied by {factor:.6g}",
    Fault.OFFSET: "shifted",
    Fault.AFFINE: "multiplied by {factor:.6g} and shifted",
    Fault.DOUBLE_SCALING: "scaled more often than offline",
    Fault.NOT_SCALED: "not scaled, though offline is",
    Fault.LAG: "late by {steps:g} steps",
    Fault.TIME_ZONE: "moved by {seconds:g} seconds, as by a time zone",
    Fault.REVERSED: "the steps in reverse order",
    Fault.COLUMN_SWAP: "holds the column {column!r}",
    Fault.DTYPE: "cast to {type}",
    Fault.FILL_VALUE: "one value where offline varies or has none",
    Fault.CLIPPED: "cut off at a bound",
    Fault.MISSING: "no value where offline has one",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosedFault:
    """One fault with its parameters.

    Attributes
    ----------
    parameters
        `factor` and `offset`: online is factor x offline + offset. `steps`,
        `seconds`: online shows what offline showed so much earlier; negative
        is later. `column`: whose values online holds. `value`: what stands in
        for others. `share`: of the pairs that it befell, when not all.
    """

    fault: Fault
    parameters: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def message(self) -> str:
        """Return the fault as words, without a value of the feature.

        Examples
        --------
        >>> parameters = {"factor": 1000.0, "unit": "kilo"}
        >>> DiagnosedFault(fault=Fault.UNIT, parameters=parameters).message
        'another unit, factor 1000 (kilo)'
        """
        message = _MESSAGES[self.fault].format(**self.parameters)
        unit, share = self.parameters.get("unit"), self.parameters.get("share")
        if unit is not None:
            message += f" ({unit})"
        return message if share is None else f"{message}, in {share:.1%} of the pairs"

    def concealed(self) -> "DiagnosedFault":
        """Return the fault without parameters in the unit of the feature."""
        kept = {name: value for name, value in self.parameters.items() if name in HARMLESS}
        return DiagnosedFault(fault=self.fault, parameters=kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Faults that together make online what it is.

    Attributes
    ----------
    faults
        In the order in which they would have been made; empty is no fault.
    cost
        Complexity; simpler explanations come first.
    left
        Root mean square of what undoing them leaves, in spreads of offline.
    was
        The same before, over the same pairs.
    """

    faults: tuple[DiagnosedFault, ...]
    cost: float
    left: float
    was: float

    @property
    def removes(self) -> bool:
        """Whether undoing the faults removes the difference."""
        return self.left <= min(MAX_LEFT, MAX_SHARE_LEFT * self.was)

    @property
    def kinds(self) -> tuple[Fault, ...]:
        """The faults without parameters."""
        return tuple(named.fault for named in self.faults)
