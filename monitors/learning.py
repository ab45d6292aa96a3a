"""What a monitor says while the reference is too short to judge by."""

from dataclasses import dataclass

# Windows needed for a decision at 5 %: the smallest p is 1 / (19 + 1).
MIN_WINDOWS = 19


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """The reference holds `n_windows` windows of `window_days`, and 19 are needed.

    Examples
    --------
    >>> str(Learning(n_windows=12, window_days=7))
    'learning: 12 of 19 windows of 7 days'
    """

    n_windows: int
    window_days: int

    def __str__(self) -> str:
        days = "1 day" if self.window_days == 1 else f"{self.window_days} days"
        return f"learning: {self.n_windows} of {MIN_WINDOWS} windows of {days}"
