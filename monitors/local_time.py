"""Local time of an evaluation: what monitors are given, and what they return.

Monitors count hours, days and weeks of the contract's zone. Slots, findings and everything
else that is stored or sent is in UTC.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from core.schema.zone import UTC_ZONE, Zone
from monitors.finding import Finding, Json
from monitors.kind import EvaluationContext

# As datetime.isoformat writes UTC, and as messages do.
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d)(:\d\d(?:\.\d+)?\+00:00|Z)")


def local_context(context: EvaluationContext) -> EvaluationContext:
    """Return a context whose times are local."""
    zone = context.zone
    if zone.is_utc:
        return context
    return replace(
        context,
        as_of=zone.local(context.as_of),
        references={
            which: tuple(map(zone.locally, parts))
            for which, parts in context.references.items()
        },
        zone=UTC_ZONE,
    )


def in_utc(finding: Finding, zone: Zone) -> Finding:
    """Return a finding whose times are local as it is stored."""
    if zone.is_utc:
        return finding
    detail = {name: _moved(value, zone.utc) for name, value in finding.detail.items()}
    window = zone.instants(finding.window)
    return replace(
        finding, window=window, cause=_moved_text(finding.cause, zone.utc), detail=detail
    )


def state_in_local_time(state: Json, zone: Zone) -> Json:
    """Return what a finding left, with local times."""
    return state if zone.is_utc else _moved(state, zone.local)


def _moved(value: Json, move: Callable[[datetime], datetime]) -> Json:
    match value:
        case str():
            return _moved_text(value, move)
        case Mapping():
            return {name: _moved(of, move) for name, of in value.items()}
        case list() | tuple():
            return [_moved(of, move) for of in value]
        case _:
            return value


def _moved_text(text: str, move: Callable[[datetime], datetime]) -> str:
    """Move the times in a text.

    Examples
    --------
    >>> _moved_text("stuck since 2026-07-01T10:00Z", Zone("Europe/Berlin").utc)
    'stuck since 2026-07-01T08:00Z'
    """

    def moved(found: re.Match[str]) -> str:
        at = move(datetime.fromisoformat(found[0]))
        return f"{at:%Y-%m-%dT%H:%M}{found[2]}"

    return _TIME.sub(moved, text)
