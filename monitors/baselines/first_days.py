"""The first days of a version, as its reference."""

from datetime import datetime
from typing import Protocol

from core.durations import DAY
from core.window import Window


class OwnReference(Protocol):
    """Parameters of a monitor that measures a version against its own first days."""

    @property
    def window_days(self) -> int:
        """Length of a window."""
        ...

    @property
    def reference_days(self) -> int:
        """Length of the reference, once the version is old enough."""
        ...


def reference_of(params: OwnReference, first: datetime, as_of: datetime) -> Window:
    """Return the days that a window is measured against.

    Parameters
    ----------
    params
        Of the monitor, or of what it reads.
    first
        When the version began to serve.
    as_of
        The end of the event day that is evaluated.

    Returns
    -------
    Window
        At most `reference_days`, and none of the window; one day while there is none before
        the window, which is far too few to evaluate.

    Examples
    --------
    >>> from datetime import UTC
    >>> from types import SimpleNamespace
    >>> params = SimpleNamespace(window_days=2, reference_days=365)
    >>> first = datetime(2026, 3, 1, 7, tzinfo=UTC)
    >>> early = reference_of(params, first, datetime(2026, 6, 1, tzinfo=UTC))
    >>> early.start.isoformat(), (early.end - early.start).days
    ('2026-03-01T00:00:00+00:00', 90)
    >>> late = reference_of(params, first, datetime(2028, 6, 1, tzinfo=UTC))
    >>> (late.end - late.start).days
    365
    """
    start, end = (
        at.replace(hour=0, minute=0, second=0, microsecond=0) for at in (first, as_of)
    )
    end = min(start + params.reference_days * DAY, end - params.window_days * DAY)
    return Window(start, max(end, start + DAY))
