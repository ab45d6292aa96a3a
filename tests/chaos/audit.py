"""Is every acknowledged row in the log once, and does every summary agree with the log?

Reads event day by event day, so that memory is bounded by one day of rows.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from core.durations import DAY
from core.lake_root import LakeRoot
from core.schema.rows import Kind
from core.streams import Additive
from core.window import Window
from db.queries import models, summaries
from db.queries.log import positions as marks
from db.session import read_only
from db.tables import (
    Inbox,
    Receipt,
    Version,
)
from lake.matching import first_received
from lake.reading import Log
from monitors.baselines.segments import INPUT_BY_SEGMENT, OUTPUT_BY_SEGMENT
from monitors.slo.serving import SERVING
from monitors.summaries.serialization import from_many
from monitors.summaries.streams import INPUT, OUTPUT, WINDOW_PROFILE
from monitors.summaries.summary import MIN, N_MOMENTS, N_REPEAT, Summary, merge
from services.aggregation.folded import Frozen, Part, frozen
from services.aggregation.row_summaries import summarise_rows
from services.labels.error_days import DaySums
from services.labels.label_join import Subject, accuracy, streams_of
from tasks.residual_sums import RESIDUALS
from tasks.sums import units
from tests.streams import CONTRACT

ERROR_STREAMS = streams_of(CONTRACT)  # of forecasters

TOLERANCE = 1e-9  # of sums of floats, relative: they were added in another order

ALWAYS = [Window(datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))]
ROUNDED = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was counted twice, independently."""

    what: str
    expected: object
    found: object
    is_ok: bool


def same(what: str, expected: object, found: object) -> Check:
    return Check(what=what, expected=expected, found=found, is_ok=expected == found)


def table_of(checks: Iterable[Check]) -> str:
    """Lay the checks out for people."""
    lines = [f"{'':7}{'what':62}{'expected':>14}{'found':>14}"]
    for check in checks:
        verdict = "ok" if check.is_ok else "WRONG"
        lines.append(f"{verdict:7}{check.what:62}{check.expected!s:>14}{check.found!s:>14}")
    return "\n".join(lines)


def audit(
    sessions: sessionmaker[Session],
    lake: LakeRoot,
    model: str,
    *,
    predictions: Collection[str] | None = None,
    labels: Collection[str] | None = None,
) -> list[Check]:
    """Compare what was acknowledged, the log and the summaries of one model.

    Parameters
    ----------
    sessions, lake
        Of a platform in which nothing waits any more, and nothing moves.
    model
        Its name.
    predictions, labels
        Ids of predictions that were acknowledged, and ids of predictions whose
        labels were; each label must name its prediction. None when nobody took note.
    """
    with read_only(sessions) as session:
        found = models.find(session, model)
        model_id, contract = found.id, found.contract
        edges = frozen(session, model_id)
        manifests = {
            version.name: version.manifest
            for version in session.scalars(select(Version).where(Version.model_id == model_id))
        }
        waiting = session.scalar(select(func.count()).select_from(Inbox))
        dirty = len(marks.dirty_days(session))
        receipts = {
            kind: session.scalar(
                select(func.sum(Receipt.n_accepted)).where(
                    Receipt.model_id == model_id, Receipt.kind == kind
                )
            )
            for kind in Kind
        }
    checks = [same("batches that wait in the inbox", 0, waiting)]
    checks.append(same("event days whose join waits", 0, dirty))
    history = Log(lake, model_id)
    subject = Subject(
        model_id=model_id,
        contract=contract,
        units={name: units(manifest, contract) for name, manifest in manifests.items()},
        natural=units({}, contract),
        canary=None,
        names=edges.names,
    )
    log = _read(history, subject, edges, predictions)
    checks += _rows("predictions", receipts[Kind.PREDICTIONS], log, predictions)
    checks += _rows("labels", receipts[Kind.LABELS], _labels(history, labels), labels)
    with read_only(sessions) as session:
        for what, (of, counted) in {
            "input": (INPUT, log.input),
            "output": (OUTPUT, log.output),
            "the inside of rows": (WINDOW_PROFILE, log.window_profiles),
            "input by segment": (INPUT_BY_SEGMENT, log.by_segment),
            "output by segment": (OUTPUT_BY_SEGMENT, log.outputs_by_segment),
        }.items():
            checks += _hours(session, model_id, what, of, counted)
        checks += _served(session, model_id, log)
        checks += _errors(session, model_id, log)
    return checks


