"""The extension point for tasks: what a model predicts, and how good that was.

A task is one module that ends in `TASK = Task(...)`, registered in the entry point group
`seqwatch.tasks` under its name. `tasks/` holds ours.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa

from core.arrays import Bools, Floats
from core.errors import NotInstalled, Unprocessable
from core.plugins import Registry
from core.schema.contract import Contract
from core.schema.feature import Feature
from core.streams import Stream

EXPECTED, LABELLED, LOSS, NAIVE = range(4)  # the first sums of a cell; a task's own follow
N_SUMS = 4


class LabelKey(StrEnum):
    """By what a label names its prediction.

    `target_at` is an entity and the time that the label is about; `interval` an entity, from
    when (`target_at`) and until when (`target_end`, excluded) it holds; `session_step` a
    session and the index of a step.
    """

    PREDICTION_ID = "prediction_id"
    TARGET_AT = "target_at"
    SESSION_STEP = "session_step"
    INTERVAL = "interval"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a label that hold it."""
        return _KEY_COLUMNS[self]


_KEY_COLUMNS = {
    LabelKey.PREDICTION_ID: ("prediction_id",),
    LabelKey.TARGET_AT: ("entity", "target_at"),
    LabelKey.SESSION_STEP: ("session_id", "step_index"),
    LabelKey.INTERVAL: ("entity", "target_at", "target_end"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What the loss of a task is called, and how it is written.

    Attributes
    ----------
    name
        Such as "error": "error 0.412 SD over 7 days".
    unit
        Behind the number; "" of what has none.
    digits
        Behind the point.
    meaning
        For people: how the loss of many predictions comes about.
    """

    name: str
    unit: str = ""
    digits: int = 3
    meaning: str = ""

    def text(self, value: float) -> str:
        """Return a loss with its unit.

        Examples
        --------
        >>> Measure(name="error", unit="SD").text(0.41234)
        '0.412 SD'
        """
        return f"{value:.{self.digits}f} {self.unit}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Units:
    """In what a version's errors are counted.

    Attributes
    ----------
    std : (target,)
        The version's scaler: an error of 1 is one standard deviation of what it was trained
        on. Ones where it states none.
    season_steps
        The naive forecast repeats what happened so many steps ago.
    """

    std: Floats
    season_steps: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Matched:
    """Some predictions of one version beside their labels, in the order of `rows`.

    Attributes
    ----------
    rows
        The predictions, with `at` and `output`.
    predicted, actual, naive : (prediction, step, target)
        Numbers of the output, of the label, and of the label a season before; NaN where
        there is none. Empty where lists are compared (`Task.compares_lists`).
    labels : (prediction,)
        The labels as they came, null where there is none; where lists are compared.
    """

    rows: pa.Table
    predicted: Floats
    actual: Floats
    naive: Floats
    labels: pa.StructArray | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scored:
    """Losses of some predictions, cell by cell; a cell may count several values.

    Attributes
    ----------
    expected, labelled : (prediction, step, target)
        How many values there are, and of how many the label is known.
    loss : (prediction, step, target)
        Summed over the labelled ones.
    naive, compared : (prediction, step, target)
        The naive baseline's loss, and of how many values it is known beside a prediction.
    sums : (prediction, step, target) each
        What `Task.sums` names, in its order.
    usable : (prediction,)
        Whether the output is whole: one that is not counts as failed in a canary.
    error : (prediction, step, target)
        Signed, in units; NaN where no label is in. None where the task has no sign.
    """

    expected: Floats | Bools
    labelled: Floats | Bools
    loss: Floats
    naive: Floats
    compared: Floats | Bools
    usable: Bools
    sums: tuple[Floats, ...] = ()
    error: Floats | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelStream:
    """A further stream of summaries that a task fills where predictions meet their labels.

    Attributes
    ----------
    stream
        A row holds one event day of what one version served.
    sums
        Returns the sums of some predictions; those of two parts of a day add up.
    """

    stream: Stream[Floats]
    sums: Callable[[Matched, Scored], Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A figure of accuracy that follows from the sums of any days.

    Attributes
    ----------
    of
        Takes sums over predictions, steps and targets by name (`expected`, `labelled`, `loss`,
        `naive`, and the task's own); at least one value is labelled. None where undefined.
    """

    name: str
    unit: str
    of: Callable[[Mapping[str, float]], float | None]


def horizon_cells(contract: Contract) -> tuple[int, int]:
    """Return the steps and targets of what is predicted: a cell for each."""
    return contract.horizon, len(contract.targets)


def accepts_any(_: Contract) -> Sequence[str]:
    """Accept every contract."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a kind of model predicts.

    Attributes
    ----------
    name
        As in a contract, and of its entry point.
    question
        What such a model answers, for people.
    output, label
        The lists of a prediction and of a label, declared as features are: numbers or texts,
        of one length or of any, with range or vocabulary.
    score
        Returns the losses of predictions beside their labels; a proper loss [1]_, one that no
        prediction but the true belief makes least.
    measure
        What the loss is called.
    refuses
        Why a contract does not fit; empty where it does.
    compares_lists
        Outputs and labels are compared as lists, of texts or of any length. Else both are
        numbers at fixed steps, which are laid out by their target times.
    cells
        Steps and targets for which losses are kept apart.
    keys
        By what a label may name its prediction. An interval is for numbers at fixed steps.
    is_summed
        The loss of a prediction is the sum over its targets, not the mean.
    is_bounded
        The loss has an upper bound, which the canary's verdict makes use of.
    is_squared
        The loss is the square of the signed error, not its magnitude.
    sums
        Names of what else is summed of each cell.
    metrics
        Figures that follow from the sums.
    streams
        Further summaries of predictions beside their labels.
    monitors
        Kinds of monitors that a new model begins with, by registered name.

    References
    ----------
    .. [1] T. Gneiting and A. E. Raftery, "Strictly proper scoring rules, prediction, and
       estimation", JASA 102(477), 2007, pp. 359-378.
    """

    name: str
    question: str
    output: Callable[[Contract], tuple[Feature, ...]]
    label: Callable[[Contract], tuple[Feature, ...]]
    score: Callable[[Contract, Units, Matched], Scored]
    measure: Measure
    refuses: Callable[[Contract], Sequence[str]] = accepts_any
    compares_lists: bool = False
    cells: Callable[[Contract], tuple[int, int]] = horizon_cells
    keys: frozenset[LabelKey] = field(
        default=frozenset({LabelKey.PREDICTION_ID, LabelKey.TARGET_AT})
    )
    is_summed: bool = False
    is_bounded: bool = False
    is_squared: bool = False
    sums: tuple[str, ...] = ()
    metrics: tuple[Metric, ...] = ()
    streams: tuple[LabelStream, ...] = ()
    monitors: tuple[str, ...] = ("accuracy",)

    def n_summed(self, contract: Contract) -> int:
        """Return by what a mean loss over cells is multiplied to be that of a prediction."""
        return self.cells(contract)[1] if self.is_summed else 1


def scored(contract: Contract, units: Units, matched: Matched) -> Scored:
    """Return the losses of a contract's task, checked: a plug-in's error must not be counted.

    Raises
    ------
    ValueError
        If they are of another shape than the predictions, not finite, negative, or of more
        values than there are.
    """
    task = of(contract)
    for values in (matched.predicted, matched.actual, matched.naive):
        values.flags.writeable = False
    found = task.score(contract, units, matched)
    if not isinstance(found, Scored):
        raise TypeError(f"task {task.name!r}: score returned no Scored")
    shape = (matched.rows.num_rows, *task.cells(contract))
    names = ("expected", "labelled", "loss", "naive", "compared")
    sums = [(name, getattr(found, name)) for name in names]
    sums += zip(task.sums, found.sums, strict=True)
    for name, values in sums:
        if np.shape(values) != shape:
            raise ValueError(
                f"task {task.name!r}: {name} has shape {np.shape(values)}, not {shape}"
            )
        if not np.isfinite(values).all():
            raise ValueError(f"task {task.name!r}: {name} is not finite")
    if np.shape(found.usable) != shape[:1]:
        raise ValueError(f"task {task.name!r}: usable has not one value a prediction")
    if min(found.loss.min(initial=0.0), found.naive.min(initial=0.0)) < 0:
        raise ValueError(f"task {task.name!r}: a loss is negative")
    if (np.asarray(found.labelled, dtype=float) > found.expected).any():
        raise ValueError(f"task {task.name!r}: more is labelled than expected")
    return found


TASKS = Registry[Task]("seqwatch.tasks", "task", Task)


def check(contract: Contract) -> None:
    """Refuse a contract whose task is not known, or does not fit.

    Raises
    ------
    Unprocessable
        Naming the tasks there are, or what does not fit.
    """
    reasons = TASKS.find(contract.task).refuses(contract)
    if reasons:
        raise Unprocessable(f"contract: task {contract.task}: {'; '.join(reasons)}")


def stored(name: str) -> Task:
    """Return the task of a model that exists already.

    Where its plug-in is unavailable, or was uninstalled, a stand-in that has the cells of the
    contract and refuses all else with the reason.
    """
    return TASKS.get(name) or _unavailable(name)


def of(contract: Contract) -> Task:
    """Return the task of a contract, as `stored`."""
    return stored(contract.task)


def has_stream(contract: Contract, stream: Stream[Any]) -> bool:
    """Return whether the task of a contract fills a stream."""
    return any(each.stream is stream for each in of(contract).streams)


def _unavailable(name: str) -> Task:
    why = TASKS.unavailable.get(name, "no such plug-in is installed")

    def fail(*_: Any) -> NoReturn:
        raise NotInstalled(f"task {name!r} is unavailable: {why}")

    return Task(
        name=name,
        question=f"unavailable: {why}",
        output=fail,
        label=fail,
        score=fail,
        measure=Measure(name="loss", meaning=f"task {name} is unavailable"),
        refuses=fail,
    )
