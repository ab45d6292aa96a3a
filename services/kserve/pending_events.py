"""Pending events of KServe, and the batch that a pair of them makes.

A half is written down as JSON. Nothing of a request is written that the
contract forbids to store: its rows went through the same reading, checking
and masking as those of any batch. So the whole batch is under other terms:
those of values that are masked already.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, TypeVar
from uuid import UUID

import pyarrow as pa

from core.errors import RowFault, TooLarge
from core.schema.contract import Contract
from core.schema.feature import Feature, Sensitivity
from core.schema.rows import Status
from core.terms import Terms
from db.tables.kserve import Part
from services.ingest.batch import Batch, Feed, Format
from services.ingest.formats.decode import decode
from services.ingest.tracing import trace_id
from services.kserve.event import Event
from services.kserve.payloads import ROW_FIELDS, KServeRequest, answered, asked, version_of
from services.kserve.tensors import Unfit

NO_REQUEST = "no request came for this response"
NO_VERSION = "neither the address nor the event names the version"
OTHER_LENGTH = "the response has another number of rows than the request"
UNNAMED = "unnamed"  # stands for the version until the response may name it
_KEPT = (*ROW_FIELDS, "trace_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The model that an event is about, and the version if the address names it."""

    model_id: UUID
    model: str
    terms: Terms
    version: str | None = None


def batch_id_of(event_id: str) -> str:
    """Return what names the batch of a prediction: no event makes two of them."""
    return f"kserve:{event_id}"


def write(event: Event, subject: Subject, now: datetime, max_rows: int) -> bytes:
    """Store one event until its pair comes.

    Raises
    ------
    TooLarge
        If it holds more rows than one batch may.
    """
    at = (event.at or now).isoformat()
    version = subject.version or event.version or version_of(event.payload)
    pending_event: dict[str, Any] = {"at": at, "version": version}
    if event.part is Part.REQUEST:
        rows, faults = _request(event, subject, pending_event, now, max_rows)
    else:
        rows, faults = _response(event, subject.terms.contract, max_rows)
    return json.dumps({**pending_event, "rows": rows, "faults": faults}).encode()


def _request(
    event: Event,
    subject: Subject,
    pending_event: Mapping[str, Any],
    now: datetime,
    max_rows: int,
) -> tuple[list[Any], dict[str, Any]]:
    read, faults = _read(asked, event, subject.terms.contract, max_rows, "features")
    trace = trace_id(event.traceparent) if event.traceparent else None
    sent = {
        i: {
            "prediction_id": str(i),
            "version": pending_event["version"] or UNNAMED,
            "at": pending_event["at"],
            "trace_id": trace,
            **row.about,
            "features": row.features,
        }
        for i, row in enumerate(read)
        if isinstance(row, KServeRequest)
    }
    rows: list[Any] = [None] * len(read)
    if sent:
        for place, row in _masked([*sent.values()], subject, now, faults, [*sent]):
            rows[place] = row
    return rows, faults


def _masked(
    sent: list[dict[str, Any]],
    subject: Subject,
    now: datetime,
    faults: dict[str, Any],
    places: list[int],
) -> list[tuple[int, dict[str, Any]]]:
    """Check and mask rows as those of any batch; note the bad ones, return the others."""
    batch = _batch(subject, subject.terms, sent, "half")
    sections, refused = decode({0: batch}, now, len(sent))
    if refused:
        raise refused[0]
    (section,) = sections
    (draft,) = section.drafts
    for fault, content in zip(draft.faults, draft.contents, strict=True):
        faults[str(places[fault.row])] = [fault.field, fault.reason, content]
    bad = {fault.row for fault in draft.faults}
    good = [place for i, place in enumerate(places) if i not in bad]
    kept = section.table.filter(pa.array(section.keep)).select([*_KEPT, "features"]).to_pylist()
    return [
        (place, {name: value for name, value in row.items() if value is not None})
        for place, row in zip(good, kept, strict=True)
    ]


def _response(
    event: Event, contract: Contract, max_rows: int
) -> tuple[list[Any], dict[str, Any]]:
    read, faults = _read(answered, event, contract, max_rows, "output")
    return [None if isinstance(row, Unfit) else row for row in read], faults


Row = TypeVar("Row")


