"""A bar: a figure that must stay above or below a limit, in a line that can be read back."""

import json
from dataclasses import asdict, dataclass

PREFIX = "bar: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One measured figure and its limit.

    Attributes
    ----------
    name
        What was measured; unique among all benchmarks.
    figure, unit
        The result.
    at_least, at_most
        The limit: one of the two.
    """

    name: str
    figure: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def is_met(self) -> bool:
        """Whether the figure is within its limit.

        Examples
        --------
        >>> Bar(name="single rows", figure=7_550, unit="rows/s", at_least=3_000).is_met
        True
        """
        low = self.at_least is None or self.figure >= self.at_least
        return low and (self.at_most is None or self.figure <= self.at_most)

    @property
    def limit(self) -> str:
        """The limit, for people."""
        if self.at_least is not None:
            return f">= {self.at_least:,.10g}"
        return f"<= {self.at_most:,.10g}"

    def line(self) -> str:
        """Return the line that a benchmark prints."""
        return PREFIX + json.dumps(asdict(self))


def report(bar: Bar) -> bool:
    """Print a bar; whether it was met."""
    print(bar.line(), flush=True)
    return bar.is_met


def parse(line: str) -> Bar | None:
    """Read a line back; None for any other output."""
    if not line.startswith(PREFIX):
        return None
    return Bar(**json.loads(line.removeprefix(PREFIX)))
