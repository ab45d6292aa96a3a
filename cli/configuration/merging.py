"""Merge the documents of files to one configuration, each value with its place."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from api.configuration.nouns import NOUNS
from api.configuration.schema import DEFAULTS, known_fields
from services.configuration.yaml_files import FileFault, InvalidFiles, Node

_FIELDS = {noun.kind: noun.field for noun in NOUNS}
_WITH_TYPE = {noun.kind for noun in NOUNS if "kind" in noun.entry.model_fields}
_MODEL, _CHANNEL = "Model", "Channel"
_BY_NAME = ("monitors", "slos")  # null in these is sent: the model has none of that name
_VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """The configuration of some files.

    Attributes
    ----------
    root
        By noun and name, with places.
    resolved
        The variable of each value that came from the environment.
    unused
        Defaults that apply to no model: where, which, and why.
    """

    root: Node
    resolved: Mapping[str, str]
    unused: Sequence[str]

    @property
    def n_objects(self) -> int:
        """Models and channels."""
        return sum(len(objects.value) for objects in self.root.value.values())


@dataclass(slots=True)
class _Documents:
    """Documents by kind and name, and what is wrong with them."""

    by_kind: dict[str, dict[str, Node]] = field(default_factory=dict)
    faults: list[FileFault] = field(default_factory=list)

    def add(self, node: Node, message: str) -> None:
        self.faults.append(FileFault(str(node.place), message))


def merged(documents: Iterable[Node], environment: Mapping[str, str]) -> Merged:
    """Return one configuration: models with their defaults, channels with their secrets.

    Raises
    ------
    InvalidFiles
        Naming every document without kind or name, every name that is given twice, and every
        variable that is not set.
    """
    found = _Documents()
    for document in documents:
        _sort_in(document, found)
    defaults = sorted(
        found.by_kind.get(DEFAULTS, {}).items(), key=lambda one: (len(_tags(one[1])), one[0])
    )
    used: set[str] = set()
    resolved: dict[str, str] = {}
    objects: dict[str, dict[str, Node]] = {}
    for kind, of_kind in found.by_kind.items():
        if kind == DEFAULTS:
            continue
        named = objects.setdefault(_FIELDS[kind], {})
        for name, document in of_kind.items():
            if kind == _MODEL:
                named[name] = _with_defaults(document, defaults, used)
            elif kind == _CHANNEL:
                named[name] = _resolved(document, environment, resolved, found)
            else:
                named[name] = document
    if found.faults:
        raise InvalidFiles(found.faults)
    nodes = {
        name: Node(value=of, place=next(iter(of.values())).place)
        for name, of in objects.items()
    }
    if not nodes:
        raise InvalidFiles([FileFault("the files", "hold neither a model nor a channel")])
    return Merged(
        root=Node(value=nodes, place=next(iter(nodes.values())).place),
        resolved=resolved,
        unused=[_unused(name, of) for name, of in defaults if name not in used],
    )


def at(root: Node, pointer: str) -> Node:
    """Return the deepest value that a JSON pointer leads to."""
    node = root
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        match node.value:
            case dict() if name in node.value:
                node = node.value[name]
            case list() if name.isdecimal() and int(name) < len(node.value):
                node = node.value[int(name)]
            case _:
                break
    return node


def _sort_in(document: Node, found: _Documents) -> None:
    """Add a document under its kind and name, which are no fields of its own."""
    known = [*_FIELDS, DEFAULTS]
    if not isinstance(document.value, dict):
        found.add(document, "a document must be a mapping with kind and name")
        return
    fields = dict(document.value)
    kind, name = fields.pop("kind", document), fields.pop("name", document)
    if kind.value not in known:
        found.add(kind, f"kind: must be one of {', '.join(known)}{_nearest(kind.value, known)}")
        return
    if not isinstance(name.value, str):
        found.add(name, "name: a text is required")
        return
    if kind.value in _WITH_TYPE and "type" in fields:
        fields["kind"] = fields.pop("type")
    if kind.value == DEFAULTS:
        _check_defaults(fields, found)
    of_kind = found.by_kind.setdefault(kind.value, {})
    if name.value in of_kind:
        first = of_kind[name.value].place
        found.add(name, f"name: {kind.value} {name.value!r} is given twice, first at {first}")
    of_kind[name.value] = Node(value=fields, place=name.place)


def _check_defaults(fields: Mapping[str, Node], found: _Documents) -> None:
    """Refuse what no model could take: defaults that apply to none are sent to nobody."""
    known = known_fields()
    for name, node in fields.items():
        if name not in known:
            near = _nearest(name, known)
            found.add(node, f"{name}: unknown; known: {', '.join(known)}{near}")
    tags = fields.get("tags")
    if tags is not None and not isinstance(tags.value, list):
        found.add(tags, "tags: must be a list")


def _nearest(name: object, known: Sequence[str]) -> str:
    like = get_close_matches(name, known, n=1) if isinstance(name, str) else []
    return f"; did you mean {like[0]}?" if like else ""


def _tags(document: Node) -> set[str]:
    tags = document.value.get("tags")
    is_list = tags is not None and isinstance(tags.value, list)
    return {one.value for one in tags.value if isinstance(one.value, str)} if is_list else set()


def _unused(name: str, defaults: Node) -> str:
    tags = ", ".join(sorted(_tags(defaults)))
    reason = f"no model has the tags {tags}" if tags else "there is no model"
    return f"{defaults.place}: {name}: these defaults apply to no model: {reason}"


def _with_defaults(model: Node, defaults: Sequence[tuple[str, Node]], used: set[str]) -> Node:
    """Return a model over the defaults of its tags: those of most tags come last."""
    fields: dict[str, Node] = {}
    for name, document in defaults:
        if _tags(document) <= _tags(model):
            used.add(name)
            over = {key: one for key, one in document.value.items() if key != "tags"}
            fields = _over(fields, over)
    return _without_null(Node(value=_over(fields, model.value), place=model.place), ())


def _over(base: Mapping[str, Node], over: Mapping[str, Node]) -> dict[str, Node]:
    """Return a mapping with the entries of another in place of its own, level by level."""
    found = dict(base)
    for name, node in over.items():
        below = found.get(name)
        if isinstance(node.value, dict) and below is not None and isinstance(below.value, dict):
            node = Node(value=_over(below.value, node.value), place=node.place)
        found[name] = node
    return found


def _without_null(node: Node, path: tuple[str, ...]) -> Node:
    """Return a mapping without the entries that are null, but for named monitors and SLOs."""
    if not isinstance(node.value, dict):
        return node
    is_by_name = len(path) == 1 and path[0] in _BY_NAME
    kept = {
        name: _without_null(one, (*path, name))
        for name, one in node.value.items()
        if one.value is not None or is_by_name
    }
    return Node(value=kept, place=node.place)


def _resolved(
    node: Node, environment: Mapping[str, str], resolved: dict[str, str], found: _Documents
) -> Node:
    """Return a value with what the environment holds in place of each `${VARIABLE}`."""

    def inner(one: Node) -> Node:
        return _resolved(one, environment, resolved, found)

    def value_of(variable: re.Match[str]) -> str:
        value = environment.get(variable[1])
        if not value:
            found.add(node, f"the environment variable {variable[1]} is not set")
            return ""
        resolved[value] = variable[0]
        return value

    match node.value:
        case dict():
            return Node(
                value={k: inner(one) for k, one in node.value.items()}, place=node.place
            )
        case list():
            return Node(value=[inner(one) for one in node.value], place=node.place)
        case str():
            return Node(value=_VARIABLE.sub(value_of, node.value), place=node.place)
        case _:
            return node
