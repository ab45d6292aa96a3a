"""Read YAML files with the place of each value: strict, bounded, and without any code."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from core.errors import AppError

MAX_BYTES = 4 * 2**20  # of one file
MAX_VALUES = 100_000  # of one file, with aliases written out
MAX_DEPTH = 50
SUFFIXES = (".yaml", ".yml")
_TAG = "tag:yaml.org,2002:"
_AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Place:
    """A line of a file, from 1."""

    file: Path
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A value of a file: a mapping or list of nodes, or a scalar; and where it begins."""

    value: Any
    place: Place

    @property
    def plain(self) -> Any:
        """The value without places."""
        match self.value:
            case dict():
                return {name: node.plain for name, node in self.value.items()}
            case list():
                return [node.plain for node in self.value]
            case _:
                return self.value


@dataclass(frozen=True, slots=True, order=True)
class FileFault:
    """One thing that is wrong: where, as `FILE:LINE`, and what."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class InvalidFiles(AppError):
    """Files that cannot be read as a configuration; the message has a line for each fault."""

    def __init__(self, faults: Iterable[FileFault]) -> None:
        self.faults = [*dict.fromkeys(faults)]
        n = len(self.faults)
        what = f"{n} error{'s' if n > 1 else ''}; nothing was changed"
        super().__init__("\n".join([what, *map(str, self.faults)]))


# The scalars of YAML 1.2, as editors read them: 1.1 takes `no` for false and 12:30 for 750.
_SCALARS = (
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?",
        "-+.0123456789",
    ),
    (_AMBIGUOUS, r"(?i:yes|no|on|off)", "yYnNoO"),
)


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    found: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for kind, pattern, firsts in _SCALARS:
        for first in firsts:
            expression = re.compile(f"(?:{pattern})$")
            found.setdefault(first.strip("\0"), []).append((f"{_TAG}{kind}", expression))
    return found


class _Loader(yaml.CSafeLoader):
    yaml_implicit_resolvers = _resolvers()


class Dumper(yaml.SafeDumper):
    """Writes what the reader of this module reads: quoted wherever it would not be a text."""

    yaml_implicit_resolvers = _resolvers()


def files_under(path: Path) -> list[Path]:
    """Return the YAML files of a folder and its sub-folders, but for hidden ones; or the file.

    Raises
    ------
    InvalidFiles
        If there is none.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InvalidFiles([FileFault(str(path), "no such file or folder")])
    found = sorted(
        one
        for one in path.rglob("*")
        if one.suffix in SUFFIXES
        and one.is_file()
        and not any(part.startswith(".") for part in one.relative_to(path).parts)
    )
    if not found:
        raise InvalidFiles([FileFault(str(path), "holds no file *.yaml or *.yml")])
    return found


def read(files: Iterable[Path]) -> list[Node]:
    """Return the documents of some files.

    Raises
    ------
    InvalidFiles
        Naming everything that is wrong, in all files.
    """
    documents, faults = list[Node](), list[FileFault]()
    for file in files:
        reader = _Reader(file)
        documents += reader.documents()
        faults += reader.faults
    if faults:
        raise InvalidFiles(faults)
    return documents


def read_body(content: bytes) -> list[Node]:
    r"""Return the documents of a request's body, which may be JSON; places are in file `body`.

    Raises
    ------
    InvalidFiles
        As `read`; aliases are refused too.

    Examples
    --------
    >>> [node.plain for node in read_body(b"a: 1\n---\na: [2, x]")]
    [{'a': 1}, {'a': [2, 'x']}]
    """
    reader = _Reader(Path("body"), content)
    documents = reader.documents()
    if reader.faults:
        raise InvalidFiles(reader.faults)
    return documents


