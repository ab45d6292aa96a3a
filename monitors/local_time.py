"""Local time of an evaluation: what monitors are given, and what they return.

Monitors count hours, days and weeks of the contract's zone. Slots, findings and everything
else that is stored or sent is in UTC.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec

from core.schema.zone import UTC_ZONE, Zone
from monitors.finding import Finding
from monitors.kind import D, EvaluationContext

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
    return replace(
        finding,
        window=zone.instants(finding.window),
        cause=_moved_text(finding.cause, zone.utc),
        detail=_moved_detail(finding.detail, zone.utc),
    )


def local_detail(detail: D, zone: Zone) -> D:
    """Return the detail of a stored finding with local times."""
    return detail if zone.is_utc else _moved_detail(detail, zone.local)


def _moved_detail(detail: D, move: Callable[[datetime], datetime]) -> D:
    plain = msgspec.to_builtins(detail, builtin_types=(datetime,))
    return msgspec.convert(_moved(plain, move), type(detail))


def _moved(value: Any, move: Callable[[datetime], datetime]) -> Any:
    match value:
        case datetime():
            return move(value)
        case str():
            return _moved_text(value, move)
        case dict():
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
