"""The contract of logged rows, as far as the client needs it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """The names that a contract declares, in its order, and its digest.

    `features` are those that every row has: the columns of an array.
    """

    digest: str
    features: tuple[str, ...]
    targets: tuple[str, ...]

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Declared":
        """Read the contract as it is registered. Raises ValueError for another shape."""
        try:
            return cls(
                digest=digest(document),
                features=tuple(
                    feature["name"]
                    for feature in document["features"]
                    if not feature.get("optional", False)
                ),
                targets=tuple(document["targets"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise ValueError(f"not a contract: {error!r}") from None

    def named(self, row: dict[str, Any]) -> None:
        """Split arrays by name: their columns are the contract's features, or its targets."""
        for field, names in (("features", self.features), ("output", self.targets)):
            value = row.get(field)
            if hasattr(value, "ndim"):
                row[field] = _columns(value, names)


def digest(document: Mapping[str, Any]) -> str:
    """Return SHA-256 of the canonical JSON, which identifies the contract.

    Examples
    --------
    >>> declared = {"features": [{"name": "load"}], "targets": ["load"], "step": "PT1M",
    ...         "input_length": 24, "horizon": 1}
    >>> digest(declared) == digest({**declared, "stride": 1, "padding_value": 0.0})
    True
    """
    calendar = _sparse(document.get("calendar", {}), _CALENDAR_DEFAULTS)
    form = _sparse({**document, "calendar": calendar}, _DEFAULTS)
    form["features"] = [
        _sparse({**_ALWAYS, **feature}, _FEATURE_DEFAULTS) for feature in document["features"]
    ]
    canonical = json.dumps(form, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


# Exactly the platform's rule: these entries of a feature are always part of the
# canonical form, every other entry only where it differs from its default.
_ALWAYS = {"unit": "", "min_length": 1, "max_length": 4096}
_FEATURE_DEFAULTS: dict[str, object] = {
    "dtype": "number",
    "optional": False,
    "minimum": None,
    "maximum": None,
    "vocabulary": [],
    "sensitivity": "none",
    "bucket_edges": [],
    "context": False,
}
_DEFAULTS: dict[str, object] = {
    "stride": 1,
    "padding": "none",
    "padding_value": 0,
    "scaler": {},
    "label_map": [],
    "sensitive_fields": {},
    "segment_by": "",
    "zone": "UTC",
    "calendar": {},
    "task": "forecast",
}
_CALENDAR_DEFAULTS: dict[str, object] = {"business_days": [], "holidays": []}


def _sparse(declared: Mapping[str, Any], defaults: Mapping[str, object]) -> dict[str, Any]:
    plain = {name: _plain(value) for name, value in declared.items() if name != "widens"}
    return {
        name: value
        for name, value in plain.items()
        if name not in defaults or value != defaults[name]
    }


def _plain(value: Any) -> Any:
    match value:
        case float() if value.is_integer():  # 1 and 1.0 are one number
            return int(value)
        case list() | tuple():
            return [_plain(each) for each in value]
        case Mapping():
            return {name: _plain(each) for name, each in value.items()}
        case _:
            return value


def _columns(values: Any, names: Sequence[str]) -> dict[str, Any]:
    """Split (steps,) or (steps, names) into one list for each name."""
    if values.ndim == 1 and len(names) == 1:
        return {names[0]: values}
    if values.ndim != 2 or values.shape[1] != len(names):
        raise ValueError(f"an array needs {len(names)} columns, one for each name")
    return dict(zip(names, values.T.tolist(), strict=True))
