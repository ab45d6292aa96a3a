"""Contract violations: rows that violate the contract."""

from monitors.data_quality import contract_violations
from monitors.data_quality.contract_violations import (
    ContractViolationDetail,
    ContractViolationParams,
)
from monitors.finding import Finding
from monitors.kind import Inputs, MonitorKind
from monitors.show import CellKind, Column, Table, View
from monitors.sources import ContractViolations

_ROWS = ContractViolations()


def evaluate(params: ContractViolationParams, inputs: Inputs) -> Finding:
    """Evaluate the rows of the last day, or of one that is not over."""
    rows = inputs[_ROWS]
    return contract_violations.evaluate(
        rows.counts, params, inputs.context.last_day, is_silent=rows.is_silent
    )


def show(detail: ContractViolationDetail, _: float | None) -> list[View]:
    """Show how many rows did not fit, by reason."""
    columns = (
        Column(name="Reason", unit=CellKind.TEXT),
        Column(name="Rows", unit=CellKind.COUNT),
    )
    rows = tuple((reason.replace("_", " "), n) for reason, n in detail.by_reason.items())
    return [Table(title="Rows in quarantine", columns=columns, rows=rows)] if rows else []


KIND = MonitorKind(
    name="contract_violations",
    question="Do rows conform to the contract?",
    params=ContractViolationParams,
    detail=ContractViolationDetail,
    sources=lambda _: [_ROWS],
    evaluate=evaluate,
    show=show,
    watches_open_days=True,
    runbook=lambda *_: "preprocessing_mismatch",
)
