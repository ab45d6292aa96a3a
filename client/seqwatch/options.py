"""Options of the client, and its counts of rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Defaults of rows, sizes of buffers, and time limits.

    Attributes
    ----------
    defaults
        Fields of every prediction that does not have them, e.g. `version`.
    max_rows
        Rows in the buffer between `log` and the packing thread; more are dropped.
    batch_rows, batch_bytes
        A batch is closed when it holds this much.
    linger_seconds
        A row waits at most this long for others of its batch. A process that is
        killed may lose rows of this time: they are not yet in the spool.
    max_spool_bytes
        Limit of the bytes on disk that wait for the API; more is dropped.
    max_memory_bytes
        Limit of the bytes of batches in memory: all of them without a spool,
        and those that did not fit on the disk.
    compress
        Send bodies gzipped. An API that refuses them gets them plain.
    timeout_seconds
        Of one request.
    close_seconds
        How long the end of the process waits for unsent rows.
    adopt_seconds
        Interval of the search for spools of dead processes under the same folder.
    on_acknowledged
        Called from the sending thread with the ids of the predictions that
        the API has acknowledged. Ids of a batch that an earlier process
        sent, and of which some rows were refused, are left out.
    tracer
        A tracer of OpenTelemetry: `Monitor.predict` begins a span with it, and
        the row has the id of its trace. None: no spans.
    """

    defaults: Mapping[str, object] = field(default_factory=dict)
    max_rows: int = 100_000
    batch_rows: int = 500
    batch_bytes: int = 2**20
    linger_seconds: float = 0.2
    max_spool_bytes: int = 2**30
    max_memory_bytes: int = 2**26
    compress: bool = False
    timeout_seconds: float = 10.0
    close_seconds: float = 2.0
    adopt_seconds: float = 30.0
    on_acknowledged: Callable[[Sequence[str]], None] | None = None
    tracer: "Tracer | None" = None


# Of `Counts`, as Prometheus sees them: counters only rise.
_EXPOSED = {
    "logged": "counter",
    "recovered": "counter",
    "sent": "counter",
    "acknowledged": "counter",
    "rejected": "counter",
    "buffered": "gauge",
    "spooled": "gauge",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Counts of rows by state, since the start of this process.

    `logged` rows were passed to `log`, and `recovered` were in the spool. Each of
    them is `buffered` (lost if the process is killed), `spooled`,
    `acknowledged`, `rejected` (the API keeps it in quarantine) or in
    `dropped`, by reason: buffer_full, spool_full, not_json, not_rows, duplicate,
    damaged, closed, refused_<status>. `sent` counts every attempt that was answered.
    """

    logged: int
    recovered: int
    buffered: int
    spooled: int
    sent: int
    acknowledged: int
    rejected: int
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        """Rows that are neither acknowledged nor lost."""
        return self.buffered + self.spooled

    def exposition(self, model: str) -> str:
        """Return the counts as Prometheus text, to append to a service's own metrics.

        Examples
        --------
        >>> counts = Counts(logged=3, recovered=0, buffered=0, spooled=1, sent=2,
        ...                 acknowledged=1, rejected=0, dropped={"not_json": 1})
        >>> print(counts.exposition("load").splitlines()[-1])
        seqwatch_client_dropped_rows_total{model="load",reason="not_json"} 1
        """
        label = model.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
        lines = []
        for name, kind in _EXPOSED.items():
            metric = f"seqwatch_client_{name}_rows" + "_total" * (kind == "counter")
            lines.append(f"# TYPE {metric} {kind}")
            lines.append(f'{metric}{{model="{label}"}} {getattr(self, name)}')
        metric = "seqwatch_client_dropped_rows_total"
        lines.append(f"# TYPE {metric} counter")
        lines += [
            f'{metric}{{model="{label}",reason="{reason}"}} {count}'
            for reason, count in sorted(self.dropped.items())
        ]
        return "\n".join(lines) + "\n"
