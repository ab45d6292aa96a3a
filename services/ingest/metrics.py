"""Prometheus metrics of ingestion; described in docs/metrics.md."""

from prometheus_client import Counter, Gauge, Histogram

ROWS = Counter(
    "seqwatch_ingest_rows",
    "Rows received, by what became of them.",
    ["model", "kind", "outcome"],
)
BATCHES = Counter(
    "seqwatch_ingest_batches",
    "Batches received, by what became of them.",
    ["model", "kind", "outcome"],
)
INVALID_TRACEPARENTS = Counter(
    "seqwatch_ingest_invalid_traceparents",
    "Requests whose traceparent header was not one, and was passed over.",
)
KSERVE_EVENTS = Counter(
    "seqwatch_kserve_events",
    "Events of KServe's logger, by what became of them.",
    ["model", "outcome"],
)
REQUEST_SECONDS = Histogram(
    "seqwatch_ingest_request_seconds",
    "From the first byte read to the answer 'kept'.",
    ["kind"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
GROUP_BATCHES = Histogram(
    "seqwatch_ingest_group_batches",
    "Batches that shared one transaction.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
)
COMMIT_SECONDS = Histogram(
    "seqwatch_ingest_commit_seconds",
    "One transaction, its wait for other writers and the flush to disk included.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
WAITING_BYTES = Gauge(
    "seqwatch_ingest_waiting_bytes",
    "Bodies in the memory of this process: being read, or waiting for the disk.",
)
