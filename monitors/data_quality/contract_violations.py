"""Count of the rows that violate the contract; nothing is estimated."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from core.window import Window
from monitors.baselines.daily_evaluations import no_data
from monitors.detail import Detail
from monitors.finding import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractViolationParams:
    """Parameters of `contract_violations`: the largest accepted number of rows.

    Attributes
    ----------
    max_per_day
        Rows of one event day that may fail to fit. The target is none: a row
        that does not fit was preprocessed by other code than the model's.
    """

    max_per_day: int = 0

    def __post_init__(self) -> None:
        if self.max_per_day < 0:
            raise ValueError("max_per_day must not be negative")


class ContractViolationDetail(Detail, frozen=True):
    """Rows that did not fit, by reason."""

    by_reason: Mapping[str, int] = msgspec.field(default_factory=dict)


def evaluate(
    counts: Mapping[str, int], params: ContractViolationParams, day: Window, *, is_silent: bool
) -> Finding:
    """Return whether the rows of one event day fitted the contract.

    Parameters
    ----------
    counts
        How many did not, by reason.
    params
        How many may.
    day
        The event day.
    is_silent
        No row of the day has arrived at all: then nothing is known.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> day = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
    >>> params = ContractViolationParams()
    >>> evaluate({"length": 4, "contract": 8}, params, day, is_silent=False).cause
    '12 rows did not fit the contract: 8 contract, 4 length'
    >>> evaluate({}, params, day, is_silent=True).outcome.value
    'no_data'
    """
    total = sum(counts.values())
    if is_silent and not total:
        return no_data(day, "no rows")
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rows = "row" if total == 1 else "rows"
    listed = ", ".join(f"{n} {reason}" for reason, n in ordered)
    cause = f"{total} {rows} did not fit the contract: {listed}"
    detail = ContractViolationDetail(by_reason=dict(ordered))
    return Finding.of(float(total), float(params.max_per_day), day, cause, detail)