def _read(
    reader: Callable[[object, Contract], list[Row | Unfit]],
    event: Event,
    contract: Contract,
    max_rows: int,
    field: str,
) -> tuple[list[Row | Unfit], dict[str, Any]]:
    """Read the rows of a payload, and why the others fit no row."""
    try:
        read = reader(event.payload, contract)
    except Unfit as unfit:
        read = [unfit]
    if len(read) > max_rows:
        raise TooLarge(f"more than {max_rows} rows in one event")
    unfit_rows = {i: row for i, row in enumerate(read) if isinstance(row, Unfit)}
    return read, {str(i): [field, str(row), {}] for i, row in unfit_rows.items()}


def _batch(
    subject: Subject,
    terms: Terms,
    rows: list[dict[str, Any]],
    batch_id: str,
    faults: Sequence[RowFault] = (),
) -> Batch:
    return Batch(
        model_id=subject.model_id,
        model=subject.model,
        terms=terms,
        feed=Feed.PREDICTIONS,
        format=Format.JSON,
        body=json.dumps({"rows": rows}).encode(),
        batch_id=batch_id,
        faults=tuple(faults),
    )


def whole(event_id: str, pending_events: Mapping[Part, bytes], subject: Subject) -> Batch:
    """Make one batch of a pair of events, or of the one that came.

    A request without a response was not answered well: KServe logs only
    responses of status 200. A response without a request goes to quarantine.
    """
    request, response = (
        json.loads(pending_events[part]) if part in pending_events else None for part in Part
    )
    first = request or response
    assert first is not None
    n_rows = len(first["rows"])
    rows, faults = [], []
    for i in range(n_rows):
        row, fault = _row(i, request, response)
        rows.append(
            {
                **row,
                "prediction_id": event_id if n_rows == 1 else f"{event_id}:{i}",
                "at": first["at"],
                "batch_size": n_rows,
            }
        )
        if fault is not None:
            faults.append(RowFault(row=i, field=fault[0], reason=fault[1]))
    return _batch(subject, of_masked(subject.terms), rows, batch_id_of(event_id), faults)


def _row(
    i: int, request: dict[str, Any] | None, response: dict[str, Any] | None
) -> tuple[dict[str, Any], tuple[str, str] | None]:
    """Return one row of the whole, and what is wrong with it."""
    if request is None:
        assert response is not None
        version = response["version"] or UNNAMED
        return {"version": version, "output": response["rows"][i]}, ("features", NO_REQUEST)
    version = request["version"] or (response and response["version"])
    known = {"version": version or UNNAMED}
    if str(i) in request["faults"]:
        field, reason, content = request["faults"][str(i)]
        return {**content, **known}, (field, reason)
    row = {**request["rows"][i], **known}
    if response is None:
        row["status"] = Status.ERROR.value
    elif len(response["rows"]) != len(request["rows"]):
        return row, ("output", OTHER_LENGTH)
    elif str(i) in response["faults"]:
        field, reason, _ = response["faults"][str(i)]
        return row, (field, reason)
    else:
        row["output"] = response["rows"][i]
        row["latency_seconds"] = _seconds_between(request["at"], response["at"])
    return row, None if version else ("version", NO_VERSION)


def _seconds_between(asked_at: str, answered_at: str) -> float | None:
    passed = datetime.fromisoformat(answered_at) - datetime.fromisoformat(asked_at)
    return passed.total_seconds() if passed >= timedelta(0) else None


@lru_cache(maxsize=256)
def of_masked(terms: Terms) -> Terms:
    """Return the terms of rows whose sensitive values are masked already.

    Checked they were before that; a hash is in no vocabulary.
    """
    return Terms(
        contract=_of_masked(terms.contract),
        by_version={name: _of_masked(each) for name, each in terms.by_version.items()},
        digests=terms.digests,
    )


def _of_masked(contract: Contract) -> Contract:
    features = tuple(map(_feature, contract.kept))
    scaler = {
        name: at for name, at in contract.scaler.items() if name in {f.name for f in features}
    }
    return replace(
        contract, features=features, scaler=scaler, sensitive_fields={}, segment_by=""
    )


def _feature(feature: Feature) -> Feature:
    if feature.sensitivity is Sensitivity.NONE:
        return feature
    return replace(
        feature,
        sensitivity=Sensitivity.NONE,
        bucket_edges=(),
        vocabulary=(),
        minimum=None,
        maximum=None,
    )
