"""Run `seqwatch apply`, `diff`, `export -f` and `schema`, through the public interface."""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml

from api.configuration.nouns import NOUNS
from api.configuration.schema import schema as schema_of_files
from cli.configuration.merging import Merged, at, merged
from cli.http_interface import Refused, asked, connected_to
from core.errors import Unprocessable
from core.settings import Settings
from services.configuration.yaml_files import (
    Dumper,
    FileFault,
    InvalidFiles,
    Place,
    files_under,
    read,
)

PATH = "/v1/configuration"
SCOPE = "the scope admin"
SECONDS = 600.0  # for an answer: 1,000 models are saved in a few minutes
DIFFERS = 3  # exit status of `diff` where something would change
MAX_SHOWN = 60  # characters of a value


def diff(settings: Settings, given: argparse.Namespace) -> int:
    """Print what would change; 0 where nothing would, 3 otherwise.

    Raises
    ------
    InvalidFiles
        Naming everything that is wrong, each with file and line.
    """
    files = _merged(given.directory)
    with connected_to(settings, given.url, SCOPE, SECONDS) as api:
        found = _put(api, files, given, dry_run=True)
    _print(found, files)
    return DIFFERS if found["changes"] else 0


def apply(settings: Settings, given: argparse.Namespace) -> int:
    """Make the platform be as the files state, and print what has changed.

    Raises
    ------
    InvalidFiles
        Naming everything that is wrong, each with file and line; nothing is changed.
    Unprocessable
        If something would be removed, and nobody confirms it.
    """
    files = _merged(given.directory)
    with connected_to(settings, given.url, SCOPE, SECONDS) as api:
        if given.prune and not given.yes:
            _confirm(_put(api, files, given, dry_run=True), files)
        print(f"{files.n_objects} objects: applying …", file=sys.stderr)
        began = time.monotonic()
        try:
            found = _put(api, files, given, dry_run=False)
        except KeyboardInterrupt:
            print("interrupted: some objects may be saved; apply again", file=sys.stderr)
            raise
        seconds = time.monotonic() - began
    _print(found, files)
    print(f"applied in {seconds:.1f} s", file=sys.stderr)
    return 0


def export(settings: Settings, given: argparse.Namespace) -> int:
    """Write the configuration of the platform to a folder, one file per object.

    Raises
    ------
    Unprocessable
        If a file cannot be written.
    """
    with connected_to(settings, given.url, SCOPE, SECONDS) as api:
        found = asked(api, "GET", PATH)["configuration"]
    written = set[Path]()
    for noun in NOUNS:
        for name, fields in found[noun.field].items():
            own = {_in_file(key): one for key, one in fields.items()}
            document = {"kind": noun.kind, "name": name, **own}
            text = yaml.dump(document, Dumper=Dumper, sort_keys=False, allow_unicode=True)
            path = given.directory / noun.field / f"{name}.yaml"
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, "utf-8")
            except OSError as error:
                raise Unprocessable(f"{path}: {error.strerror}") from None
            written.add(path)
    print(f"{len(written)} files written to {given.directory}", file=sys.stderr)
    others = [one for one in _files_in(given.directory) if one not in written]
    if others:
        print(
            f"{given.directory} has {len(others)} more, which `apply` reads too, such as "
            f"{others[0]}: remove what is old",
            file=sys.stderr,
        )
    return 0


def schema(_: Settings, __: argparse.Namespace) -> int:
    """Print the JSON schema of the files, for editors."""
    print(json.dumps(schema_of_files(), indent=2))
    return 0


def _files_in(folder: Path) -> list[Path]:
    try:
        return files_under(folder)
    except InvalidFiles:
        return []


def _merged(path: Path) -> Merged:
    files = merged(read(files_under(path)), os.environ)
    for each in files.unused:
        print(each, file=sys.stderr)
    return files


def _put(
    api: httpx.Client, files: Merged, given: argparse.Namespace, *, dry_run: bool
) -> dict[str, Any]:
    body = {"configuration": files.root.plain, **_commit(given.directory)}
    params = {"dry_run": dry_run, "prune": given.prune}
    try:
        return asked(api, "PUT", PATH, json=body, params=params)
    except Refused as error:
        faults = error.document.get("errors")
        if error.document.get("status") != Unprocessable.status or not faults:
            raise
        raise InvalidFiles(_located(files, faults)) from None


def _located(files: Merged, faults: Iterable[Mapping[str, str]]) -> list[FileFault]:
    """Return faults of the document with the lines that state it, in their order."""
    found: list[tuple[Place, FileFault]] = []
    for fault in faults:
        message, place = _hidden(fault["reason"], files), at(files.root, fault["field"]).place
        field = _in_file(".".join(fault["field"].split("/")[3:]))
        where = str(place) if fault["field"].startswith("/") else "configuration"
        located = FileFault(where, f"{field}: {message}" if field else message)
        found.append((place, located))
    return [one for _, one in sorted(found)]


def _commit(path: Path) -> dict[str, Any]:
    """Return the commit of the files, and whether they differ from it; nothing without git."""
    folder = path if path.is_dir() else path.parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(git("status", "--porcelain", "--", "."))}
    except (OSError, subprocess.CalledProcessError):
        return {}


def _confirm(found: Mapping[str, Any], files: Merged) -> None:
    """Ask whether to remove what the files do not name."""
    changes = [
        one for one in found["changes"] if one["action"] == "removed" or _has_removed(one)
    ]
    if not changes:
        return
    for change in changes:
        _print_change(change, files)
    if not sys.stdin.isatty():
        raise Unprocessable("nothing was changed: confirm with --yes what would be removed")
    if input("Remove these? [y/N] ").strip().lower() not in ("y", "yes"):
        raise Unprocessable("nothing was changed")


def _has_removed(change: Mapping[str, Any]) -> bool:
    """Return whether a monitor or SLO of a model is removed."""
    return any(
        one["field"].startswith(("monitors.", "slos."))
        and isinstance(one["old"], dict)
        and one["new"] is None
        for one in change["fields"]
    )


def _print(found: Mapping[str, Any], files: Merged) -> None:
    counts = dict.fromkeys(("created", "changed", "removed"), 0)
    for change in found["changes"]:
        counts[change["action"]] += 1
        _print_change(change, files)
    shown = ", ".join(f"{n} {action}" for action, n in counts.items())
    print(f"{shown}, {found['n_unchanged']} unchanged")


def _print_change(change: Mapping[str, Any], files: Merged) -> None:
    print(f"{change['kind']} {change['name']}: {change['action']}")
    for one in change["fields"]:
        old, new = (_text(one[key], files) for key in ("old", "new"))
        print(f"  {_in_file(one['field'])}: {old} -> {new}")


def _in_file(field: str) -> str:
    """Return the name of a field in a file, where `kind` is that of the document."""
    return "type" if field == "kind" else field


def _text(value: object, files: Merged) -> str:
    """Return a value on one line; hidden first: a part of a secret must not be shown either."""
    text = _hidden(json.dumps(value, ensure_ascii=False), files)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"


def _hidden(text: str, files: Merged) -> str:
    """Return a text with variables in place of what came from the environment."""
    for value, variable in files.resolved.items():
        text = text.replace(value, variable)
    return text
