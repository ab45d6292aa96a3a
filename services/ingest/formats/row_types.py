"""Types of the rows and columns of one feed, for fast decoding."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import pyarrow as pa

from core.schema.rows import REFERENCE, Status, takes_booleans, wire_schema
from core.terms import Terms
from services.ingest.batch import Feed

NUMBER_OR_LIST = float | list[float | None] | None
BOOLEAN_OR_LIST = bool | float | list[bool | float | None] | None
TEXT_OR_LIST = str | list[str | None] | None
INT64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

# msgspec refuses these in the name of a field. There an escape stands for them: two characters
# for private use, of which the first stands for itself where it is doubled.
_REFUSED = [*range(0x20), ord('"'), ord("\\")]
_ESCAPE, _BASE = "\ue000", 0xE100
_ESCAPES = {code: _ESCAPE + chr(_BASE + code) for code in _REFUSED} | {0xE000: 2 * _ESCAPE}
_ESCAPED = re.compile(f"{_ESCAPE}(.)")

_SCALARS = {pa.int64(): INT64, pa.bool_(): bool, pa.float64(): float}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field that a row may have.

    Attributes
    ----------
    kind
        The type of a single value; None for a struct.
    children
        The lists of a struct by their names in the contract, each with its
        type; None for a plain value.
    may_miss
        Which children may be absent.
    fills
        Children whose null is one missing value, and not a missing list.
    """

    name: str
    is_nullable: bool
    kind: Any = None
    default: Any = ...
    children: dict[str, Any] | None = None
    may_miss: frozenset[str] = frozenset()
    fills: frozenset[str] = frozenset()


def defaults(feed: Feed) -> dict[str, Any]:
    """Return the defaults of fields that a row may omit although the log requires them."""
    of_all = {"status": Status.OK.value, "shadow": False, "arrived_at": None}
    return of_all | ({"version": REFERENCE} if feed is Feed.REFERENCE else {})


def fields(feed: Feed, terms: Terms) -> list[Field]:
    """Return the fields of a row of this feed, in the order of the log."""
    absent = defaults(feed)
    return [
        _field(column, absent, terms)
        for column in wire_schema(feed.kind, terms.contract)
        if column.name != "received_at"
        and not (feed is Feed.REFERENCE and column.name == "output")
    ]


def _field(column: pa.Field, absent: dict[str, Any], terms: Terms) -> Field:
    default = absent.get(column.name, ...)
    is_nullable = column.nullable or default is None
    if not pa.types.is_struct(column.type):
        return Field(
            name=column.name,
            kind=_SCALARS.get(column.type, str),
            is_nullable=is_nullable,
            default=default,
        )
    with_booleans = takes_booleans(terms.contract, column.name)
    children = {
        child.name: BOOLEAN_OR_LIST if child.name in with_booleans else _list(child)
        for child in column.type
    }
    may_miss = fills = frozenset[str]()
    if column.name == "features":
        may_miss, fills = terms.omittable, frozenset(children) - terms.nullable
    elif column.name == "actual":  # labels may be partial
        may_miss = frozenset(children)
    return Field(
        name=column.name,
        is_nullable=is_nullable,
        default=default,
        children=children,
        may_miss=may_miss,
        fills=fills,
    )


def _list(child: pa.Field) -> Any:
    return TEXT_OR_LIST if pa.types.is_string(child.type.value_type) else NUMBER_OR_LIST


def escaped(name: str) -> str:
    r"""Return a name of the contract as its type has it.

    Examples
    --------
    >>> ascii(escaped(r"C:\load")), unescaped(escaped(r"C:\load")) == r"C:\load"
    ("'C:\\ue000\\ue15cload'", True)
    """
    return name.translate(_ESCAPES)


def unescaped(name: str) -> str:
    """Return the contract's form of an escaped name, or of a path of escaped names."""
    return _ESCAPED.sub(
        lambda found: _ESCAPE if found[1] == _ESCAPE else chr(ord(found[1]) - _BASE), name
    )


def are_escaped(fields: Iterable[Field]) -> bool:
    """Return whether JSON escapes a name of the contract, which types cannot express."""
    return any(escaped(name) != name for each in fields for name in each.children or ())


def row_type(fields: list[Field]) -> type[msgspec.Struct]:
    """Return the type of one row."""
    made: list[Any] = []
    for field in fields:
        kind = field.kind if field.children is None else _lists(field, {**field.children})
        if field.is_nullable:
            made.append((field.name, kind | None, None))
        elif field.default is not ...:
            made.append((field.name, kind, field.default))
        else:
            made.append((field.name, kind))
    return _struct("Row", made, {})


def columns_type(fields: list[Field]) -> type[msgspec.Struct]:
    """Return the type of many rows, column by column."""
    made: list[Any] = []
    for field in fields:
        if field.children is None:
            value = field.kind | None if field.is_nullable else field.kind
            kind: Any = list[value]  # type: ignore[valid-type]
        else:
            children = {
                name: list[one]  # type: ignore[valid-type]
                for name, one in field.children.items()
            }
            kind = _lists(field, children)
        if field.is_nullable or field.default is not ...:
            made.append((field.name, kind | None, None))
        else:
            made.append((field.name, kind))
    return _struct("Columns", made, {})


def _lists(field: Field, children: dict[str, Any]) -> type[msgspec.Struct]:
    # A name in the contract may be any text, also one that Python has not.
    names = {f"f{i}": child for i, child in enumerate(children)}
    made = [
        (name, children[child] | None, msgspec.UNSET if child in field.fills else None)
        if child in field.may_miss
        else (name, children[child])
        for name, child in names.items()
    ]
    return _struct("Lists", made, {name: escaped(child) for name, child in names.items()})


def _struct(name: str, fields: list[Any], rename: dict[str, str]) -> type[msgspec.Struct]:
    # gc=False: rows hold no cycles, and a hundred thousand of them would
    # otherwise start the garbage collector many times.
    return msgspec.defstruct(
        name, fields, rename=rename, kw_only=True, forbid_unknown_fields=True, gc=False
    )
