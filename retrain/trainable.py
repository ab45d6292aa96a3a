"""Reasons why a trainer cannot train a model."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from core.errors import Unprocessable
from core.policy import Policy
from core.schema.contract import Contract
from retrain.plan import FIRST_SHARE
from retrain.template import TEMPLATES, of_format

OBJECTIVE_DAYS = 28  # four folds, each of a week: what a first objective is derived from


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The champion that a challenger would be built upon.

    `artifact_format` is the format of its weights in its manifest.
    """

    name: str
    has_weights: bool
    artifact_format: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a training would begin with.

    Attributes
    ----------
    contract
        That of the champion, or of the model where there is none.
    base
        None for a first version.
    watermark
        The newest event; None when nothing was ever logged.
    first_event
        The hour of the oldest input that is kept in summaries, or None.
    has_labels
        Whether a label was ever received.
    """

    contract: Contract
    base: Base | None
    watermark: datetime | None
    first_event: datetime | None
    has_labels: bool


def can_retrain(material: Material, policy: Policy) -> tuple[str, ...]:
    """Return why training must fail, whatever happens; empty where a trainer can work.

    What a trainer finds later is not foretold: gaps in the input, a file of weights that
    is gone, a training that diverges.

    Examples
    --------
    >>> from core.durations import MINUTE
    >>> from core.schema.feature import Feature
    >>> contract = Contract(features=(Feature(name="x"),), targets=("y",), step=MINUTE,
    ...     input_length=1, horizon=1)
    >>> can_retrain(Material(contract=contract, base=None, watermark=None, first_event=None,
    ...     has_labels=True), Policy())[0]
    'the template forecasts its own inputs; not among them: y'
    """
    return (
        *_of_template(material.contract, policy),
        *_of_base(material.base),
        *_of_log(material, policy),
    )


def _of_template(contract: Contract, policy: Policy) -> list[str]:
    """Return why the template that the policy names cannot train, or is unavailable."""
    try:
        kind = TEMPLATES.find(policy.template)
        return [*kind.refuses(kind.parse(policy.template_params), contract)]
    except Unprocessable as error:
        return [str(error)]


def _of_base(base: Base | None) -> list[str]:
    if base is None:
        return []
    if not base.has_weights:
        return [f"the weights of {base.name} are kept elsewhere: nothing to build on"]
    if of_format(base.artifact_format) is None:
        return [
            f"{base.name} was not trained here: no installed template reads weights of the"
            f" format {base.artifact_format!r}"
        ]
    return []


def _of_log(material: Material, policy: Policy) -> list[str]:
    if material.watermark is None:
        return ["nothing was ever logged for this model: there is nothing to learn"]
    reasons = []
    if not material.has_labels:
        reasons.append("no label was ever received: there is nothing to learn from")
    if material.base is None:
        needed = _needed(material.contract)
        known = material.watermark - policy.label_delay
        first = material.first_event
        if first is None or known - first < needed:
            days = 0.0 if first is None else max((known - first) / timedelta(days=1), 0.0)
            reasons.append(
                f"the log holds {days:.1f} days whose labels are due;"
                f" a first version needs {needed / timedelta(days=1):.1f}"
            )
    return reasons


def _needed(contract: Contract) -> timedelta:
    """Return the least history in which a first version has anything to validate on."""
    steps = contract.input_length + (contract.horizon + 1) / FIRST_SHARE
    return max(steps * contract.step, timedelta(days=OBJECTIVE_DAYS))
