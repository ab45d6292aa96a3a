"""Faults of a document: where, as a JSON pointer (RFC 6901), and why."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from core.errors import Conflict, Fault, InvalidConfiguration, Unprocessable

_PATH = re.compile(r"\$((?:\.\w+|\[(?:\d+|\.{3})\])+)")  # as msgspec writes it
_AT_PATH = re.compile(r" - at `\$[^`]*`$")  # the place of the fault has it
_KNOWN = re.compile(r"(?:unknown|no) ([^;]+); known: (.+)")


@dataclass(slots=True)
class Faults:
    """Collects what is wrong with a document, so that all of it is reported."""

    document: Mapping[str, Any]
    found: list[Fault] = field(default_factory=list)

    def add(self, path: Sequence[str | int], reason: str) -> None:
        """Add one at a place of the document, or at the entry of it that the reason names."""
        place = [*path, *_named(_value(self.document, path), reason)]
        shown = _with_nearest(_AT_PATH.sub("", reason))
        self.found.append(Fault(pointer=pointer(place), reason=shown))

    @contextmanager
    def at(self, *path: str | int) -> Iterator[None]:
        """Add what is refused meanwhile, instead of raising it."""
        try:
            yield
        except (Unprocessable, Conflict) as error:
            self.add(path, str(error))

    def has_under(self, *path: str) -> bool:
        """Return whether there is a fault at a place or below it."""
        above = pointer(path)
        return any(f"{one.pointer}/".startswith(f"{above}/") for one in self.found)

    def raise_any(self) -> None:
        """Raise InvalidConfiguration if anything is wrong."""
        if self.found:
            raise InvalidConfiguration(tuple(self.found))


def pointer(path: Sequence[str | int]) -> str:
    """Return a path as a JSON pointer.

    Examples
    --------
    >>> pointer(["models", "load", "contract", "features", 0, "a/b"])
    '/models/load/contract/features/0/a~1b'
    """
    parts = (str(one).replace("~", "~0").replace("/", "~1") for one in path)
    return "".join(f"/{part}" for part in parts)


def _value(document: Any, path: Sequence[str | int]) -> Any:
    for part in path:
        match document, part:
            case Mapping(), str():
                document = document.get(part)
            case list(), int() if part < len(document):
                document = document[part]
            case _:
                return None
    return document


def _named(value: object, reason: str) -> list[str | int]:
    """Return the path below a value that a reason names: a path of msgspec, or an entry."""
    if found := _PATH.search(reason):
        parts = re.findall(r"\.(\w+)|\[(\d+)\]", found[1])
        return [*_above(value, parts[0][0]), *(name or int(place) for name, place in parts)]
    for word in re.findall(r"[\w-]+", reason):
        above = _above(value, word)
        if isinstance(_value(value, above), Mapping) and word in _value(value, above):
            return [*above, word]
    return []


def _above(value: object, name: str) -> list[str | int]:
    """Return where an entry is in a mapping, or in one of its mappings, such as `params`."""
    if isinstance(value, Mapping) and name not in value:
        for key, inner in value.items():
            if isinstance(inner, Mapping) and name in inner:
                return [key]
    return []


def _with_nearest(reason: str) -> str:
    """Add the known name that is most like the unknown one.

    Examples
    --------
    >>> _with_nearest("policy: unknown latenes; known: lateness, trainer")
    'policy: unknown latenes; known: lateness, trainer; did you mean lateness?'
    """
    if found := _KNOWN.search(reason):
        known = found[2].split(", ")
        unknown = re.findall(r"'([^']+)'", found[1]) or found[1].split(", ")
        like = [one for name in unknown for one in get_close_matches(name, known, n=1)]
        if like:
            return f"{reason}; did you mean {', '.join(like)}?"
    return reason
