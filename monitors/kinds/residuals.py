"""Residuals: bias, spread and autocorrelation of the errors."""

from monitors.finding import Finding
from monitors.kind import Inputs, MonitorKind, by_any
from monitors.performance import residuals
from monitors.performance.residuals import ResidualDetail, ResidualParams
from monitors.show import Cell, CellKind, Column, Table, View
from monitors.sources import Residuals


def evaluate(params: ResidualParams, inputs: Inputs) -> Finding:
    """Evaluate the last labelled window against the version's own labelled past."""
    past = inputs[_past(params)]
    if past is None:
        return inputs.context.no_data("no label of a forecast of the champion is due")
    return residuals.evaluate(past, params)


def _past(params: ResidualParams) -> Residuals:
    return Residuals(window_days=params.window_days, reference_days=params.reference_days)


_SHOWN = {
    "bias": "Bias",
    "sd": "Spread",
    "tail": "Root mean square / mean",
    "repeats": "Memory",
    "season": "Memory of a day",
}


def show(detail: ResidualDetail, _: float | None) -> list[View]:
    """Show the statistics of each part of the horizon, in the baseline and in the window."""
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (name, *((part.baseline.get(of), part.now.get(of)) for of in _SHOWN))
        for name, part in detail.parts.items()
    )
    columns = (
        Column(name="Steps ahead", unit=CellKind.TEXT),
        *(Column(name=name, unit=CellKind.CHANGE) for name in _SHOWN.values()),
    )
    note = (
        "Baseline → window, in units of the scaler. Memory: autocorrelation of hourly mean "
        "errors at the first observable lag, and at the first whole number of days from there."
    )
    table = Table(title="Residuals", columns=columns, rows=rows, note=note)
    return [table] if rows else []


KIND = MonitorKind(
    name="residuals",
    question="Do the errors have a pattern that they did not have?",
    params=ResidualParams,
    detail=ResidualDetail,
    sources=lambda params: [_past(params)],
    evaluate=evaluate,
    show=show,
    oks_to_resolve=7,
    is_against_reference=True,
    is_explained_by=by_any,
    runbook=lambda *_: "accuracy_loss",
)
