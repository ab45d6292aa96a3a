"""What the kind of a monitor declares of its alerts."""

from alerts.state import AlertRule
from core.errors import Unprocessable
from db.tables import Monitor
from monitors import registry


def severities_of(monitor: Monitor) -> tuple[str, ...]:
    """Return at which severities a monitor has an alert; by default at its own."""
    severities = registry.stored(monitor.kind).severities
    if severities is None:
        return (monitor.severity,)
    try:
        declared = severities(registry.parse(monitor.kind, monitor.params))
    except Unprocessable:  # its evaluation ends in this error
        return (monitor.severity,)
    return tuple(one.value for one in declared)


def rule_of(kind: str) -> AlertRule:
    """Return the alert rule of a kind of monitor."""
    found = registry.stored(kind)
    return AlertRule(
        breaches_to_fire=found.breaches_to_fire, oks_to_resolve=found.oks_to_resolve
    )
