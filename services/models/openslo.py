"""SLOs of many models, read from and written as OpenSLO documents."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import AppError, Conflict, Forbidden, NotFound, Unprocessable
from db.tables import Model, Monitor
from monitors.slo.objective import BurnRateParams
from monitors.slo.openslo import reading, writing
from monitors.slo.openslo.reading import OpenSlo
from monitors.slo.prometheus_rules import rules
from services.models import monitor_config, registry
from services.models.monitor_config import MonitorPlan
from services.models.slo_corrections import SLO


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedSlo:
    """An SLO of a document, as it was saved.

    Attributes
    ----------
    name
        Of the monitor: of one that is there already, as it was.
    notes
        What of the document has no effect here.
    """

    model: str
    name: str
    is_new: bool
    params: Mapping[str, Any]
    notes: Sequence[str]


def save(
    session: Session, documents: Iterable[object], reach: Callable[[str], UUID]
) -> list[SavedSlo]:
    """Make the SLOs of the models be as some documents state; all or none of them.

    Parameters
    ----------
    session
        The open transaction.
    documents
        Parsed.
    reach
        Returns the id of a model that the caller may change, or raises.

    Raises
    ------
    Unprocessable
        With one line for each fault: the document or SLO, and what is wrong with it.
    """
    try:
        slos = sorted(reading.read(documents), key=lambda one: (one.model, one.name))
    except ValueError as error:
        raise Unprocessable(str(error)) from None
    if not slos:
        raise Unprocessable("no document of kind SLO")
    saved, counted = list[SavedSlo](), Counter((one.model, one.name) for one in slos)
    faults = [
        f"SLO {of[1]!r} of {of[0]!r}: is given twice" for of in counted if counted[of] > 1
    ]
    for one in slos:
        try:
            saved.append(_saved(session, reach(one.model), one))
        except (Unprocessable, Conflict, NotFound, Forbidden) as error:
            faults.append(f"SLO {one.name!r} of {one.model!r}: {error}")
    if faults:
        raise Unprocessable("\n".join(faults))
    return saved


def _saved(session: Session, model_id: UUID, slo: OpenSlo) -> SavedSlo:
    there = {writing.dns_name(one.name): one for one in _slos(session, model_id)}
    before = there.get(slo.name)
    name = slo.name if before is None else before.name
    registry.check_name("monitor", name)
    # What no document can state stays as it is.
    kept = (
        {} if before is None else {key: before.params[key] for key in _OWN & {*before.params}}
    )
    plan = MonitorPlan(
        name=name,
        kind=SLO,
        params={**kept, **slo.params},
        enabled=before is None or before.enabled,
        severity=None if before is None else before.severity,
    )
    is_new = monitor_config.put(session, model_id, plan)
    return SavedSlo(
        model=slo.model, name=name, is_new=is_new, params=plan.params, notes=slo.notes
    )


_OWN = frozenset(("by_segment", "max_staleness", "min_failures", "no_data"))


def _slos(session: Session, model_id: UUID) -> Sequence[Monitor]:
    of_model = (Monitor.model_id == model_id) & (Monitor.kind == SLO)
    return session.scalars(select(Monitor).where(of_model).order_by(Monitor.name)).all()


def documents(
    session: Session, model_id: UUID | None
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the SLOs of a model, or of all, as documents, in the order of their names.

    Returns
    -------
    list of dict
        The documents.
    list of str
        Each SLO that no document can state, and why: its SLI is unavailable, or its slices of
        time are no whole minutes.
    """
    found = select(Model.name, Monitor).join(Model, Model.id == Monitor.model_id)
    found = found.where(Monitor.kind == SLO).order_by(Model.name, Monitor.name)
    if model_id is not None:
        found = found.where(Monitor.model_id == model_id)
    made, left_out = list[dict[str, Any]](), list[str]()
    for model, monitor in session.execute(found):
        try:
            params: BurnRateParams = monitor_config.params_of(monitor)
            made.append(writing.written(monitor.name, model, params))
        except (AppError, ValueError) as error:
            left_out.append(f"SLO {monitor.name!r} of {model!r} is left out: {error}")
    return made, left_out


def rule_groups(session: Session, model_id: UUID, model: str) -> dict[str, Any]:
    """Return the recording and alerting rules of the enabled SLOs of a model for Prometheus.

    Raises
    ------
    Unprocessable
        If the SLI of one is unavailable, or its parameters mean nothing.
    """
    return {
        "groups": [
            group
            for monitor in _slos(session, model_id)
            if monitor.enabled
            for group in rules(model, monitor.name, monitor_config.params_of(monitor))["groups"]
        ]
    }
