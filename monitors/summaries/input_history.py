"""Summaries of some stretch of input or output, as monitors read them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from core.window import Stretches, Window
from monitors.summaries import summary
from monitors.summaries.daily import Daily, daily
from monitors.summaries.hourly import Hourly, held, hourly
from monitors.summaries.summary import Edges, Summary


@dataclass(frozen=True, kw_only=True, eq=False)
class InputHistory:
    """The input of all versions of a model in a window, categories too.

    Attributes
    ----------
    window
        Event time.
    stretches
        The parts of the window that were read; all of it where there are none.
    edges
        The features, and the bins of each.
    measured, kept
        The places of those that are numbers, and of those that the contract
        still keeps.
    summary
        Hour by hour.
    n_total
        How many numbers are of all segments together, where those of each segment lie
        behind them; None where they do not.
    step_hours
        For how long a value stands: the step of the series, at least an hour.
    """

    window: Window
    edges: Edges
    measured: tuple[int, ...]
    kept: tuple[int, ...]
    summary: Summary
    n_total: int | None = None
    step_hours: int = 1
    stretches: Stretches = ()

    @cached_property
    def hours(self) -> Hourly:
        """The numbers on a grid of hours; a category is no number, whatever its code."""
        edges, numbers = self.of(self.measured)
        grid = hourly(numbers, edges.names, self.window.start, self.window.end)
        return grid if self.step_hours == 1 else held(grid, self.step_hours)

    def within(self, window: Window) -> "InputHistory":
        """Return the part that lies in a window of this one.

        Where `hours` of the whole are known, those of the part are a view of them: a backtest
        keeps one grid, not one for each day.
        """
        first, end = summary.chunk_at(window.start), summary.chunk_at(window.end)
        part = replace(
            self, window=window, summary=self.summary.select(first, end), stretches=()
        )
        if "hours" in self.__dict__:
            part.__dict__["hours"] = self.hours.until(end, end - first)
        return part

    def days(self, places: Sequence[int]) -> Daily:
        """Return some features on a grid of days, by their places."""
        edges, part = self.of(places)
        return daily(part, edges.names, self.window.start, self.window.end, self.stretches)

    def of(self, places: Sequence[int]) -> tuple[Edges, Summary]:
        """Return what is kept of some features, by their places."""
        names = tuple(self.edges.names[i] for i in places)
        edges = Edges(names=names, values=self.edges.values[[*places]])
        return edges, self.summary.of(places)
