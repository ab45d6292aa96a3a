"""Evaluation of one monitor from prepared inputs."""

import logging

from core.schema.zone import UTC_ZONE
from monitors.evidence import Evidence
from monitors.false_alarms.decision import decide
from monitors.finding import Finding, Outcome
from monitors.kind import EvaluationContext, Inputs
from monitors.local_time import in_utc, local_context, state_in_local_time
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
        return context.no_data("the champion has no reference")
    zone = UTC_ZONE if kind.takes_utc else context.zone
    inputs = Inputs(
        context=context if kind.takes_utc else local_context(context),
        values=prepared.values,
        fitted=fitted,
        state=state_in_local_time(prepared.state, zone),
    )
    return in_utc(concluded(kind.evaluate(params, inputs), inputs.context), zone)


def concluded(found: Finding | Evidence, context: EvaluationContext) -> Finding:
    """Decide on evidence by the model's false-alarm budget; a finding stays what it is."""
    if isinstance(found, Finding):
        return found
    return decide(found, context.policy.days_between_false_alarms, context.n_sharing)
