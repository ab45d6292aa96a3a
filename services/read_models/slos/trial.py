"""A definition of an SLO tried on what a model has served: linter and backtest."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from core.durations import DAY, HOUR
from core.window import Window
from db.tables import Model
from monitors import registry
from monitors.kinds.burn_rate import slices
from monitors.slo.history import slice_at
from monitors.slo.objective import BurnRateParams
from monitors.slo.trial import backtest as backtests
from monitors.slo.trial.backtest import TierEpisode
from monitors.slo.trial.linter import Lint, lint
from services.evaluation.by_clock import sli_rows
from services.models.slo_corrections import SLO

TRAFFIC_OF = 7 * DAY
LONGEST = 90 * DAY
_BEFORE = 3 * DAY + HOUR  # the longest window of a tier


@dataclass(frozen=True, slots=True, kw_only=True)
class SloBacktest:
    """Which tiers would have fired in some event time; not those of the budget as a whole."""

    window: Window
    episodes: tuple[TierEpisode, ...]


def parsed(params: Mapping[str, object]) -> BurnRateParams:
    """Return the parameters of an SLO, checked.

    Raises
    ------
    Unprocessable
        Naming what is wrong.
    """
    found: BurnRateParams = registry.parse(SLO, params)
    return found


def linted(session: Session, model_id: UUID, params: BurnRateParams, now: datetime) -> Lint:
    """Return what a definition can find at the traffic of the newest week."""
    model = session.get_one(Model, model_id)
    at = min(now, model.watermark or now)
    source = replace(slices(params), back=TRAFFIC_OF)
    history, _ = sli_rows.read(session, model, source, at)
    if history.ends.size < 2:
        return lint(params, None)
    first = max(int(history.ends[1]) - 1, slice_at(at - TRAFFIC_OF))
    n = sum(history.within(first, history.end))
    return lint(params, n / max((history.end - first) / 360, 1 / 360))


def backtested(
    session: Session, model_id: UUID, params: BurnRateParams, days: int, now: datetime
) -> SloBacktest:
    """Return which tiers would have fired in the newest days, as rows are known now."""
    model = session.get_one(Model, model_id)
    at = min(now, model.watermark or now)
    window = Window(at - days * DAY, at + HOUR)
    source = replace(slices(params), back=days * DAY + _BEFORE)
    history, _ = sli_rows.read(session, model, source, at)
    return SloBacktest(
        window=window, episodes=tuple(backtests.backtest(history, params, window))
    )
