"""Run `seqwatch import`."""

import argparse
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow.compute as pc

from cli.importing import reading, telling
from cli.importing.arguments import columns_of
from cli.importing.progress import Progress
from cli.importing.reading import Source
from cli.importing.sending import ImportRefused, Journal, Parcel, Platform, Tally, batch_id
from core.clock import utcnow
from core.errors import Unprocessable
from core.schema.contract import Contract
from core.settings import Settings
from core.terms import Terms
from services.ingest import Batch, Feed, Format
from services.ingest.batch import ipc_stream
from services.ingest.formats.decode import decode
from services.ingest.mapping import layout as mapping
from services.ingest.mapping.layout import Layout, MappingOptions, Unit
from services.ingest.mapping.shaping import Shaper

MAX_BODY = 8 * 2**20
AHEAD = 3  # batches that are read and shaped while one is on its way
POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One file, how to read it, and in pieces of how many rows."""

    source: Source
    layout: Layout
    shaper: Shaper
    n_rows: int


@dataclass(slots=True, kw_only=True)
class Result:
    """What became of an import, by feed."""

    tallies: dict[Feed, Tally] = field(default_factory=dict)

    def of(self, feed: Feed) -> Tally:
        """Return the tally of a feed."""
        return self.tallies.setdefault(feed, Tally())


def run(settings: Settings, given: argparse.Namespace) -> int:
    """Import files; 0 when every row was kept, 1 when some are in quarantine.

    Raises
    ------
    AppError
        With what is wrong with the files, or what the platform answered.
    """
    platform = Platform(given.url or settings.public_url, _key(given), given.model, _write)
    try:
        contract = Contract.from_json(platform.describe()["contract"])
        jobs = [_job(path, contract, given) for path in given.files]
        if given.check:
            return _check(jobs, contract, given.model)
        result = Result()
        for job in jobs:
            _send(platform, job, given, result)
        n_bad = telling.summary(result.tallies, sys.stdout)
        if not given.no_backtest:
            _backtest(platform, given)
    finally:
        platform.close()
    return int(n_bad > 0)


def _write(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _key(given: argparse.Namespace) -> str:
    if given.key_file is not None:
        try:
            return str(given.key_file.read_text("utf-8").strip())
        except OSError as error:
            raise Unprocessable(f"--key-file: {error.strerror}") from None
    key = os.environ.get("SEQWATCH_KEY", "").strip()
    if not key:
        raise Unprocessable("a key with the scopes ingest, operate and read: set SEQWATCH_KEY")
    return key


def _job(path: Path, contract: Contract, given: argparse.Namespace) -> Job:
    source = reading.find(path)
    options = MappingOptions(
        columns=columns_of(given.map),
        version=given.version_name,
        entity=given.entity,
        timezone=given.timezone,
        epoch=Unit(given.epoch) if given.epoch else None,
        is_reference=given.reference,
        is_series=given.series,
    )
    layout = mapping.lay_out(source.columns, contract, options)
    _write(telling.layout(path, layout))
    shaper = Shaper(layout, contract, source.digest)
    return Job(
        source=source,
        layout=layout,
        shaper=shaper,
        n_rows=_piece_of(source, layout, shaper, max(1, given.batch_rows)),
    )


def _piece_of(source: Source, layout: Layout, shaper: Shaper, most: int) -> int:
    """Return how many rows travel together: the same number whenever the file is read."""
    first = next(reading.cut(source.read(layout.columns), 500), None)
    if first is None:
        return most
    shaped = shaper.predictions(first, 0) if layout.has_predictions else first
    return max(1, min(most, MAX_BODY * len(first) // max(int(shaped.nbytes), 1)))


def _parcels(job: Job) -> Iterator[Parcel]:
    """Cut a file into batches: predictions, and what happened right after them."""
    layout, first = job.layout, 0
    feed = Feed.REFERENCE if layout.options.is_reference else Feed.PREDICTIONS
    for rows in reading.cut(job.source.read(layout.columns), job.n_rows):
        end = first + len(rows)
        if layout.has_predictions:
            table = job.shaper.predictions(rows, first)
            yield Parcel(feed=feed, first=first, end=end, table=table)
        if layout.has_labels:
            table, places = job.shaper.labels(rows, first)
            yield Parcel(feed=Feed.LABELS, first=first, end=end, table=table, places=places)
        first = end


def _send(platform: Platform, job: Job, given: argparse.Namespace, result: Result) -> None:
    layout = job.layout
    name = f"{job.source.digest[:16]}-{layout.digest[:8]}.jsonl"
    journal = Journal(given.state / given.model / name)
    n_feeds = layout.has_predictions + layout.has_labels
    total = None if job.source.n_rows is None else job.source.n_rows * n_feeds
    progress = Progress(sys.stderr, total)
    history = _History(platform, is_wanted=not given.live)
    for parcel in _ahead(job):
        named = batch_id(parcel, job.source.digest, layout.digest)
        before, tally = journal.get(named), result.of(parcel.feed)
        if before is not None:
            tally.n_before += before["accepted"]
            tally.n_quarantined += before["quarantined"]
        elif len(parcel.table):
            history.reach(parcel)
            journal.add(named, *platform.send(parcel, named, tally))
        progress.add(parcel.end - parcel.first, sent=before is None)
    progress.done()


class _History:
    """Marks event time as history before it is sent, so that nothing is notified."""

    def __init__(self, platform: Platform, *, is_wanted: bool) -> None:
        self._platform, self._is_wanted = platform, is_wanted
        self._until: datetime | None = None
        if is_wanted and (until := platform.history()["until"]) is not None:
            self._until = datetime.fromisoformat(until)

    def reach(self, parcel: Parcel) -> None:
        """Move the end of history to the newest prediction of a batch."""
        if not self._is_wanted or parcel.feed is not Feed.PREDICTIONS:
            return
        newest = pc.max(parcel.table["at"]).as_py()
        if newest is None:
            return
        newest = min(newest.astimezone(UTC), utcnow())
        if self._until is None or newest > self._until:
            self._platform.set_history(newest)
            self._until = newest


def _ahead(job: Job) -> Iterator[Parcel]:
    """Yield the batches, read and shaped by another thread while one is on its way."""
    parcels = _parcels(job)
    with ThreadPoolExecutor(1, "reading") as pool:
        try:
            ready = deque(pool.submit(next, parcels, None) for _ in range(AHEAD))
            while (parcel := ready.popleft().result()) is not None:
                ready.append(pool.submit(next, parcels, None))
                yield parcel
        finally:
            pool.shutdown(cancel_futures=True)


def _check(jobs: Sequence[Job], contract: Contract, model: str) -> int:
    """Read everything as the platform would, and send nothing."""
    terms, now = Terms(contract=contract), utcnow()
    counts: Counter[Feed] = Counter()
    faults: list[dict[str, Any]] = []
    for job in jobs:
        for parcel in _parcels(job):
            counts[parcel.feed] += len(parcel.table)
            faults += _faults(parcel, terms, model, now)
    telling.checked(counts, faults, sys.stdout)
    return int(bool(faults))


def _faults(parcel: Parcel, terms: Terms, model: str, now: datetime) -> list[dict[str, Any]]:
    batch = Batch(
        model_id=UUID(int=0),
        model=model,
        terms=terms,
        feed=parcel.feed,
        format=Format.ARROW,
        body=ipc_stream(parcel.table),
    )
    sections, refused = decode({0: batch}, now, len(parcel.table) + 1)
    for error in refused.values():
        raise error
    return [
        {"row": parcel.place(fault.row), "field": fault.field, "reason": fault.reason}
        for section in sections
        for draft in section.drafts
        for fault in draft.faults
    ]


def _backtest(platform: Platform, given: argparse.Namespace) -> None:
    """Wait until the worker has taken everything in, and print what monitors make of it."""
    began = time.monotonic()
    while True:
        waiting = platform.history()
        left = waiting["waiting_rows"], waiting["waiting_days"]
        if not any(left):
            break
        if time.monotonic() - began > given.wait:
            _write(
                f"{left[0]:,} rows and {left[1]} days still wait for the worker: is it running?"
            )
            _write(f"once it has: seqwatch backtest {given.model}")
            return
        time.sleep(POLL_SECONDS)
    try:
        days = given.reference_days
        request = {} if days is None else {"reference_length": f"P{days}D"}
        telling.backtest(platform.backtest(request, given.wait), sys.stdout)
    except ImportRefused as error:
        _write(f"no backtest: {error}")
