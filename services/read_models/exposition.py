"""Text exposition of metrics that are read from the database at each scrape.

`prometheus_client` builds a dictionary and several strings for each sample, 8 microseconds: a
tenth of a second for the metrics of 500 models. Here a sample is one line of a template.
"""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from prometheus_client.utils import floatToGoString


class Gauge:
    r"""Samples of one metric, in the order in which they were added.

    Parameters
    ----------
    name, documentation
        Of the metric.
    value
        Of a metric without labels.
    labels
        The names of the labels.

    Examples
    --------
    >>> size = Gauge("backlog_bytes", "Size of the inbox.", labels=["model"])
    >>> size.add_metric(['line "A"'], 12)
    >>> print(size.text(), end="")
    # HELP backlog_bytes Size of the inbox.
    # TYPE backlog_bytes gauge
    backlog_bytes{model="line \"A\""} 12.0
    """

    kind: ClassVar[str] = "gauge"
    suffix: ClassVar[str] = ""

    def __init__(
        self,
        name: str,
        documentation: str,
        value: float | None = None,
        labels: Sequence[str] = (),
    ) -> None:
        self.name, full = name, name + self.suffix
        some = ",".join(f'{label}="%s"' for label in labels)
        self._line = f"{full}{{{some}}} %s\n" if some else f"{full} %s\n"
        self._full, self._documentation = full, documentation
        self._lines = list[str]()
        if value is not None:
            self.add_metric((), value)

    def add_metric(self, labels: Sequence[str], value: float) -> None:
        """Add a sample: a value for each label, and its own."""
        number = floatToGoString(value)  # type: ignore[no-untyped-call]
        self._lines.append(self._line % (*map(_escaped, labels), number))

    def add_lines(self, lines: str) -> None:
        """Add samples of an equal gauge, from its `lines`."""
        self._lines.append(lines)

    def lines(self) -> str:
        """Return the samples."""
        return "".join(self._lines)

    def text(self, is_open: bool = False) -> str:
        """Return the metric as text, version 0.0.4 or OpenMetrics (without `# EOF`)."""
        name = self.name if is_open else self._full
        head = f"# HELP {name} {self._documentation}\n# TYPE {name} {self.kind}\n"
        return head + self.lines()


class Counter(Gauge):
    """Samples of one counter; `_total` follows its name."""

    kind, suffix = "counter", "_total"


class Histogram(Gauge):
    r"""Samples of one histogram of values that were counted by bin: without their sum.

    OpenMetrics lets it go without its count too, which is that of the last bucket.

    Examples
    --------
    >>> latency = Histogram("latency_seconds", "Latency.", labels=["model"])
    >>> latency.add_buckets(["load"], [(0.1, 2), (1.0, 5)], 6)
    >>> print(latency.lines(), end="")
    latency_seconds_bucket{model="load",le="0.1"} 2
    latency_seconds_bucket{model="load",le="1.0"} 5
    latency_seconds_bucket{model="load",le="+Inf"} 6
    """

    kind = "histogram"

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        super().__init__(name, documentation, labels=labels)
        self._some = ",".join(f'{label}="%s"' for label in labels)

    def add_buckets(
        self, labels: Sequence[str], buckets: Iterable[tuple[float, int]], n: int
    ) -> None:
        """Add how many values are at most each bound, ascending, and how many there are."""
        some = self._some % (*map(_escaped, labels),)
        start = f"{self.name}_bucket{{{some},le="
        self._lines += [f'{start}"{bound!r}"}} {below}\n' for bound, below in buckets]
        self._lines.append(f'{start}"+Inf"}} {n}\n')


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
