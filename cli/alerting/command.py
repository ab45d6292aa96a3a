"""Run `seqwatch alert` and `seqwatch silence`, through the public interface."""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

import httpx

from alerts.labels import parse_matcher
from cli.http_interface import answered, asked, connected_to
from core.clock import utcnow
from core.durations import from_text
from core.errors import Unprocessable
from core.settings import Settings

SCOPES = "the scopes operate and read"


def alert(settings: Settings, given: argparse.Namespace) -> int:
    """Run `seqwatch alert`.

    Raises
    ------
    AppError
        With what the platform answered.
    """
    with connected_to(settings, given.url, SCOPES) as api:
        path = "/v1/alerts" if given.action == "list" else f"/v1/alerts/{given.id}"
        if given.action == "list":
            for one in _every(api, path):
                if given.all or one["phase"] != "quiet":
                    print(_alert_line(one))
            return 0
        if given.action == "ack":
            asked(api, "POST", f"{path}/acknowledge", json={"note": given.note})
        if given.action == "verdict":
            body = {"verdict": given.verdict, "note": given.note}
            asked(api, "POST", f"{path}/verdict", json=body)
        _print_details(asked(api, "GET", path))
    return 0


def silence(settings: Settings, given: argparse.Namespace) -> int:
    """Run `seqwatch silence`.

    Raises
    ------
    AppError
        If a matcher or the duration is none, or with what the platform answered.
    """
    with connected_to(settings, given.url, SCOPES) as api:
        if given.action == "expire":
            answered(api, "DELETE", f"/v1/silences/{given.id}")
            return 0
        if given.action == "add":
            shown = iter([asked(api, "POST", "/v1/silences", json=_body(given, utcnow()))])
        else:
            shown = (
                one
                for one in _every(api, "/v1/silences")
                if given.all or one["state"] != "expired"
            )
        for one in shown:
            print(_silence_line(one))
    return 0


def _every(api: httpx.Client, path: str) -> Iterator[dict[str, Any]]:
    params: dict[str, Any] = {"limit": 1000}
    while True:
        page = asked(api, "GET", path, params=params)
        yield from page["items"]
        if page["next_cursor"] is None:
            return
        params["cursor"] = page["next_cursor"]


def _body(given: argparse.Namespace, now: datetime) -> dict[str, Any]:
    try:
        matchers = [asdict(parse_matcher(text)) for text in given.matchers]
    except ValueError as error:
        raise Unprocessable(str(error)) from None
    try:
        end = now + from_text(given.duration)
    except (ValueError, OverflowError) as error:
        raise Unprocessable(f"--duration: {error}") from None
    return {
        "matchers": matchers,
        "ends_at": end.isoformat(),
        "comment": given.comment,
    }


def _alert_line(one: Mapping[str, Any]) -> str:
    incident = one["incident"] or {}
    notes = [
        f"since {one['since']}" if one["since"] else "",
        f"acknowledged by {incident['acknowledged_by']}"
        if incident.get("acknowledged_at")
        else "",
        "silenced" if one["silenced_by"] else "",
        f"inhibited by {one['inhibited_by']}" if one["inhibited_by"] else "",
    ]
    subject = f"{one['id']}  {one['phase']} {one['severity']}  {one['model']}/{one['monitor']}"
    line = ", ".join(filter(None, [subject, *notes]))
    return f"{line}\n  {one['cause']}" if one["cause"] else line


def _print_details(found: Mapping[str, Any]) -> None:
    print(_alert_line(found["alert"]))
    incident = found["incidents"][0] if found["incidents"] else {}
    for name in ("onset", "detected_at", "notified_at", "acknowledged_at", "resolved_at"):
        if incident.get(name):
            print(f"  {name.removesuffix('_at')}: {incident[name]}")
    if incident.get("verdict"):
        print(f"  verdict: {incident['verdict']} by {incident['verdict_by']}")
    for name in ("finding_url", "runbook_url"):
        if found[name]:
            print(f"  {name.removesuffix('_url')}: {found[name]}")
    for one in found["notifications"]:
        print(f"  notified {one['channel']}: {one['firing_at']}")
    for one in found["silences"]:
        print(f"  silence {_silence_line(one)}")


def _silence_line(one: Mapping[str, Any]) -> str:
    silence = one["silence"]
    conditions = ", ".join(_condition(each) for each in silence["matchers"])
    line = f"{one['id']}  {one['state']} until {silence['ends_at']}: {conditions}"
    remark = ": ".join(filter(None, [silence["author"], silence["comment"]]))
    return f"{line}\n  {remark}" if remark else line


def _condition(one: Mapping[str, Any]) -> str:
    operator = {
        (True, False): "=",
        (False, False): "!=",
        (True, True): "=~",
        (False, True): "!~",
    }[one["is_equal"], one["is_regex"]]
    return f"{one['name']}{operator}{one['value']}"
