"""Run `seqwatch source`: list, add and pull sources, through the public interface."""

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from cli.http_interface import asked, connected_to
from core.errors import Unprocessable
from core.settings import Settings

POLL_SECONDS = 0.5


def run(settings: Settings, given: argparse.Namespace) -> int:
    """Act, and print the sources; 1 where one has an error.

    Raises
    ------
    AppError
        If the key or the file is none, or with what the platform answered.
    """
    with connected_to(settings, given.url, "the scopes operate and read") as api:
        path = f"/v1/models/{given.model}/sources"
        if given.action == "add":
            shown = [asked(api, "PUT", f"{path}/{given.name}", json=_document(given.file))]
        elif given.action == "pull":
            shown = [_pulled(api, f"{path}/{given.name}", given)]
        else:
            shown = asked(api, "GET", path, params={"limit": 1000})["items"]
    for source in shown:
        print(_line(source))
    return int(any(source["error"] or source["unavailable"] for source in shown))


def _document(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise Unprocessable(f"{path}: {error}") from None


def _pulled(api: httpx.Client, path: str, given: argparse.Namespace) -> dict[str, Any]:
    """Ask for a pull, and wait until the worker has made one."""
    accepts = {"accept_columns": given.accept_columns}
    before = now = asked(api, "POST", f"{path}/pull", params=accepts)
    until = time.monotonic() + given.wait
    while not _is_pulled(before, now) and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
        now = asked(api, "GET", path)
    return now


def _is_pulled(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether a pull has ended since: the next page is due at once, if there is one."""
    names = ("last_pulled_at", "failures", "error")
    has_more = now["error"] is None and now["next_due_at"] == now["last_pulled_at"]
    return not has_more and any(now[name] != before[name] for name in names)


def _line(source: Mapping[str, Any]) -> str:
    pulled = source["last_pulled_at"] or "never"
    counts = f"{source['rows']:,} rows, {source['quarantined']:,} in quarantine"
    wrong = source["unavailable"] or source["error"] or source["changed"]
    shown = (
        f"{source['name']}  {source['stream']} by {source['kind']}: {counts}, pulled {pulled}"
    )
    return f"{shown}\n  {wrong}" if wrong else shown
