"""The extension point for templates: what a kind declares, and what its implementation does.

A template is one module that ends in `KIND = TemplateKind(...)`, registered in the entry point
group `seqwatch.templates` under its name. `retrain/templates/` holds ours. That module imports
no PyTorch, because the API lists it: `load` imports what trains when a training begins.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from core import plugins
from core.errors import ForeignArtifact
from core.plugins import Registry
from core.schema.contract import Contract
from retrain.artifact_header import declared_format
from retrain.plan import Sizes
from retrain.windows import Floats, Windows

F = TypeVar("F")
P = TypeVar("P")
P_contra = TypeVar("P_contra", contravariant=True)

Predict: TypeAlias = Callable[[Floats], Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """Progress of a training. Errors are mean absolute, standardised; None where unknown."""

    number: int
    training_error: float | None = None
    validation_error: float | None = None
    learning_rate: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingSet:
    """Series, and the windows of them that a template learns from and validates on.

    Attributes
    ----------
    inputs, targets : (entity, step, channel)
        In the unit of the readings, channels in the order of the contract's features. NaN
        where an input was not logged, a label has not arrived, or a channel is no target.
    learn, validate
        Windows without a NaN input and with a target; those to validate on are later.
    sizes
        Steps of the input, of the horizon and of a day.
    """

    inputs: Floats
    targets: Floats
    learn: Windows
    validate: Windows
    sizes: Sizes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FitRun(Generic[F]):
    """How one training runs.

    Attributes
    ----------
    seed
        Same seed, data and base: same artifact, on the same machine.
    max_seconds
        Stop after the epoch in which this much time has passed.
    checkpoints
        A folder of this training alone. A training that was killed continues from it, with
        the result of one that was not; a checkpoint of other data is not used. None: start
        from nothing.
    base
        The champion, where it is of this template: start from its weights.
    on_progress
        Called after each epoch; may raise to stop the training.
    """

    seed: int = 0
    max_seconds: float = 1800.0
    checkpoints: Path | None = None
    base: F | None = None
    on_progress: Callable[[Epoch], None] = lambda _: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained(Generic[F]):
    """What a training has made, and how.

    Attributes
    ----------
    fitted
        With the weights of the epoch that validated best.
    n_windows
        That were learned from.
    seconds
        Wall time, that of the attempts before a kill included.
    """

    fitted: F
    epochs: tuple[Epoch, ...]
    n_windows: int
    seconds: float

    @property
    def validation_error(self) -> float | None:
        """The error of the weights that were kept; None where no epoch reported one."""
        errors = [one.validation_error for one in self.epochs]
        return min((error for error in errors if error is not None), default=None)


class Template(Protocol[P_contra, F]):
    """The implementation of a template."""

    def fit(self, params: P_contra, data: TrainingSet, run: FitRun[F]) -> Trained[F]:
        """Train; raises Unprocessable for too little data, or when training diverges."""
        ...

    def predict(self, fitted: F, contexts: Floats) -> Floats:
        """Return forecasts (batch, horizon, channel) of contexts (batch, input, channel).

        Both in the unit of the readings; NaN where a context has one. Raises ValueError for
        contexts of another shape.
        """
        ...

    def encode(self, fitted: F) -> bytes:
        """Return a safetensors artifact; what is equal gives equal bytes.

        Entry `seqwatch` of its metadata is JSON with the `format` of the template.
        """
        ...

    def decode(self, content: bytes, sha256: str) -> F:
        """Load an artifact; raises ForeignArtifact for what cannot be used, with the reason."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateKind(Generic[P]):
    """One template: a network, or another forecaster, that the platform can train.

    Attributes
    ----------
    name
        As in a policy, and of its entry point.
    question
        What it is, for people.
    params
        A frozen dataclass; each field has a default, `__post_init__` raises ValueError.
    format
        Of its artifacts, of no other template: it finds the template of a version.
    refuses
        Why it cannot forecast a model of this contract; empty where it can.
    load
        Imports and returns the implementation.
    """

    name: str
    question: str
    params: type[P]
    format: str
    refuses: Callable[[P, Contract], Sequence[str]]
    load: Callable[[], Template[P, Any]]

    def parse(self, given: Mapping[str, object]) -> P:
        """Read the parameters; what is absent takes its default.

        Raises
        ------
        Unprocessable
            Naming the parameter that is unknown, of the wrong type or impossible.
        """
        parsed: P = plugins.parse(f"template {self.name!r}", self.params, given)
        return parsed


TEMPLATES = Registry[TemplateKind[Any]]("seqwatch.templates", "template", TemplateKind)


def of_format(name: str | None) -> TemplateKind[Any] | None:
    """Return the template that can read artifacts of a format; None where none is installed."""
    return next((kind for kind in TEMPLATES if kind.format == name), None)


def of_artifact(content: bytes) -> TemplateKind[Any]:
    """Return the template that can read an artifact.

    Raises
    ------
    ForeignArtifact
        If it is no safetensors file, or no installed template has its format.
    """
    found = declared_format(content)
    kind = of_format(found)
    if kind is None:
        known = ", ".join(repr(one.format) for one in TEMPLATES)
        raise ForeignArtifact(
            f"its format is {found!r}, which no installed template reads; known: {known}"
        )
    return kind


def predictor(content: bytes, sha256: str) -> Predict:
    """Return the forecast function of an artifact, by the template of its format.

    Raises
    ------
    ForeignArtifact
        If no installed template can read it.
    """
    template = of_artifact(content).load()
    return partial(template.predict, template.decode(content, sha256))


def forecasts_own_inputs(contract: Contract) -> list[str]:
    """Return why a template that forecasts its own numeric inputs cannot train a model.

    Examples
    --------
    >>> from core.durations import MINUTE
    >>> from core.schema.feature import Feature
    >>> forecasts_own_inputs(Contract(features=(Feature(name="x"),), targets=("y",),
    ...     step=MINUTE, input_length=1, horizon=1))
    ['the template forecasts its own inputs; not among them: y']
    """
    reasons = []
    if contract.task != "forecast":
        reasons.append(f"the template is not for task {contract.task!r}")
    elif missing := sorted({*contract.targets} - {*contract.feature_names}):
        names = ", ".join(missing)
        reasons.append(f"the template forecasts its own inputs; not among them: {names}")
    if others := sorted({*contract.feature_names} - {*contract.measured}):
        names = ", ".join(others)
        reasons.append(f"the template takes numbers that are kept; not so: {names}")
    return reasons
