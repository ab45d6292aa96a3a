"""Run `seqwatch source`: list, add and pull sources, through the public interface."""

import argparse
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from core.errors import AppError, Unprocessable
from core.settings import Settings

POLL_SECONDS = 0.5


class SourceRefused(AppError):
    """The platform refused the request; the message holds the reason."""


def run(settings: Settings, given: argparse.Namespace) -> int:
    """Act, and print the sources; 1 where one has an error.

    Raises
    ------
    AppError
        If the key or the file is none, or with what the platform answered.
    """
    key = os.environ.get("SEQWATCH_KEY", "").strip()
    if not key:
        raise Unprocessable("a key with the scopes operate and read: set SEQWATCH_KEY")
    with httpx.Client(
        base_url=given.url or settings.public_url,
        headers={"Authorization": f"Bearer {key}"},
        timeout=60.0,
    ) as api:
        path = f"/v1/models/{given.model}/sources"
        if given.action == "add":
            shown = [_asked(api, "PUT", f"{path}/{given.name}", json=_document(given.file))]
        elif given.action == "pull":
            shown = [_pulled(api, f"{path}/{given.name}", given)]
        else:
            shown = _asked(api, "GET", path, params={"limit": 1000})["items"]
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
    before = now = _asked(api, "POST", f"{path}/pull", params=accepts)
    until = time.monotonic() + given.wait
    while not _is_pulled(before, now) and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
        now = _asked(api, "GET", path)
    return now


def _is_pulled(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether a pull has ended since: the next page is due at once, if there is one."""
    names = ("last_pulled_at", "failures", "error")
    has_more = now["error"] is None and now["next_due_at"] == now["last_pulled_at"]
    return not has_more and any(now[name] != before[name] for name in names)


def _asked(api: httpx.Client, method: str, path: str, **more: Any) -> dict[str, Any]:
    try:
        answer = api.request(method, path, **more)
    except httpx.TransportError as error:
        raise SourceRefused(f"no answer ({type(error).__name__})") from None
    document: dict[str, Any] = answer.json()
    if answer.is_error:
        raise SourceRefused(f"{answer.status_code}: {document.get('detail', '')}")
    return document


def _line(source: Mapping[str, Any]) -> str:
    pulled = source["last_pulled_at"] or "never"
    counts = f"{source['rows']:,} rows, {source['quarantined']:,} in quarantine"
    wrong = source["unavailable"] or source["error"] or source["changed"]
    shown = (
        f"{source['name']}  {source['stream']} by {source['kind']}: {counts}, pulled {pulled}"
    )
    return f"{shown}\n  {wrong}" if wrong else shown