@dataclass(slots=True, kw_only=True)
class _Seen:
    """What was counted in the log itself."""

    n_rows: int
    n_repeated: int
    n_acknowledged: int
    input: dict[str, Summary]
    output: dict[str, Summary]
    window_profiles: dict[str, Summary]
    by_segment: dict[str, Summary]
    outputs_by_segment: dict[str, Summary]
    served: dict[str, list[bytes]]
    errors: dict[tuple[datetime, str, str], bytes]


def _seen() -> _Seen:
    return _Seen(
        n_rows=0,
        n_repeated=0,
        n_acknowledged=0,
        input={},
        output={},
        window_profiles={},
        by_segment={},
        outputs_by_segment={},
        served={},
        errors={},
    )


def _days(history: Log) -> Iterator[date]:
    files = history.files(Kind.PREDICTIONS)
    if files.num_rows:
        yield from sorted(pc.unique(files["partition.day"]).to_pylist())


def _read(
    history: Log, subject: Subject, edges: Frozen, acknowledged: Collection[str] | None
) -> _Seen:
    seen = _seen()
    known = pa.array(sorted({*(acknowledged or ())}), pa.string())
    columns = [
        *("prediction_id", "version", "at", "entity", "features", "output", "status"),
        *("shadow", "latency_seconds", "received_at"),
    ]
    for day in _days(history):
        midnight = datetime.combine(day, datetime.min.time(), UTC)
        rows = history.predictions(Window(midnight, midnight + DAY), columns)
        assert rows is not None
        once, n_repeated = first_received(rows)
        seen.n_rows += rows.num_rows
        seen.n_repeated += n_repeated
        seen.n_acknowledged += pc.sum(pc.is_in(once["prediction_id"], known)).as_py() or 0
        _count(seen, summarise_rows(rows, subject.contract, edges))
        errors, _ = accuracy(history, subject, Window(midnight, midnight + DAY), midnight)
        for row in errors:
            seen.errors[row.start, row.version, row.stream] = row.payload
    return seen


def _count(seen: _Seen, parts: Iterable[Part]) -> None:
    for part in parts:
        version, served = part.version, part.cells.get(SERVING.name)
        _merge(seen.input, version, part.input)
        for to, summary in (
            (seen.output, part.output),
            (seen.window_profiles, part.window_profile),
            (seen.by_segment, part.by_segment),
            (seen.outputs_by_segment, part.outputs_by_segment),
        ):
            if summary is not None:
                _merge(to, version, summary)
        if served is None:
            continue
        blobs = [SERVING.to_bytes(part) for _, part in SERVING.split(served)]
        seen.served.setdefault(version, []).extend(blobs)


def _merge(to: dict[str, Summary], version: str, part: Summary) -> None:
    to[version] = merge(to[version], part) if version in to else part


def _labels(history: Log, acknowledged: Collection[str] | None) -> _Seen:
    seen = _seen()
    dataset = history.dataset(Kind.LABELS)
    if dataset is None:
        return seen
    ids = dataset.to_table(columns=["prediction_id"])["prediction_id"]
    once = pc.unique(ids)
    seen.n_rows = len(ids)
    seen.n_repeated = len(ids) - len(once)
    known = pa.array(sorted({*(acknowledged or ())}), pa.string())
    seen.n_acknowledged = pc.sum(pc.is_in(once, known)).as_py() or 0
    return seen


def _rows(
    what: str, receipts: int | None, seen: _Seen, acknowledged: Collection[str] | None
) -> Iterator[Check]:
    yield same(f"{what} in the log, of those with a receipt", receipts or 0, seen.n_rows)
    yield same(f"{what} that are in the log twice", 0, seen.n_repeated)
    if acknowledged is not None:
        n = len({*acknowledged})
        yield same(f"{what} that the client knows to be kept", n, seen.n_acknowledged)


