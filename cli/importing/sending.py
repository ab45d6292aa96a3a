"""Send batches until each is acknowledged; what was acknowledged before is not sent again."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa

from core.errors import AppError
from services.ingest import Feed
from services.ingest.batch import ipc_stream

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds
POLL_SECONDS = 1.0  # between two reads of a backtest that runs
GIVE_UP_AFTER = 900.0  # seconds without any answer that lets us go on
_AGAIN = (408, 429, 502, 503, 504)


class ImportRefused(AppError):
    """The platform refused this import; the message holds the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """Rows of a file that travel together.

    Attributes
    ----------
    first, end
        Places in the file.
    table
        As the interface takes it.
    places
        Of each row of the table in the file; None where they are `first` and on.
    """

    feed: Feed
    first: int
    end: int
    table: pa.Table
    places: pa.Array | None = None

    def place(self, row: int) -> int:
        """Return where a row of the table is in the file."""
        return self.first + row if self.places is None else int(self.places[row].as_py())


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of the rows of one feed."""

    n_accepted: int = 0
    n_quarantined: int = 0
    n_before: int = 0
    faults: list[dict[str, Any]] = field(default_factory=list)


class Journal:
    """Which batches were acknowledged, in a file beside the platform's own receipts.

    Receipts are forgotten after two weeks, and asking them costs the sending
    of every row: the journal is what makes resuming free. Without it nothing
    is doubled, as long as the receipts are kept.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._done: dict[str, dict[str, int]] = {}
        text = path.read_text("utf-8") if path.is_file() else ""
        self._is_torn = bool(text) and not text.endswith("\n")
        if text:
            for line in text.splitlines():
                try:
                    entry = json.loads(line)
                    self._done[entry["batch"]] = entry
                except (ValueError, KeyError, TypeError):
                    continue  # torn by a kill: that batch is sent again, and is a duplicate
        path.parent.mkdir(parents=True, exist_ok=True)

    def get(self, batch_id: str) -> dict[str, int] | None:
        """Return what was acknowledged of a batch; None for nothing."""
        return self._done.get(batch_id)

    def add(self, batch_id: str, n_accepted: int, n_quarantined: int) -> None:
        """Note that a batch is safe."""
        entry: dict[str, Any] = {
            "batch": batch_id,
            "accepted": n_accepted,
            "quarantined": n_quarantined,
        }
        self._done[batch_id] = entry
        with self._path.open("a", encoding="utf-8") as file:
            file.write("\n" * self._is_torn + json.dumps(entry) + "\n")
        self._is_torn = False


class Platform:
    """The public interface of one installation.

    Parameters
    ----------
    url, key
        Where it is, and a key with the scopes ingest, operate and read.
    model
        Whose rows are sent.
    write_line
        Prints the reason of a pause.
    pause
        Waits some seconds.
    """

    def __init__(
        self,
        url: str,
        key: str,
        model: str,
        write_line: Callable[[str], None],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=120.0,
        )
        self._path = f"/v1/models/{model}"
        self._write, self._pause = write_line, pause

    def close(self) -> None:
        """Hang up."""
        self._http.close()

    def describe(self) -> dict[str, Any]:
        """Return the model as it stands."""
        return self._json("GET", "")

    def history(self) -> dict[str, Any]:
        """Return up to when event time is history, and how much of it waits."""
        return self._json("GET", "/history")

    def set_history(self, until: datetime) -> None:
        """Mark event time up to here as history."""
        self._json("PUT", "/history", json={"until": until.isoformat()})

    def backtest(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """Return what the monitors would have found; a worker evaluates it meanwhile.

        Raises
        ------
        ImportRefused
            If it fails, or is not done in time.
        """
        asked = self._json("POST", "/backtests", json=request)
        until = time.monotonic() + seconds
        while asked["state"] in ("queued", "running") and time.monotonic() < until:
            self._pause(POLL_SECONDS)
            asked = self._json("GET", f"/backtests/{asked['id']}")
        if asked["result"] is None:
            reason = asked["error"] or f"not done within {seconds:g} s"
            raise ImportRefused(f"{reason} (backtest {asked['id']} is {asked['state']})")
        result: dict[str, Any] = asked["result"]
        return result

    def send(self, parcel: Parcel, batch_id: str, tally: Tally) -> tuple[int, int]:
        """Send one batch until it is acknowledged; how many rows were kept, how many not."""
        answer = self._ask(
            "POST",
            f"/{parcel.feed}",
            content=ipc_stream(parcel.table),
            headers={
                "Content-Type": "application/vnd.apache.arrow.stream",
                "Idempotency-Key": batch_id,
            },
        )
        document = _read(answer)
        if answer.status_code == 409 and _name(document) == "BatchMismatch":
            # The id names the content of the file: it was sent before, written differently.
            tally.n_before += len(parcel.table)
            return len(parcel.table), 0
        if answer.status_code == 422 and "accepted" in document:
            faults = document.get("errors", [])
            n_bad = int(document.get("quarantined", len(faults)))
            for fault in faults:
                tally.faults.append({**fault, "row": parcel.place(int(fault["row"]))})
        elif answer.status_code == 200:
            n_bad = int(document["quarantined"])
        else:
            raise _refusal(answer)
        if document.get("duplicate") is True:
            tally.n_before += int(document["accepted"])
        else:
            tally.n_accepted += int(document["accepted"])
        tally.n_quarantined += n_bad
        return int(document["accepted"]), n_bad

    def _json(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        answer = self._ask(method, path, **more)
        if answer.status_code not in (200, 202):
            raise _refusal(answer)
        return _read(answer)

    def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Repeat a request until its answer is not "try later"."""
        waited, pause = 0.0, FIRST_PAUSE
        while True:
            try:
                answer = self._http.request(method, self._path + path, **more)
            except httpx.TransportError as error:
                why, asked = f"no answer ({type(error).__name__})", None
            else:
                if answer.status_code not in _AGAIN:
                    return answer
                why = f"{answer.status_code}: {_read(answer).get('detail', '')}"
                asked = answer.headers.get("Retry-After")
            if waited >= GIVE_UP_AFTER:
                raise ImportRefused(f"gave up after {waited:.0f} s: {why}")
            if asked is not None and asked.isdecimal():
                seconds = float(asked)
            else:
                seconds, pause = pause, min(2 * pause, LONGEST_PAUSE)
            self._write(f"waiting {seconds:g} s: {why}")
            self._pause(seconds)
            waited += max(seconds, 0.1)


def batch_id(parcel: Parcel, file_digest: str, layout_digest: str) -> str:
    """Return what names a batch: the same rows of the same file, read the same way."""
    document = [file_digest, layout_digest, parcel.feed.value, parcel.first, parcel.end]
    return "import-" + hashlib.sha256(json.dumps(document).encode()).hexdigest()[:40]


def _read(answer: httpx.Response) -> dict[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _refusal(answer: httpx.Response) -> ImportRefused:
    document = _read(answer)
    detail = document.get("detail") or answer.reason_phrase
    return ImportRefused(f"{answer.status_code} {_name(document)}: {detail}")


def _name(document: dict[str, Any]) -> str:
    """Return the name of an error, with which the `type` of its problem details ends."""
    return str(document.get("type", "")).rpartition(":")[2]
