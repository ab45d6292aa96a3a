"""The source, as the rules read it."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FLOORS = (
    "api", "web", "jobs", "cli", "services", "notify", "sources", "lake", "db",
    "alerts", "monitors", "tasks", "retrain", "core",
)  # fmt: skip
OTHERS = ("client", "plugins", "examples", "benchmarks", "tests")


def modules(*packages: str) -> Iterator[Path]:
    """Yield every Python file of the packages; of all of them when none is named."""
    for package in packages or (*FLOORS, *OTHERS):
        yield from sorted((ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def calls(path: Path) -> tuple[ast.Call, ...]:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return tuple(node for node in nodes if isinstance(node, ast.Call))


def called(call: ast.Call) -> str:
    """Return the last word of what is called: `commit` of `session.commit()`."""
    match call.func:
        case ast.Attribute(attr=word) | ast.Name(id=word):
            return word
        case _:
            return ""


def pages() -> Iterator[Path]:
    """Yield every page of documentation."""
    yield from sorted(ROOT.glob("*.md"))
    yield from sorted((ROOT / "docs").rglob("*.md"))
    yield from sorted((ROOT / "client").glob("*.md"))
    yield from sorted((ROOT / "plugins").rglob("*.md"))
