"""Input of all versions of one model, as it is stored: hour by hour, categories too."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.window import Window
from monitors.summaries import summary
from monitors.summaries.summary import Edges, Summary


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counted:
    """What is kept of the input of all versions, categories too.

    Attributes
    ----------
    edges
        The features, and the bins of each.
    measured, kept
        The places of those that are numbers, and of those that the contract
        still keeps.
    summary
        Hour by hour.
    """

    edges: Edges
    measured: tuple[int, ...]
    kept: tuple[int, ...]
    summary: Summary

    def within(self, window: Window) -> "Counted":
        """Return the part that lies in a window."""
        first, end = summary.chunk_at(window.start), summary.chunk_at(window.end)
        return replace(self, summary=self.summary.select(first, end))

    def of(self, places: Sequence[int]) -> tuple[Edges, Summary]:
        """Return what is kept of some features, by their places."""
        names = tuple(self.edges.names[i] for i in places)
        edges = Edges(names=names, values=self.edges.values[[*places]])
        return edges, self.summary.of(places)
