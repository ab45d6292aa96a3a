"""Cache of fitted baselines."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.window import Stretches
from monitors.kind import EvaluationContext, MonitorKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Key of a fitted baseline: monitor, parameters, reference."""

    model_id: str
    kind: str
    params: str
    by_segment: bool
    reference: Stretches
    revision: int
    features: tuple[str, ...]

    @property
    def monitor(self) -> tuple[str, str, str]:
        """Who uses it: of the baselines of one, only the newest is remembered."""
        return self.model_id, self.kind, self.params


class Baselines:
    """Fitted baselines of one process, until rows come late into their references."""

    def __init__(self) -> None:
        self._fitted: dict[tuple[str, str, str], tuple[Key, Any]] = {}

    def key(
        self, kind: MonitorKind[Any, Any], params: Any, context: EvaluationContext
    ) -> Key | None:
        """Return what the baseline of a monitor depends on; None where it has none."""
        reference = context.references.get(kind.fitted_on, ())
        if kind.fit is None or not reference:
            return None
        unread = kind.unread(context.contract)
        return Key(
            model_id=context.model_id,
            kind=kind.name,
            params=repr(params),
            by_segment=kind.fits_by_segment(params),
            reference=reference,
            revision=context.revisions.get(reference, 0),
            features=tuple(name for name in context.features if name not in unread),
        )

    def has(self, key: Key) -> bool:
        """Return whether a baseline is cached."""
        known = self._fitted.get(key.monitor)
        return known is not None and known[0] == key

    def of(self, key: Key, fit: Callable[[], Any]) -> Any:
        """Return a baseline; it is fitted where it is not remembered."""
        if not self.has(key):
            self._fitted[key.monitor] = (key, fit())
        return self._fitted[key.monitor][1]
