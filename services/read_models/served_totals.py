"""Counters of what was served, and of the events of SLOs, read at each scrape.

They are made of the totals, which grow as rows are folded and never shrink: a scrape costs as
much as there are models and SLOs, whatever their age.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from sqlalchemy.orm import Session

from core.errors import Unprocessable
from db.queries.read import totals as rows
from monitors import registry
from monitors.slo import serving, sli
from monitors.slo.cells import STRIDE
from monitors.slo.objective import BurnRateParams
from monitors.slo.serving import LATENCY_EDGES
from monitors.slo.sli import Event
from monitors.summaries.summary import Ints
from services.aggregation import totals
from services.models.slo_corrections import SLO
from services.read_models.exposition import Counter, Gauge, Histogram

Counts: TypeAlias = Mapping[tuple[str, str, str], Ints]  # by model, stream and version
OUTCOMES = {"good": Event.GOOD, "bad": Event.BAD, "unknown": Event.UNKNOWN}
# 1, 2, 5, 10 ms and so on up to 100 s, as near as the edges are.
_PLACES = np.array([n for n in range(10, 61) if n % 10 in (0, 3, 7)])
_BOUNDS: list[float] = LATENCY_EDGES[_PLACES].tolist()
_NONE = np.zeros(STRIDE, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slo:
    """How an SLO counts the totals of its stream.

    Attributes
    ----------
    weights : (outcome, cell)
        1 where an event of a cell has the outcome.
    """

    stream: str
    weights: Ints


def counters(session: Session, monitors: Sequence[Any]) -> Iterator[Gauge]:
    """Read the totals of all models.

    Parameters
    ----------
    session
        The open transaction.
    monitors
        As `overview.watched` returns them.
    """
    every = ((one, slo_of(one)) for one in monitors)
    slos = [(one.model, one.name, of) for one, of in every if of is not None]
    served = totals.SERVED.name
    streams = {served, *(of.stream for _, _, of in slos)}
    counts = {
        (model, stream, version): _dense(payload)
        for model, stream, version, payload in rows.of_all(
            session, streams, served, totals.START
        )
    }
    yield _events(slos, counts)
    yield _predictions(counts)
    yield _latency(counts)


def slo_of(monitor: Any) -> _Slo | None:
    """Return how an SLO counts; None of other monitors, or while it is disabled."""
    return _slo(monitor.params) if monitor.kind == SLO and monitor.enabled else None


@lru_cache(maxsize=16_384)
def _slo(text: str) -> _Slo | None:
    """Read an SLO; None where its SLI is unavailable, or its parameters mean nothing."""
    try:
        params: BurnRateParams = registry.parse(SLO, json.loads(text))
        kind = sli.find(params.sli)
        events = kind.events(sli.parse(params.sli, params.sli_params))
    except (Unprocessable, ValueError):
        return None
    known = np.where(events < 0, Event.UNKNOWN, events)  # cells that the SLI has no more
    weights = (known == np.array([*OUTCOMES.values()])[:, None]).astype(np.int64)
    return _Slo(stream=totals.stream(kind.stream.name).name, weights=weights)


def _dense(payload: bytes) -> Ints:
    """Return the counts of a row by cell, shape (STRIDE,)."""
    found = totals.SERVED.from_many([payload])
    return np.bincount(found.cells, found.counts, minlength=STRIDE).astype(np.int64)


def _events(slos: Sequence[tuple[str, str, _Slo]], counts: Counts) -> Gauge:
    metric = Counter(
        "seqwatch_slo_events",
        "Events of an SLO, counted as rows are folded.",
        labels=["model", "slo", "outcome"],
    )
    for model, name, of in slos:
        events = of.weights @ counts.get((model, of.stream, totals.ALL_VERSIONS), _NONE)
        # Also those that are none yet: Prometheus takes the first sample for no increase.
        for outcome, n in zip(OUTCOMES, events.tolist(), strict=True):
            metric.add_metric([model, name, outcome], n)
    return metric


def _predictions(counts: Counts) -> Gauge:
    metric = Counter(
        "seqwatch_predictions",
        "Predictions folded, of the champion and of the versions of the open rollout.",
        labels=["model", "version", "status"],
    )
    for (model, stream, version), cells in counts.items():
        if stream == totals.SERVED.name and version != totals.ALL_VERSIONS:
            for status, n in serving.by_status(cells).items():
                metric.add_metric([model, version, status], n)
    return metric


def _latency(counts: Counts) -> Gauge:
    metric = Histogram(
        "seqwatch_prediction_latency_seconds",
        "Latency of the predictions folded, of all versions.",
        labels=["model"],
    )
    for (model, stream, version), cells in counts.items():
        if stream == totals.SERVED.name and version == totals.ALL_VERSIONS:
            latency = serving.by_latency(cells).cumsum()
            below = zip(_BOUNDS, latency[_PLACES].tolist(), strict=True)
            metric.add_buckets([model], below, int(latency[-1]))
    return metric
