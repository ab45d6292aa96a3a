"""The contract under which rows are logged, as far as the client needs it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """The names that a contract declares, in its order, and the digest that names it."""

    digest: str
    features: tuple[str, ...]
    targets: tuple[str, ...]

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Declared":
        """Read the contract as it is registered. Raises ValueError for another shape."""
        try:
            return cls(
                digest=digest(document),
                features=tuple(feature["name"] for feature in document["features"]),
                targets=tuple(document["targets"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a contract: {error!r}") from None

    def named(self, row: dict[str, Any]) -> None:
        """Give arrays their names: columns are the contract's features, or its targets."""
        for field, names in (("features", self.features), ("output", self.targets)):
            value = row.get(field)
            if hasattr(value, "ndim"):
                row[field] = _columns(value, names)


def digest(document: Mapping[str, Any]) -> str:
    """Return SHA-256 of the canonical JSON: the contract's name on the platform."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _columns(values: Any, names: Sequence[str]) -> dict[str, Any]:
    """Split (steps,) or (steps, names) into one list for each name."""
    if values.ndim == 1 and len(names) == 1:
        return {names[0]: values}
    if values.ndim != 2 or values.shape[1] != len(names):
        raise ValueError(f"an array needs {len(names)} columns, one for each name")
    return dict(zip(names, values.T.tolist(), strict=True))
