"""Calibration: predicted probabilities against observed frequencies."""

from monitors.finding import Finding
from monitors.kind import Inputs, MonitorKind, by_any
from monitors.performance import calibration
from monitors.performance.calibration import CalibrationDetail, CalibrationParams
from monitors.performance.reliability import Bin
from monitors.show import CellKind, Column, Line, Series, Table, View
from monitors.sources import Probabilities


def evaluate(params: CalibrationParams, inputs: Inputs) -> Finding:
    """Evaluate the last labelled window against the version's own labelled past."""
    past = inputs[_past(params)]
    if past is None:
        return inputs.context.no_data("no probability of the champion has a label that is due")
    return calibration.evaluate(past, params)


def _past(params: CalibrationParams) -> Probabilities:
    return Probabilities(window_days=params.window_days, reference_days=params.reference_days)


_SHOWN = {"bias": "Bias", "sureness": "Overconfidence", "bins": "Calibration error"}
_NOTE = (
    "Baseline → window, in probability. Overconfidence: bias of a probability one standard "
    "deviation above the mean. Calibration error: root mean square of predicted minus observed "
    "by tenths of the probability, less the part expected by chance."
)


def show(detail: CalibrationDetail, _: float | None) -> list[View]:
    """Show each class, and the reliability of the one that moved most."""
    rows = tuple(
        (
            name,
            of.predicted,
            of.observed,
            *((of.baseline.get(key), of.now.get(key)) for key in _SHOWN),
        )
        for name, of in detail.classes.items()
    )
    columns = (
        Column(name="Class", unit=CellKind.TEXT),
        Column(name="Predicted", unit=CellKind.SHARE),
        Column(name="Observed", unit=CellKind.SHARE),
        *(Column(name=name, unit=CellKind.CHANGE) for name in _SHOWN.values()),
    )
    found: list[View] = []
    if rows:
        found.append(Table(title="Calibration", columns=columns, rows=rows, note=_NOTE))
    found += [_reliability(name, of.bins) for name, of in detail.classes.items() if of.bins]
    return found


def _reliability(name: str, bins: tuple[Bin, ...]) -> Line:
    some = [each for each in bins if each.predicted is not None]
    x = tuple(each.predicted or 0.0 for each in some)
    observed = Series(name="Observed", values=tuple(each.observed for each in some))
    ideal = Series(name="Predicted", values=x, is_baseline=True)
    title = f"Reliability of {name}, by predicted probability"
    return Line(title=title, x=x, axis="value", series=(ideal, observed))


KIND = MonitorKind(
    name="calibration",
    question="Do predicted probabilities still match observed frequencies?",
    params=CalibrationParams,
    detail=CalibrationDetail,
    sources=lambda params: [_past(params)],
    evaluate=evaluate,
    show=show,
    oks_to_resolve=7,
    is_against_reference=True,
    is_explained_by=by_any,
    runbook=lambda *_: "accuracy_loss",
)
