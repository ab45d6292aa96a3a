"""Run `seqwatch slo`: SLOs of models, through the public interface."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from cli.http_interface import answered, asked, connected_to
from core.errors import Unprocessable
from core.settings import Settings


def run(settings: Settings, given: argparse.Namespace) -> int:
    """Act, and print what the platform answered.

    Raises
    ------
    AppError
        If the key or the file is none, or with what the platform answered.
    """
    with connected_to(settings, given.url, "the scopes operate and read") as api:
        match given.action:
            case "export":
                print(answered(api, "GET", "/v1/openslo", params=_of(given)).text, end="")
            case "import":
                for saved in _imported(api, given.file):
                    print(_saved(saved))
            case "list":
                for slo in asked(api, "GET", _path(given), params={"limit": 1000})["items"]:
                    print(_line(slo))
            case "show":
                _print(asked(api, "GET", f"{_path(given)}/{given.name}"))
            case "lint":
                body = {"params": _params(given.file)}
                _print(asked(api, "POST", f"{_path(given)}/lint", json=body))
            case _:  # rules
                print(answered(api, "GET", f"/v1/models/{given.model}/slo-rules").text, end="")
    return 0


def _path(given: argparse.Namespace) -> str:
    return f"/v1/models/{given.model}/slos"


def _of(given: argparse.Namespace) -> dict[str, str]:
    return {} if given.model is None else {"model": given.model}


def _print(document: Mapping[str, Any]) -> None:
    print(json.dumps(document, indent=2))


def _imported(api: httpx.Client, file: Path) -> list[dict[str, Any]]:
    headers = {"Content-Type": "application/yaml"}
    answer = asked(api, "PUT", "/v1/openslo", content=_content(file), headers=headers)
    saved: list[dict[str, Any]] = answer["items"]
    return saved


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Unprocessable(f"{file}: {error.strerror}") from None


def _params(file: Path) -> Any:
    try:
        return json.loads(_content(file))
    except ValueError as error:
        raise Unprocessable(f"{file}: {error}") from None


def _saved(slo: Mapping[str, Any]) -> str:
    done = "added" if slo["is_new"] else "updated"
    return "\n  ".join([f"{slo['model']}/{slo['name']}  {done}", *slo["notes"]])


def _line(slo: Mapping[str, Any]) -> str:
    detail = slo["detail"] or {}
    left = detail.get("remaining")
    budget = "no budget yet" if left is None else f"{left:.1%} of the budget left"
    state = detail.get("state") or slo["outcome"] or "not evaluated"
    shown = state if slo["enabled"] else "disabled"
    return f"{slo['name']}  {slo['params'].get('sli', 'availability')}: {shown}, {budget}"
