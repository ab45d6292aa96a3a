"""Mapping of the columns of a file, or of a source, to the fields of a row."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from core.errors import Unprocessable
from core.schema.contract import Contract
from core.schema.rows import Kind, label_schema

TIMES = ("at", "target_at", "target_end", "arrived_at")
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
OF_LABELS = ("prediction_id", "entity", "target_at", "target_end", "arrived_at")


class Unit(StrEnum):
    """Unit of whole numbers in a column of times, since 1970 in UTC."""

    SECONDS = "s"
    MILLISECONDS = "ms"
    MICROSECONDS = "us"


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingOptions:
    """Options for reading a table.

    Attributes
    ----------
    columns
        Columns by field; several make the steps of a list.
    version, entity
        For all rows, where the file has no column of it.
    timezone
        Of times without a zone; None refuses such times.
    epoch
        Unit of whole numbers; None refuses them as times.
    is_reference
        The rows are past input that no model has served.
    is_series
        Each row is one moment of a series: its labels are of the time `at`.
    stream
        Stream of the rows; None for predictions with the values after them as labels.
    """

    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    version: str | None = None
    entity: str | None = None
    timezone: str | None = None
    epoch: Unit | None = None
    is_reference: bool = False
    is_series: bool = False
    stream: Kind | None = None

    def __post_init__(self) -> None:
        if self.timezone is not None:
            try:
                ZoneInfo(self.timezone)
            except (ZoneInfoNotFoundError, ValueError):
                raise Unprocessable(f"no time zone {self.timezone!r}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Columns of each field, for one file.

    Attributes
    ----------
    fields
        Columns by field, e.g. `features.load` from `("load_mw",)`.
    unused
        Columns that are not read.
    """

    options: MappingOptions
    fields: Mapping[str, tuple[str, ...]]
    unused: tuple[str, ...]

    @property
    def has_predictions(self) -> bool:
        """Whether the rows hold input."""
        return any(name.startswith("features") for name in self.fields)

    @property
    def has_labels(self) -> bool:
        """Whether the rows hold labels."""
        return any(name.startswith("actual") for name in self.fields)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read."""
        return tuple(dict.fromkeys(name for names in self.fields.values() for name in names))

    @property
    def digest(self) -> str:
        """Digest that identifies the layout."""
        identity = {"fields": dict(self.fields), "options": asdict(self.options)}
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def check(contract: Contract, options: MappingOptions) -> None:
    """Refuse a field that does not exist, or has no column, before a table is read.

    Raises
    ------
    Unprocessable
        Naming the field.
    """
    lists = _lists(contract)
    known = {name for name in _known(contract) if _is_of(options.stream, name, contract)}
    for name, wanted in options.columns.items():
        if name not in known:
            raise Unprocessable(f"no field {name!r}; known: {', '.join(sorted(known))}")
        if not wanted or not all(wanted):
            raise Unprocessable(f"{name} is mapped to no column")
        if len(wanted) > 1 and name not in lists:
            raise Unprocessable(f"{name} is one value: it takes one column")


def lay_out(columns: Sequence[str], contract: Contract, options: MappingOptions) -> Layout:
    """Find the column of each field: as configured, or else by its name.

    A feature is also found under its bare name.

    Raises
    ------
    Unprocessable
        If a field or a column does not exist, or one that is needed is missing.
    """
    check(contract, options)
    for name, wanted in options.columns.items():
        missing = [column for column in wanted if column not in columns]
        if missing:
            raise Unprocessable(
                f"no column {missing[0]!r} for {name}; known: {', '.join(columns)}"
            )
    fields = dict(options.columns)
    _by_name(fields, columns, contract, _lists(contract))
    for name in ("version", "entity"):
        if getattr(options, name) is not None:
            fields.pop(name, None)
    if options.is_reference:
        fields = {name: of for name, of in fields.items() if not name.startswith("output")}
    fields = {name: of for name, of in fields.items() if _is_of(options.stream, name, contract)}
    used = {column for of in fields.values() for column in of}
    unused = tuple(column for column in columns if column not in used)
    layout = Layout(options=options, fields=fields, unused=unused)
    _require(layout, contract)
    return layout


def _known(contract: Contract) -> set[str]:
    return {*TIMES, *TEXTS, *OTHERS, *_lists(contract), "features", "output", "actual"}


def _is_of(stream: Kind | None, name: str, contract: Contract) -> bool:
    """Return whether the rows of a stream, or of both, have a field."""
    labels = {*label_schema(contract).names}
    is_label = name.startswith("actual") or name in ("target_at", "arrived_at")
    if stream is Kind.LABELS:
        return is_label or name in labels
    if stream is Kind.PREDICTIONS:
        return not is_label and name != "target_end"
    return name != "target_end" or name in labels


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
        ways = [
            f"features.{contract.feature_names[0]}",
            f"actual.{contract.targets[0]}",
        ]
        ways = [name for name in ways if _is_of(options.stream, name, contract)]
        raise Unprocessable(
            "there is neither input nor what happened: map "
            f"{' or '.join(ways)} to a column; known: {', '.join(layout.unused)}"
        )
    if layout.has_predictions:
        if "at" not in fields:
            raise Unprocessable("when was it predicted? map at to a column")
        is_versioned = "version" in fields or options.version is not None
        if not options.is_reference and not is_versioned:
            raise Unprocessable("which version predicted? state version, or map it to a column")
    if layout.has_labels:
        has_entity = "entity" in fields or options.entity is not None
        if options.is_series and ("at" not in fields or not has_entity):
            raise Unprocessable("a series needs at and entity: state entity, or map them")
        if not options.is_series and not layout.has_predictions:
            by_time = "target_at" in fields and has_entity
            by_step = {"session_id", "step_index"} <= fields.keys()
            is_of_step = options.stream is Kind.LABELS and by_step
            if "prediction_id" not in fields and not by_time and not is_of_step:
                raise Unprocessable(
                    "what is a label about? map prediction_id, or entity and target_at"
                )
