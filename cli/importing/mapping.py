"""Which column of a file is which field of a row?"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from core.errors import Unprocessable
from core.schema.contract import Contract

TIMES = ("at", "target_at", "arrived_at")
TEXTS = ("prediction_id", "version", "entity", "session_id", "status", "trace_id", "worker")
OTHERS = (
    "step_index",
    "shadow",
    "latency_seconds",
    "session_start",
    "session_end",
    "cold_start",
    "queue_length",
    "batch_size",
    "cost",
)
OF_LABELS = ("prediction_id", "entity", "target_at", "arrived_at")


class Unit(StrEnum):
    """What whole numbers in a column of times count, since 1970 in UTC."""

    SECONDS = "s"
    MILLISECONDS = "ms"
    MICROSECONDS = "us"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """Options of an import.

    Attributes
    ----------
    columns
        Columns by field; several make the steps of a list.
    version, entity
        For all rows, where the file has no column of it.
    timezone
        Of times that name none themselves; None refuses such times.
    epoch
        What whole numbers count; None refuses them as times.
    is_reference
        The rows are past input that no model has served.
    is_series
        Each row is one moment of a series: its labels are of the time `at`.
    """

    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    version: str | None = None
    entity: str | None = None
    timezone: str | None = None
    epoch: Unit | None = None
    is_reference: bool = False
    is_series: bool = False

    def __post_init__(self) -> None:
        if self.timezone is not None:
            try:
                ZoneInfo(self.timezone)
            except (ZoneInfoNotFoundError, ValueError):
                raise Unprocessable(f"no time zone {self.timezone!r}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where each field comes from, for one file.

    Attributes
    ----------
    fields
        Columns by field, e.g. `features.load` from `("load_mw",)`.
    unused
        Columns that become nothing.
    """

    options: ImportOptions
    fields: Mapping[str, tuple[str, ...]]
    unused: tuple[str, ...]

    @property
    def has_predictions(self) -> bool:
        """Whether the rows hold input."""
        return any(name.startswith("features") for name in self.fields)

    @property
    def has_labels(self) -> bool:
        """Whether the rows hold what happened."""
        return any(name.startswith("actual") for name in self.fields)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read."""
        return tuple(dict.fromkeys(name for names in self.fields.values() for name in names))

    @property
    def digest(self) -> str:
        """What names this way of reading a file."""
        identity = {"fields": dict(self.fields), "options": asdict(self.options)}
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def parse(given: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Read `FIELD=COLUMN` and `FIELD=COLUMN,COLUMN`.

    Raises
    ------
    Unprocessable
        If one has not that form, or a field is named twice.

    Examples
    --------
    >>> parse(["at=timestamp", "output.load=h1,h2"])
    {'at': ('timestamp',), 'output.load': ('h1', 'h2')}
    """
    found: dict[str, tuple[str, ...]] = {}
    for each in given:
        name, equals, columns = each.partition("=")
        names = tuple(column for column in columns.split(",") if column)
        if not equals or not name or not names:
            raise Unprocessable(f"--map {each!r}: expected FIELD=COLUMN or FIELD=COLUMN,COLUMN")
        if name in found:
            raise Unprocessable(f"--map: {name} is mapped twice")
        found[name] = names
    return found


def lay_out(columns: Sequence[str], contract: Contract, options: ImportOptions) -> Layout:
    """Find the column of each field: as wished, or else by its name.

    A feature is also found under its bare name.

    Raises
    ------
    Unprocessable
        If a field or a column does not exist, or one that is needed is missing.
    """
    lists = _lists(contract)
    known = {*TIMES, *TEXTS, *OTHERS, *lists, "features", "output", "actual"}
    fields: dict[str, tuple[str, ...]] = {}
    for name, wanted in options.columns.items():
        if name not in known:
            raise Unprocessable(f"no field {name!r}; known: {', '.join(sorted(known))}")
        missing = [column for column in wanted if column not in columns]
        if missing:
            raise Unprocessable(
                f"no column {missing[0]!r} for {name}; the file has: {', '.join(columns)}"
            )
        if len(wanted) > 1 and name not in lists:
            raise Unprocessable(f"{name} is one value: it takes one column")
        fields[name] = wanted
    _by_name(fields, columns, contract, lists)
    for name in ("version", "entity"):
        if getattr(options, name) is not None:
            fields.pop(name, None)
    if options.is_reference:
        fields = {name: of for name, of in fields.items() if not name.startswith("output")}
    used = {column for of in fields.values() for column in of}
    unused = tuple(column for column in columns if column not in used)
    layout = Layout(options=options, fields=fields, unused=unused)
    _require(layout, contract)
    return layout


def _lists(contract: Contract) -> list[str]:
    return [
        *(f"features.{name}" for name in contract.feature_names),
        *(f"output.{name}" for name in contract.targets),
        *(f"actual.{name}" for name in contract.targets),
    ]


def _by_name(
    fields: dict[str, tuple[str, ...]],
    columns: Sequence[str],
    contract: Contract,
    lists: Sequence[str],
) -> None:
    for name in (*TIMES, *TEXTS, *OTHERS, *lists):
        if name in columns:
            fields.setdefault(name, (name,))
    for group in ("features", "output", "actual"):
        is_flat = any(name.startswith(f"{group}.") for name in fields)
        if group in columns and not is_flat:
            fields.setdefault(group, (group,))
    if "features" not in fields:
        for name in contract.feature_names:
            if name in columns:
                fields.setdefault(f"features.{name}", (name,))


def _require(layout: Layout, contract: Contract) -> None:
    fields, options = layout.fields, layout.options
    if not layout.has_predictions and not layout.has_labels:
        raise Unprocessable(
            "the file has neither input nor what happened: map features."
            f"{contract.feature_names[0]} or actual.{contract.targets[0]} to a column"
        )
    if layout.has_predictions:
        if "at" not in fields:
            raise Unprocessable("when was it predicted? map at to a column")
        is_versioned = "version" in fields or options.version is not None
        if not options.is_reference and not is_versioned:
            raise Unprocessable("which version predicted? --version NAME, or map version")
    if layout.has_labels:
        has_entity = "entity" in fields or options.entity is not None
        if options.is_series and ("at" not in fields or not has_entity):
            raise Unprocessable("a series needs at and entity: --entity NAME, or map them")
        if not options.is_series and not layout.has_predictions:
            by_time = "target_at" in fields and has_entity
            if "prediction_id" not in fields and not by_time:
                raise Unprocessable(
                    "what is a label about? map prediction_id, or entity and target_at"
                )
