"""Reliability tables of classes, over the last days with labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from uuid import UUID

from sqlalchemy.orm import Session

from core.schema.contract import Contract
from core.schema.task import has_stream
from db.queries import summaries
from monitors.performance.reliability import Bin, overall, squared_error, table
from monitors.summaries.summary import Floats
from services.labels.error_days import ErrorDay, newest_labelled
from services.read_models.overview.accuracy import week_until
from tasks import calibration_sums
from tasks.calibration_sums import CALIBRATION


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassReliability:
    """What one version claimed of one class, and what happened.

    Attributes
    ----------
    name
        The class.
    n
        Probabilities with a label.
    predicted, observed
        Their mean, and how often it happened.
    error
        The root of the mean square of how far claims are from what happened, bin by
        bin, less what chance adds; 0 where chance explains all of it. None where
        no bin has two labels.
    bins
        The reliability table.
    """

    version: str
    name: str
    n: int
    predicted: float
    observed: float
    error: float | None
    bins: tuple[Bin, ...]


def by_class(
    session: Session, model_id: UUID, contract: Contract, rows: Sequence[ErrorDay]
) -> tuple[ClassReliability, ...]:
    """Return what each version claimed in the last week with labels.

    Parameters
    ----------
    session
        The open transaction.
    model_id, contract
        The model.
    rows
        Days that were joined: they define the week.

    Returns
    -------
    tuple of ClassReliability
        Empty where the targets are no classes, and where no day of that week was
        joined since claims are kept. Classes without a label are left out.
    """
    newest = newest_labelled(rows)
    if newest is None or not has_stream(contract, CALIBRATION):
        return ()
    totals: dict[str, Floats] = {}
    for row in summaries.rows(session, [CALIBRATION], model_id, [week_until(newest)]):
        version, day = row.version, CALIBRATION.from_bytes(row.payload)
        totals[version] = totals[version] + day if version in totals else day
    return tuple(
        _reliability(version, name, own)
        for version, total in sorted(totals.items())
        for name, own in zip(contract.targets, total, strict=True)
        if own[calibration_sums.N].any()
    )


def _reliability(version: str, name: str, total: Floats) -> ClassReliability:
    predicted, observed = overall(total)
    square = float(squared_error(total))
    return ClassReliability(
        version=version,
        name=name,
        n=int(total[calibration_sums.N].sum()),
        predicted=float(predicted),
        observed=float(observed),
        error=max(square, 0.0) ** 0.5 if isfinite(square) else None,
        bins=table(total),
    )
