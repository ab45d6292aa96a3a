"""Query parameters of a lookup, and the cursor of the last page."""

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from core.errors import Unprocessable
from core.schema.masking import stored_forms
from core.schema.rows import REFERENCE
from lake.search import BEGINNING, END, Place, Within

_A_MOMENT = timedelta(microseconds=1)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which predictions; None leaves open.

    Attributes
    ----------
    since, until
        Event time, the end not included.
    entity, session_id, trace_id
        As the service sent them; what the contract hashes is found by its hash too.
    labelled
        Whether the label of at least one step is in.
    """

    since: datetime | None = None
    until: datetime | None = None
    version: str | None = None
    entity: str | None = None
    session_id: str | None = None
    trace_id: str | None = None
    status: str | None = None
    shadow: bool | None = None
    labelled: bool | None = None

    def __post_init__(self) -> None:
        if self.since and self.until and self.since >= self.until:
            raise Unprocessable("from must be before until")

    def rows(self, key: bytes | None) -> pc.Expression:
        """Return the condition on a row, but for its time and its label.

        Past input that no version has served is left out, unless it is asked for by name.

        Parameters
        ----------
        key
            The model's, under which sensitive texts are hashed; None where none is.
        """
        wanted = (("status", self.status), ("shadow", self.shadow))
        texts = (
            ("entity", self.entity),
            ("session_id", self.session_id),
            ("trace_id", self.trace_id),
        )
        version = pc.field("version")
        rows = version != REFERENCE if self.version is None else version == self.version
        for name, value in wanted:
            if value is not None:
                rows &= pc.field(name) == value
        for name, text in texts:
            if text is not None:
                rows &= named(name, text, key)
        return rows

    @property
    def within(self) -> Within:
        """The span of event time."""
        last = self.until - _A_MOMENT if self.until and self.until > BEGINNING else END
        return Within(first=self.since or BEGINNING, last=min(last, END))


def named(field: str, text: str, key: bytes | None) -> pc.Expression:
    """Return the condition that a field of a row holds a text, in any form that is stored."""
    return pc.field(field).isin([*stored_forms(key, field, text)])


class ListCursor(msgspec.Struct, forbid_unknown_fields=True, array_like=True):
    """The last row of a page, or how far back was searched."""

    at: datetime
    prediction_id: str | None

    @property
    def place(self) -> Place:
        """The place after which the next page begins."""
        return Place(at=_sane(self.at), prediction_id=self.prediction_id)


class SessionCursor(msgspec.Struct, forbid_unknown_fields=True, array_like=True):
    """The span of a session, and the last row of a page; or how far back was searched."""

    first: datetime
    last: datetime
    at: datetime | None = None
    step_index: int = -1
    prediction_id: str = ""

    @classmethod
    def unfound(cls, reached: datetime) -> "SessionCursor":
        """Note how far back there was no row of the session."""
        return cls(first=BEGINNING, last=reached)

    @property
    def within(self) -> Within:
        """Range in which its rows are searched."""
        return Within(first=self.first, last=self.last)

    def place_in(self, keys: pa.Table) -> int:
        """Return how many of some keys, in order, were shown before."""
        if self.at is None:
            return 0
        at, step, name = (pc.field(column) for column in ("at", "step_index", "prediction_id"))
        tied = (step < self.step_index) | (
            (step == self.step_index) & (name <= self.prediction_id)
        )
        return int(keys.filter((at < self.at) | ((at == self.at) & tied)).num_rows)


class RowCursor(msgspec.Struct, forbid_unknown_fields=True, array_like=True):
    """The last row of a page of quarantine."""

    at: datetime
    id: int


def written(cursor: object) -> str:
    """Return a cursor as callers carry it."""
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def read(text: str, kind: type[T]) -> T:
    """Return a cursor that one of our pages ended with.

    Raises
    ------
    Unprocessable
        If it is none.

    Examples
    --------
    >>> read(written(ListCursor(at=END, prediction_id="p")), ListCursor).prediction_id
    'p'
    """
    try:
        stored = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        cursor = msgspec.json.decode(stored, type=kind)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise Unprocessable("cursor: not one that a page ended with") from None
    fields = msgspec.structs.astuple(cursor) if isinstance(cursor, msgspec.Struct) else cursor
    for moment in fields if isinstance(fields, tuple) else ():
        if isinstance(moment, datetime):
            _sane(moment)
    return cursor


def _sane(moment: datetime) -> datetime:
    if moment.tzinfo is None or not BEGINNING <= moment <= END:
        raise Unprocessable("cursor: not one that a page ended with")
    return moment
