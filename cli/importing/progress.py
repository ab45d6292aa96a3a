"""How far it is, for people: one line that changes, or lines now and then where it cannot."""

import time
from collections.abc import Callable
from typing import TextIO

EVERY_SECONDS = 5.0


class Progress:
    """Prints how many are done, the rate and the remaining time.

    Parameters
    ----------
    out
        Where to.
    n_total
        Of how many, where it is known.
    clock
        Seconds that only go forward.
    unit
        What is counted.
    """

    def __init__(
        self,
        out: TextIO,
        n_total: int | None,
        clock: Callable[[], float] = time.monotonic,
        unit: str = "rows",
    ) -> None:
        self._out, self._n_total, self._clock, self._unit = out, n_total, clock, unit
        self._is_terminal = out.isatty()
        self._began = self._shown = clock()
        self._n = self._n_sent = 0

    def add(self, n: int, *, sent: bool) -> None:
        """Note rows; those that were acknowledged before count for no rate."""
        self._n += n
        self._n_sent += n if sent else 0
        now = self._clock()
        if now - self._shown < (0.2 if self._is_terminal else EVERY_SECONDS):
            return
        self._shown = now
        end = "" if self._is_terminal else "\n"
        start = "\r\x1b[K" if self._is_terminal else ""
        self._out.write(f"{start}{self.line()}{end}")
        self._out.flush()

    def line(self) -> str:
        """Return how far it is."""
        seconds = max(self._clock() - self._began, 1e-9)
        rate = self._n_sent / seconds
        if self._n_total is None:
            return f"{self._n:,} {self._unit}, {rate:,.0f} a second"
        share = self._n / self._n_total if self._n_total else 1.0
        left = (self._n_total - self._n) / rate if rate else 0.0
        filled = round(20 * share)
        bar = "█" * filled + "·" * (20 - filled)
        return (
            f"{bar} {share:4.0%}  {self._n:,} of {self._n_total:,} {self._unit}, "
            f"{rate:,.0f} a second, {_span(left)} left"
        )

    def done(self) -> None:
        """End the line."""
        if self._is_terminal:
            self._out.write("\r\x1b[K")
        self._out.write(f"{self.line()}\n")
        self._out.flush()


def _span(seconds: float) -> str:
    """Write a duration.

    Examples
    --------
    >>> _span(75), _span(4000)
    ('1 min 15 s', '1 h 6 min')
    """
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
