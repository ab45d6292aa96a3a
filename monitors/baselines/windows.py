"""Parameters of monitors that evaluate windows of whole days."""

from dataclasses import dataclass

from core.durations import DAY, Duration


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowParams:
    """Parameters of a monitor that evaluates the window of the last days.

    Attributes
    ----------
    window
        Length of a window.
    """

    window: Duration = 7 * DAY

    @property
    def window_days(self) -> int:
        """Days of a window."""
        return self.window // DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnReferenceParams(WindowParams):
    """Parameters of a monitor that measures a version against its own first days.

    Attributes
    ----------
    reference
        Length of the reference, once the version is old enough.
    """

    reference: Duration = 365 * DAY

    @property
    def reference_days(self) -> int:
        """Days of the reference."""
        return self.reference // DAY