def _hours(
    session: Session, model_id: UUID, what: str, of: Additive[Any], seen: dict[str, Summary]
) -> Iterator[Check]:
    stored: dict[str, list[bytes]] = {}
    for row in summaries.rows(session, [of], model_id, ALWAYS):
        stored.setdefault(row.version, []).append(row.payload)
    yield same(f"versions with summaries of {what}", sorted(seen), sorted(stored))
    n_hours = n_wrong = 0
    worst = 0.0
    for version in seen.keys() & stored.keys():
        kept, counted = from_many(stored[version]), seen[version]
        n_hours += counted.chunks.size
        if not np.array_equal(kept.chunks, counted.chunks):
            n_wrong += abs(kept.chunks.size - counted.chunks.size) + 1
            continue
        exact = [*range(N_REPEAT + 1), *range(MIN, N_MOMENTS)]
        sums = [i for i in range(N_MOMENTS) if i not in exact]
        is_same = (kept.moments[..., exact] == counted.moments[..., exact]).all(axis=(1, 2))
        is_same &= (kept.counts == counted.counts).all(axis=(1, 2))
        apart = np.abs(kept.moments[..., sums] - counted.moments[..., sums])
        # A sum may cancel out: what it is held to is how much was added up. So is a sum
        # of squared deviations, from means that are known to their last digits alone.
        n = np.maximum(counted.moments[..., :1], 1.0)
        total, centred = counted.moments[..., sums[:1]], counted.moments[..., sums[1:]]
        squares = centred + total**2 / n * 1e-12
        scale = np.concatenate([np.abs(total) + np.sqrt(centred * n), squares], axis=-1)
        scale += 1e-300
        error = (apart / scale).max(axis=(1, 2))
        worst = max(worst, float(error.max(initial=0.0)))
        n_wrong += int(np.count_nonzero(~is_same | (error > TOLERANCE)))
    yield same(f"hours of {what} that differ, of {n_hours} (worst sum {worst:.0e})", 0, n_wrong)


def _served(session: Session, model_id: UUID, seen: _Seen) -> Iterator[Check]:
    stored = summaries.by_version(session, SERVING, model_id, ALWAYS[0])
    n_wrong = 0
    for version in stored.keys() | seen.served.keys():
        if version not in stored or version not in seen.served:
            n_wrong += 1
            continue
        kept, counted = stored[version], SERVING.from_many(seen.served[version])
        n_wrong += not np.array_equal(kept.keys, counted.keys)
        n_wrong += not np.array_equal(kept.counts, counted.counts)
    yield same(f"versions whose serving differs, of {len(stored)}", 0, n_wrong)


def _errors(session: Session, model_id: UUID, seen: _Seen) -> Iterator[Check]:
    stored = {
        (row.start, row.version, row.stream): row.payload
        for row in summaries.rows(session, ERROR_STREAMS, model_id, ALWAYS)
    }
    for stream in ERROR_STREAMS:
        keys = [key for key in stored.keys() | seen.errors.keys() if key[2] == stream.name]
        wrong = [
            key for key in keys if not _near(stored.get(key), seen.errors.get(key), key[2])
        ]
        yield same(f"days of {stream.name} that differ, of {len(keys)}", 0, len(wrong))


def _near(one: bytes | None, other: bytes | None, stream: str) -> bool:
    if one is None or other is None:
        return False
    read: Any = {of.name: of.from_bytes for of in ERROR_STREAMS}[stream]
    kept, counted = read(one), read(other)
    if isinstance(kept, DaySums):
        if kept.n_predictions != counted.n_predictions:
            return False
        kept, counted = kept.cells, counted.cells
    rtol = ROUNDED if stream == RESIDUALS.name else TOLERANCE  # kept in four bytes
    return kept.shape == counted.shape and np.allclose(
        kept, counted, rtol=rtol, atol=0, equal_nan=True
    )