class _Reader:
    """Reads one file, or a content without aliases, and collects what is wrong with it."""

    def __init__(self, file: Path, content: bytes | None = None) -> None:
        self._file = file
        self._content = content
        self._n_values = 0
        self.faults: list[FileFault] = []

    def documents(self) -> list[Node]:
        """Return the documents that can be read; those of an empty file are none."""
        try:
            return [self._node(root, 0) for root in self._roots()]
        except _Unreadable as error:
            self._add(error.line, str(error))
            return []

    def _roots(self) -> Iterator[yaml.Node]:
        text = ""
        try:
            content = self._content
            if content is None:
                if self._file.stat().st_size > MAX_BYTES:
                    raise _Unreadable(f"a file may have {MAX_BYTES:,} bytes")
                content = self._file.read_bytes()
            text = content.decode("utf-8-sig")
            _check_events(text, may_alias=self._content is None)
            for root in yaml.compose_all(text, _Loader):
                if not _is_empty(root):
                    yield root
        except OSError as error:
            raise _Unreadable(error.strerror or "cannot be read") from None
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            raise _Unreadable("is not UTF-8", line) from None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = 1 if mark is None else mark.line + 1
            reason = ": ".join(filter(None, (error.context, error.problem)))
            if mark is not None and _begins_with_tab(text, mark.line):
                reason = "a tab at the beginning of the line: indent with spaces"
            raise _Unreadable(reason or "not valid YAML", line) from None
        except (yaml.YAMLError, RecursionError) as error:
            raise _Unreadable(f"not valid YAML: {str(error).splitlines()[0]}") from None

    def _add(self, line: int, message: str) -> None:
        self.faults.append(FileFault(str(Place(file=self._file, line=line)), message))

    def _node(self, node: yaml.Node, depth: int) -> Node:
        line = node.start_mark.line + 1
        self._n_values += 1
        if self._n_values > MAX_VALUES:
            raise _Unreadable(
                f"a file may have {MAX_VALUES:,} values, those of aliases counted", line
            )
        if depth > MAX_DEPTH:
            raise _Unreadable(f"more than {MAX_DEPTH} levels, or an alias of itself", line)
        place = Place(file=self._file, line=line)
        match node:
            case yaml.MappingNode():
                return Node(value=self._mapping(node, depth), place=place)
            case yaml.SequenceNode():
                items = [self._node(one, depth + 1) for one in node.value]
                return Node(value=items, place=place)
            case _:
                return Node(value=self._scalar(node), place=place)

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for key, value in node.value:
            line, name = key.start_mark.line + 1, key.value
            if not isinstance(key, yaml.ScalarNode) or key.tag != f"{_TAG}str":
                self._add(line, f"{_shown(name)}: a name must be a text: quote it")
            elif name == "<<":
                self._add(line, "<<: is not read; use a document of kind Defaults")
            elif name in found:
                first = found[name].place.line
                self._add(line, f"{name}: is given twice, first in line {first}")
            else:
                inner = self._node(value, depth + 1)
                # Errors lead to the name, which stands in the file that states the value.
                place = Place(file=self._file, line=line)
                found[name] = Node(value=inner.value, place=place)
        return found

    def _scalar(self, node: yaml.Node) -> Any:
        text, line = node.value, node.start_mark.line + 1
        match node.tag.removeprefix(_TAG):
            case "str":
                return text
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                return int(text, 16 if "x" in text else 10) if len(text) < 20 else float(text)
            case "float":
                return float(text)
            case "ambiguous":
                self._add(line, f"{text}: write true or false, or quote the text")
            case tag:
                self._add(line, f"the tag {tag} is not read")
        return None


class _Unreadable(Exception):
    def __init__(self, message: str, line: int = 1) -> None:
        super().__init__(message)
        self.line = line


def _check_events(text: str, *, may_alias: bool) -> None:
    """Refuse a text that is nested too deep, where libyaml would end the process; and aliases.

    They are refused before anything is made of them.
    """
    depth = 0
    for event in yaml.parse(text, _Loader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        line = 0 if event.start_mark is None else event.start_mark.line
        if depth > MAX_DEPTH:
            raise _Unreadable(f"more than {MAX_DEPTH} levels", line + 1)
        if isinstance(event, yaml.AliasEvent) and not may_alias:
            raise _Unreadable(f"alias *{event.anchor}: aliases are not read", line + 1)


def _begins_with_tab(text: str, line: int) -> bool:
    lines = text.splitlines()[line : line + 1]
    return any("\t" in one[: len(one) - len(one.lstrip())] for one in lines)


def _is_empty(root: yaml.Node) -> bool:
    return isinstance(root, yaml.ScalarNode) and root.tag == f"{_TAG}null"


def _shown(name: object) -> str:
    return name[:60] if isinstance(name, str) else "a list or mapping"
