"""Inhibition: which firing alert explains another one, which is then not notified."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from monitors.finding import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class FiringAlert:
    """A firing alert of a model, as inhibition compares it.

    Attributes
    ----------
    means_missing_data
        No data arrives: nothing is known of the model.
    needs_data
        It is about the data and the predictions of the model.
    broken
        The input faults that explain it; empty for none.
    """

    monitor_id: UUID
    monitor: str
    severity: str
    means_missing_data: bool = False
    needs_data: bool = False
    broken: str = ""


def inhibitor(target: FiringAlert, firing: Iterable[FiringAlert]) -> str | None:
    """Return what inhibits an alert, among the firing alerts of its model; None for nothing.

    An input fault that explains it; the page of the same monitor, of its ticket; missing
    data, of what is about the data. Every source is compared, not one of each kind.

    Examples
    --------
    >>> from uuid import uuid4
    >>> slo, silence = uuid4(), uuid4()
    >>> page = FiringAlert(monitor_id=slo, monitor="slo", severity="page")
    >>> ticket = FiringAlert(monitor_id=slo, monitor="slo", severity="ticket")
    >>> inhibitor(ticket, [page, ticket]), inhibitor(page, [page, ticket])
    ('page of slo', None)
    """
    if target.broken:
        return target.broken
    for source in firing:
        is_own = source.monitor_id == target.monitor_id
        if is_own and (source.severity, target.severity) == (Severity.PAGE, Severity.TICKET):
            return f"page of {source.monitor}"
        if source.means_missing_data and target.needs_data and not is_own:
            return source.monitor
    return None
