"""`seqwatch export`: predictions to a file, with a word on how far it is."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from cli.database import connected
from core import moments
from core.errors import Unprocessable
from core.settings import Settings
from services.models.registry import ModelCache
from services.read_models.export.export import ExportRequest, export
from services.read_models.export.formats import Format
from services.read_models.lookup.query import Query

_REPORT_EVERY = 1.0  # seconds
_FORMS = {".csv": Format.CSV, ".parquet": Format.PARQUET, ".arrow": Format.ARROW}


def _moment(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = moments.parse(text)
    except ValueError:
        raise Unprocessable(f"--{name}: not an RFC 3339 timestamp") from None
    if moment.tzinfo is None:
        raise Unprocessable(f"--{name}: add the time zone, as in 2026-01-08T00:00:00Z")
    return moment.astimezone(UTC)


def run(settings: Settings, given: argparse.Namespace) -> int:
    """Write the file, or the files of the configuration; 0 when it is whole.

    Raises
    ------
    Unprocessable
        If neither a model with a file nor a folder is given, or both.
    """
    if given.directory is not None and given.model is None:
        from cli.configuration import command as configuration

        return configuration.export(settings, given)
    if given.directory is not None or given.file is None:
        raise Unprocessable("give MODEL and FILE for predictions, or -f DIR alone")
    form = Format(given.format) if given.format else _FORMS.get(Path(given.file).suffix)
    if form is None:
        raise Unprocessable(f"--format: one of {', '.join(Format)}")
    query = Query(
        since=_moment("since", given.since),
        until=_moment("until", given.until),
        version=given.version,
        entity=given.entity,
        session_id=given.session,
        status=given.status,
    )
    tally = _Tally()
    with connected(settings) as sessions:
        order = ExportRequest(
            model_id=ModelCache(sessions).find(given.model).model_id,
            query=query,
            form=form,
            with_labels=given.with_labels,
        )
        pieces = export(sessions, settings.lake, order, tally.add)
        if given.file == "-":
            for piece in pieces:
                tally.add_bytes(sys.stdout.buffer.write(piece))
        else:
            unfinished = Path(f"{given.file}.unfinished")
            with unfinished.open("wb") as file:
                for piece in pieces:
                    tally.add_bytes(file.write(piece))
            unfinished.replace(given.file)
    tally.end()
    return 0


class _Tally:
    """Counts what was written, and reports it from time to time."""

    def __init__(self) -> None:
        self._n_rows, self._n_bytes = 0, 0
        self._began = self._reported = monotonic()

    def add(self, n_rows: int) -> None:
        self._n_rows += n_rows

    def add_bytes(self, n_bytes: int) -> None:
        self._n_bytes += n_bytes
        if monotonic() - self._reported > _REPORT_EVERY:
            self._reported = monotonic()
            self._write("so far")

    def end(self) -> None:
        self._write("written")

    def _write(self, word: str) -> None:
        rate = self._n_rows / max(monotonic() - self._began, 1e-3)
        size = self._n_bytes / 2**20
        print(
            f"{self._n_rows:,} rows, {size:,.1f} MiB {word}, {rate:,.0f} rows/s",
            file=sys.stderr,
        )
