"""Bias and spread of errors by horizon bucket, over the last days with labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session

from core.schema import task
from core.schema.contract import Contract
from db.queries import summaries
from monitors.summaries.summary import Floats
from services.labels.error_days import ErrorDay, newest_labelled
from services.read_models.overview.accuracy import week_until
from tasks import horizon_buckets, residual_sums
from tasks.residual_sums import RESIDUALS


@dataclass(frozen=True, slots=True, kw_only=True)
class PartErrors:
    """The errors of one part of a target's horizon, of what one version served.

    Attributes
    ----------
    part
        Target and steps ahead, such as `load+5..16`.
    n
        Labelled values.
    bias
        Mean of forecast minus label, in units of the version's scaler.
    error
        Mean absolute, or squared, error; the part of a class in the Brier score.
    too_high
        The share of forecasts that were not too low, 0 to 1.
    far_off
        The share that was off by a whole unit and more.
    """

    version: str
    part: str
    n: int
    bias: float
    error: float
    too_high: float
    far_off: float


def by_part(
    session: Session, model_id: UUID, contract: Contract, rows: Sequence[ErrorDay]
) -> tuple[PartErrors, ...]:
    """Return the errors of what each version served in the last week with labels.

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
    tuple of PartErrors
        Empty where no day of that week was joined since errors are kept with
        their sign. Parts without a label are left out.
    """
    newest, is_squared = newest_labelled(rows), task.of(contract).is_squared
    if newest is None:
        return ()
    totals: dict[str, Floats] = {}
    losses: dict[str, Floats] = {}
    for row in summaries.rows(session, [RESIDUALS], model_id, [week_until(newest)]):
        version, day = row.version, RESIDUALS.from_bytes(row.payload)
        loss = residual_sums.squared(day) if is_squared else day[:, residual_sums.ABSOLUTE]
        totals[version] = totals[version] + day if version in totals else day
        losses[version] = losses[version] + loss if version in losses else loss
    names = horizon_buckets.names(contract.targets, contract.horizon)
    return tuple(
        _part(version, name, own, float(loss))
        for version, total in sorted(totals.items())
        for name, own, loss in zip(names, total, losses[version], strict=True)
        if own[residual_sums.N].any()
    )


def _part(version: str, name: str, total: Floats, loss: float) -> PartErrors:
    n = float(total[residual_sums.N].sum())
    far = residual_sums.SIZES.index(1.0) + 1
    low, high = total[residual_sums.LOW], total[residual_sums.HIGH]
    return PartErrors(
        version=version,
        part=name,
        n=int(n),
        bias=float(total[residual_sums.SUM].sum() / n),
        error=loss / n,
        too_high=float(high.sum() / n),
        far_off=float(np.sum([low[far:], high[far:]]) / n),
    )
