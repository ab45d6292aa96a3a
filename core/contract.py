"""What a model version declares about its input and output, and the hash that names it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import msgspec

from core.errors import Unprocessable
from core.stored import refuse_unknown

MAX_STEPS = 10_000  # of one window: as many as a forecast row can sensibly carry
MAX_STEP_SECONDS = 7 * 86_400  # a window of the most steps stays within the calendar


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One input of the model, always a list of numbers.

    Attributes
    ----------
    name
        The key under `features` in every prediction row.
    unit
        For people, e.g. "MW". Not interpreted.
    min_length, max_length
        How many steps one row may carry, both included.
    """

    name: str
    unit: str = ""
    min_length: int = 1
    max_length: int = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """The schema and preprocessing that a model version declares.

    Attributes
    ----------
    features
        The inputs, in the order in which the model takes them.
    targets
        The outputs; a forecast carries one list of `horizon` numbers for each.
    step_seconds
        Time between two steps of a series.
    input_length
        Steps that the model looks back.
    horizon
        Steps that the model looks ahead.
    """

    features: tuple[Feature, ...]
    targets: tuple[str, ...]
    step_seconds: int
    input_length: int
    horizon: int

    def __post_init__(self) -> None:
        names = [feature.name for feature in self.features]
        if not names or not self.targets:
            raise Unprocessable("a contract needs at least one feature and one target")
        if len({*names}) < len(names) or len({*self.targets}) < len(self.targets):
            raise Unprocessable("names of features and of targets must be unique")
        if not all([*names, *self.targets]):
            raise Unprocessable("a feature or a target has an empty name")
        if min(self.step_seconds, self.input_length, self.horizon) < 1:
            raise Unprocessable("step_seconds, input_length and horizon must be at least 1")
        if max(self.input_length, self.horizon) > MAX_STEPS:
            raise Unprocessable(f"input_length and horizon must be at most {MAX_STEPS}")
        if self.step_seconds > MAX_STEP_SECONDS:
            raise Unprocessable(f"step_seconds must be at most {MAX_STEP_SECONDS}")
        for feature in self.features:
            if not 1 <= feature.min_length <= feature.max_length:
                raise Unprocessable(
                    f"feature {feature.name!r}: needs 1 <= min_length <= max_length"
                )

    @property
    def step(self) -> timedelta:
        """Time between two steps of a series."""
        return timedelta(seconds=self.step_seconds)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The inputs by name, in the order in which the model takes them."""
        return tuple(feature.name for feature in self.features)

    def to_json(self) -> dict[str, Any]:
        """Return the form that is stored and sent."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON: the contract's name.

        Examples
        --------
        >>> one = Contract(
        ...     features=(Feature(name="load"),), targets=("load",),
        ...     step_seconds=3600, input_length=96, horizon=24,
        ... )
        >>> Contract.from_json(one.to_json()).digest == one.digest
        True
        """
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    @classmethod
    def from_json(cls, stored: object) -> "Contract":
        """Read the stored form.

        Raises
        ------
        Unprocessable
            Naming the field that is missing, unknown or of the wrong type.
        """
        refuse_unknown(stored, cls, "contract")
        try:
            contract = msgspec.convert(stored, cls)
        except msgspec.ValidationError as error:
            raise Unprocessable(f"contract: {error}") from None
        assert isinstance(stored, Mapping)
        for feature in stored["features"]:
            refuse_unknown(feature, Feature, f"contract: feature {feature['name']!r}")
        return contract
