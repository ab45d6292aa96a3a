"""Contract: schema and preprocessing of a model's rows, with a digest."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import date, timedelta
from enum import StrEnum
from math import isfinite
from typing import Any

from core.durations import DAY, SECOND, Duration, to_text
from core.errors import Unprocessable
from core.schema.calendar import Calendar
from core.schema.feature import Dtype, Feature, Sensitivity
from core.schema.zone import DEFAULT, Zone
from core.stored import parsed, refuse_unknown

# Of event time; a step longer than the last has it all the same.
GRAINS = (
    *(timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15)),
    *(timedelta(hours=1), timedelta(days=1)),
)
MAX_STEPS = 10_000  # of one window: as many as a forecast row can sensibly carry
MAX_STEP = 7 * DAY  # a window of the most steps stays within the calendar

# Fields of a row that may name a person or a machine, and what may become of them.
CONCEALABLE = ("entity", "session_id", "trace_id", "worker")
WAYS_TO_CONCEAL = (Sensitivity.DROP, Sensitivity.HASH)

ENTITY = "entity"  # as `segment_by`: the field of the row, not a feature

# Fields of the first contracts. Their digests
# stay as they are: these entries are always part of the canonical form, every other one only
# where it differs from its default. The same rule lets the contract grow again.
_ALWAYS = {
    "features",
    "targets",
    "step",
    "input_length",
    "horizon",
    "name",
    "unit",
    "min_length",
    "max_length",
}


class Padding(StrEnum):
    """On which side a window that is too short is filled up."""

    NONE = "none"
    LEFT = "left"
    RIGHT = "right"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """The schema and preprocessing that a model version declares.

    Attributes
    ----------
    features
        The inputs, in the order in which the model takes them.
    targets
        The outputs; a forecast carries one list of `horizon` numbers for each.
    step
        Time between two steps of a series.
    input_length
        Steps of input before the forecast.
    horizon
        Steps of the forecast.
    stride
        Steps between the beginnings of two windows.
    padding, padding_value
        How a window that is too short is filled up, and with what.
    scaler
        By feature, the center that is subtracted and the scale that is divided by.
    label_map
        The names of the classes, by their number.
    sensitive_fields
        Fields of a row (`entity`, `session_id`, `trace_id`, `worker`) that are
        dropped or hashed before anything is stored.
    segment_by
        The category among the kept features, or `entity` for the field of the
        row, by whose values summaries are kept apart as well; "" for none.
    zone
        The IANA time zone in which hours, days and weeks of the series are counted.
    calendar
        Its business days and holidays.
    task
        What the model predicts: the name of one in `core.schema.task.TASKS`.
    widens
        Digests of the contracts that this one has replaced without breaking
        them: rows under them are welcome. Kept by the platform, no part of
        the digest.
    """

    features: tuple[Feature, ...]
    targets: tuple[str, ...]
    step: Duration
    input_length: int
    horizon: int
    stride: int = 1
    padding: Padding = Padding.NONE
    padding_value: float = 0.0
    scaler: Mapping[str, tuple[float, float]] = field(default_factory=dict, hash=False)
    label_map: tuple[str, ...] = ()
    sensitive_fields: Mapping[str, Sensitivity] = field(default_factory=dict, hash=False)
    segment_by: str = ""
    zone: str = DEFAULT
    calendar: Calendar = field(default_factory=Calendar)
    task: str = "forecast"
    widens: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        self._check_names()
        self._check_lengths()
        self._check_scaler()
        self._check_sensitive()
        self._check_segments()
        Zone(self.zone)

    @property
    def step_us(self) -> int:
        """Microseconds of a step."""
        return self.step // timedelta.resolution

    @property
    def grain(self) -> timedelta:
        """The event-time width of the finest summary: not below the step, at least a minute.

        Examples
        --------
        >>> one = Contract(features=(Feature(name="load"),), targets=("load",),
        ...     step=90 * SECOND, input_length=96, horizon=24)
        >>> str(one.grain)
        '0:05:00'
        """
        return next((grain for grain in GRAINS if grain >= self.step), GRAINS[-1])

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The inputs by name, in the order in which the model takes them."""
        return tuple(feature.name for feature in self.features)

    @property
    def kept(self) -> tuple[Feature, ...]:
        """The inputs that the log has a column for."""
        return tuple(feature for feature in self.features if feature.is_kept)

    @property
    def measured(self) -> tuple[str, ...]:
        """The names of the numbers among the kept inputs: what can be too high or too low."""
        return tuple(each.name for each in self.kept if each.dtype is Dtype.NUMBER)

    @property
    def context(self) -> frozenset[str]:
        """The names of the context features."""
        return frozenset(feature.name for feature in self.features if feature.context)

    @property
    def is_sensitive(self) -> bool:
        """Whether anything is changed before it is stored."""
        return bool(self.sensitive_fields) or any(
            feature.sensitivity is not Sensitivity.NONE for feature in self.features
        )

    def to_json(self) -> dict[str, Any]:
        """Return the form that is stored and sent: without what has its default."""
        form = _sparse(self)
        if self.widens:
            form["widens"] = [*self.widens]
        return form

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON: the contract's name.

        Examples
        --------
        >>> from core.durations import HOUR
        >>> one = Contract(
        ...     features=(Feature(name="load"),), targets=("load",),
        ...     step=HOUR, input_length=96, horizon=24,
        ... )
        >>> Contract.from_json(one.to_json()).digest == one.digest
        True
        """
        canonical = json.dumps(_sparse(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    @classmethod
    def from_json(cls, stored: object) -> "Contract":
        """Read the stored form.

        Raises
        ------
        Unprocessable
            Naming the field that is missing, unknown or of the wrong type.
        """
        if isinstance(stored, Mapping):
            _refuse_unknown_features(stored.get("features"))
            refuse_unknown(stored.get("calendar"), Calendar, "contract: calendar")
        return parsed(stored, cls, "contract")

    def _check_names(self) -> None:
        names = self.feature_names
        if not names or not self.targets:
            raise Unprocessable("a contract needs at least one feature and one target")
        if len({*names}) < len(names) or len({*self.targets}) < len(self.targets):
            raise Unprocessable("names of features and of targets must be unique")
        if not all(self.targets):
            raise Unprocessable("a feature or a target has an empty name")
        if len({*self.label_map}) < len(self.label_map) or not all(self.label_map):
            raise Unprocessable("label_map: names of classes must be unique and not empty")

    def _check_lengths(self) -> None:
        if min(self.input_length, self.horizon) < 1:
            raise Unprocessable("input_length and horizon must be at least 1")
        if self.step % SECOND or not SECOND <= self.step <= MAX_STEP:
            raise Unprocessable(f"step must be whole seconds, PT1S to {to_text(MAX_STEP)}")
        if max(self.input_length, self.horizon) > MAX_STEPS:
            raise Unprocessable(f"input_length and horizon must be at most {MAX_STEPS}")
        if not 1 <= self.stride <= MAX_STEPS:
            raise Unprocessable(f"stride must be 1 to {MAX_STEPS}")
        if not isfinite(self.padding_value):
            raise Unprocessable("padding_value must be finite")
        if self.padding is Padding.NONE and self.padding_value:
            raise Unprocessable("padding_value is for padding left or right")

    def _check_scaler(self) -> None:
        numbers = {each.name for each in self.features if each.dtype is Dtype.NUMBER}
        for name, (center, scale) in self.scaler.items():
            if name not in numbers and name not in self.targets:
                raise Unprocessable(f"scaler: {name!r} is no number among features and targets")
            if not isfinite(center) or not isfinite(scale) or scale <= 0:
                raise Unprocessable(f"scaler: {name!r} needs a finite center and a scale > 0")

    def _check_sensitive(self) -> None:
        if not self.kept:
            raise Unprocessable("features: with every one dropped there is nothing to watch")
        for feature in self.features:
            if feature.sensitivity is not Sensitivity.NONE and feature.name in self.targets:
                raise Unprocessable(
                    f"feature {feature.name!r}: sensitivity {feature.sensitivity}, "
                    "but a target of the same name is stored as it is"
                )
        for name, way in self.sensitive_fields.items():
            if name not in CONCEALABLE:
                raise Unprocessable(
                    f"sensitive_fields: no {name!r}; known: {', '.join(CONCEALABLE)}"
                )
            if way not in WAYS_TO_CONCEAL:
                raise Unprocessable(f"sensitive_fields: {name!r} can be dropped or hashed")

    def _check_segments(self) -> None:
        by = self.segment_by
        if not by:
            return
        if by == ENTITY:
            if self.sensitive_fields.get(ENTITY) is Sensitivity.DROP:
                raise Unprocessable("segment_by: entity is dropped before anything is stored")
            return
        if by not in {each.name for each in self.kept if each.dtype is Dtype.CATEGORY}:
            raise Unprocessable(
                f"segment_by: {by!r} is neither a category among the kept features "
                f"nor {ENTITY!r}"
            )


def _sparse(declared: Contract | Feature | Calendar) -> dict[str, Any]:
    """Return the canonical form: what was always there, and what is not the default."""
    form = {}
    for each in fields(declared):
        value = getattr(declared, each.name)
        if each.name in _ALWAYS or (each.compare and value != _default(each)):
            form[each.name] = to_text(value) if isinstance(value, timedelta) else _plain(value)
    return form


def _default(each: Any) -> object:
    return each.default_factory() if each.default is MISSING else each.default


def _plain(value: Any) -> Any:
    match value:
        case StrEnum() | date():
            return str(value)
        case Feature() | Calendar():
            return _sparse(value)
        case float() if value.is_integer():  # 1 and 1.0 are one number
            return int(value)
        case tuple():
            return [_plain(each) for each in value]
        case Mapping():
            return {name: _plain(each) for name, each in value.items()}
        case _:
            return value


def _refuse_unknown_features(features: object) -> None:
    for feature in features if isinstance(features, list | tuple) else ():
        name = feature.get("name") if isinstance(feature, Mapping) else None
        refuse_unknown(feature, Feature, f"contract: feature {name!r}")
