"""The committed copy of the OpenAPI document, and what a change of it takes away.

Renew the copy: `python -m tests.api.document`. What was removed or narrowed must stand in
the changelog first.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy.orm import sessionmaker

from api.main import create_app
from api.server.description import operations_of
from core.settings import Settings

COPY = Path(__file__).parent / "openapi.json"
CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"


def current() -> dict[str, Any]:
    """Return the document of the code, as JSON has it; its version is that of the release."""
    document: dict[str, Any] = json.loads(
        json.dumps(create_app(Settings(), sessionmaker()).openapi())
    )
    document["info"]["version"] = ""
    return document


def committed() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(COPY.read_text("utf-8"))
    return document


def taken_away(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return what callers could rely on and cannot any more, each a line.

    Examples
    --------
    >>> def document(**properties):
    ...     return {"paths": {}, "components": {"schemas": {"A": {"properties": properties}}}}
    >>> taken_away(document(b={"type": "string"}, c={}), document(b={"type": "integer"}))
    ['A.b: string', 'A.c']
    """
    before, after = {*_promises(old)}, {*_promises(new)}
    demanded = {*_demands(new)} - {*_demands(old)}
    narrowed = [one for one in demanded if one.removesuffix(" (required)") in before]
    return sorted(before - after) + sorted(narrowed)


def _promises(document: dict[str, Any]) -> Iterator[str]:
    for method, path, operation in operations_of(document):
        name = f"{method.upper()} {path}"
        yield name
        yield from (f"{name} ?{one['name']}" for one in operation.get("parameters", ()))
        yield from (f"{name} -> {status}" for status in operation["responses"])
        for kind in operation.get("requestBody", {}).get("content", ()):
            yield f"{name} <- {kind}"
    for name, schema in document["components"]["schemas"].items():
        yield from (f"{name} = {value}" for value in schema.get("enum", ()))
        for field, of in schema.get("properties", {}).items():
            yield f"{name}.{field}"
            yield from (f"{name}.{field}: {kind}" for kind in _kinds(of))


def _demands(document: dict[str, Any]) -> Iterator[str]:
    for method, path, operation in operations_of(document):
        for one in operation.get("parameters", ()):
            if one.get("required"):
                yield f"{method.upper()} {path} ?{one['name']} (required)"
    for name, schema in document["components"]["schemas"].items():
        if re.search("Put$|Create$|Ask$|Row$|^Contract$|^Policy$", name):
            yield from (f"{name}.{field} (required)" for field in schema.get("required", ()))


def _kinds(schema: dict[str, Any]) -> Iterator[str]:
    if "$ref" in schema:
        yield schema["$ref"].rpartition("/")[2]
    kind = schema.get("type", ())
    yield from [kind] if isinstance(kind, str) else kind
    for one in schema.get("anyOf", ()):
        yield from _kinds(one)


def unmentioned(lines: list[str]) -> list[str]:
    """Return the lines of which the changelog of this release names neither route nor field."""
    unreleased = CHANGELOG.read_text("utf-8").split("\n## [", 2)[1]
    return [line for line in lines if not any(word in unreleased for word in _words(line))]


def _words(line: str) -> list[str]:
    """Return what a reader of the changelog would look for."""
    if line.startswith(("GET", "PUT", "POST", "DELETE")):
        return [line.split()[1]]
    return [f"`{name}`" for name in re.split(r"[.:= ]+", line.split(" (")[0])[:2]]


def renew() -> int:
    """Write the copy; 1 where the changelog does not name what was taken away."""
    document = current()
    lost = taken_away(committed(), document) if COPY.exists() else []
    silent = unmentioned(lost)
    sys.stdout.writelines(f"taken away: {line}\n" for line in lost)
    sys.stdout.writelines(f"not in CHANGELOG.md: {line}\n" for line in silent)
    if not silent:
        COPY.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(renew())
