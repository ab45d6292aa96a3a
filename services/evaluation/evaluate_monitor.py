"""Evaluation of one monitor from prepared inputs."""

import logging
from dataclasses import replace
from typing import Any

import msgspec

from core.schema.zone import UTC_ZONE
from monitors.detail import Detail
from monitors.evidence import Evidence
from monitors.false_alarms.decision import decide
from monitors.finding import Finding, Outcome
from monitors.kind import EvaluationContext, Inputs, MonitorKind
from monitors.local_time import in_utc, local_context, local_detail
from services.evaluation.baseline_cache import Baselines
from services.evaluation.prepare import Prepared
from services.platform_faults.outage import described, is_outage

log = logging.getLogger(__name__)


def evaluate(prepared: Prepared, context: EvaluationContext, baselines: Baselines) -> Finding:
    """Evaluate one monitor. One that fails has the outcome `error`, and stops no other.

    An outage is no outcome: it is raised, and the whole slot is evaluated later.
    """
    try:
        return _evaluate(prepared, context, baselines)
    except Exception as error:
        if is_outage(error):
            raise
        log.exception("monitor %s failed", prepared.monitor_id)
        return context.without_verdict(Outcome.ERROR, described(error))


def _evaluate(prepared: Prepared, context: EvaluationContext, baselines: Baselines) -> Finding:
    if prepared.error is not None:
        raise prepared.error
    if prepared.rolled_up:
        return context.no_data(prepared.rolled_up)
    kind, params = prepared.kind, prepared.params
    assert kind is not None
    fit, fitted = kind.fit, None
    if fit is not None and prepared.key is not None:
        fitted = baselines.of(prepared.key, lambda: fit(params, prepared.reference))
    elif fit is not None and kind.needs_reference:
        return concluded(context.no_data("the champion has no reference"), kind, context)
    zone = UTC_ZONE if kind.takes_utc else context.zone
    inputs = Inputs(
        context=context if kind.takes_utc else local_context(context),
        values=prepared.values,
        fitted=fitted,
        state=None
        if kind.state is None or prepared.before is None
        else kind.state(local_detail(prepared.before, zone)),
    )
    return in_utc(concluded(kind.evaluate(params, inputs), kind, inputs.context), zone)


def concluded(
    found: Finding | Evidence, kind: MonitorKind[Any, Any], context: EvaluationContext
) -> Finding:
    """Decide on evidence by the model's false-alarm budget; a finding stays what it is.

    Raises
    ------
    TypeError, ValidationError
        If the detail is not what the kind declares.
    """
    if isinstance(found, Evidence):
        found = decide(found, context.policy.days_between_false_alarms, context.n_sharing)
    if type(found.detail) not in (Detail, kind.detail):
        raise TypeError(f"expected a {kind.detail.__name__} as detail of kind {kind.name!r}")
    return replace(found, detail=msgspec.convert(found.detail.to_json(), kind.detail))
