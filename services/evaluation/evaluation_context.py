"""All that the monitors of one model look at, at the end of one event day."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from math import ceil
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.policy import Policy
from core.schema.contract import Contract
from core.schema.rows import REFERENCE
from core.window import Window
from db.queries import models, summaries
from db.tables import AccuracyChunk, Model, SummaryChunk, Version
from monitors.performance.accuracy import DayErrors, VersionErrors
from monitors.summaries import serialization, summary
from monitors.summaries.hourly import Hourly, hourly
from monitors.summaries.input_history import Counted
from monitors.summaries.summary import Edges
from services.aggregation.error_sums import EXPECTED, LABELLED, loss_column, n_classes

DAY = timedelta(days=1)
RECENT_DAYS = 36  # five weeks and a day: what the longest look back of a monitor needs


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One model at one moment of its own clock.

    Attributes
    ----------
    champion
        The serving version's name; None before the first.
    reference
        The input that the champion was trained on, bounded; None when unknown.
    widest_reference
        The longest reference of any version: what a sensor may look like.
    objective
        The standardised error that accuracy is held to.
    recent, counted
        The last five weeks and a day of input: numbers on a grid of hours, and
        all that is kept of them.
    revisions
        How often rows came late into each reference: what was learnt from it
        before is out of date.
    n_total
        How many features `recent` has of all segments together, where those of
        each segment lie behind them; None where they do not.
    """

    model_id: str
    contract: Contract
    policy: Policy
    as_of: datetime
    watermark: datetime
    champion: str | None
    reference: Window | None
    widest_reference: Window | None
    objective: float | None
    recent: Hourly
    counted: Counted
    revisions: Mapping[Window, int] = field(default_factory=dict)
    n_total: int | None = None

    @property
    def last_day(self) -> Window:
        """The event day that has just closed."""
        return Window(self.as_of - DAY, self.as_of)


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """Which version served when a day was judged, and when that was (wall time)."""

    champion: str | None
    known_at: datetime


def load(session: Session, model: Model, as_of: datetime, past: Past | None = None) -> Scene:
    """Read what every monitor needs; the rest is read by the monitor that needs it.

    Parameters
    ----------
    session
        The open transaction.
    model
        Whose scene.
    as_of
        The end of the event day.
    past
        Whom to look at when not at what serves now.
    """
    versions = models.versions(session, model.id)
    if past is None:
        found = models.champion(session, model.id)
        champion = found[1] if found else None
    else:
        champion = next((v for v in versions if v.name == past.champion), None)
        versions = [v for v in versions if v.created_at <= past.known_at or v is champion]
    contract = Contract.from_json(model.contract)
    references = [window for v in versions if (window := bounds(v))]
    assert model.watermark is not None
    window = lately(as_of)
    counted = counted_of(session, model, window)
    return Scene(
        model_id=str(model.id),
        contract=contract,
        policy=Policy.from_json(model.policy),
        as_of=as_of,
        watermark=model.watermark,
        champion=champion.name if champion else None,
        reference=bounds(champion) if champion else None,
        widest_reference=max(references, key=lambda w: w.end - w.start, default=None),
        objective=champion.objective if champion else None,
        recent=on_hours(counted, window),
        counted=counted,
        revisions=revisions(versions),
    )


def lately(as_of: datetime) -> Window:
    """Return the days that monitors look back on."""
    return Window(as_of - RECENT_DAYS * DAY, as_of)


def revisions(versions: Iterable[Version]) -> dict[Window, int]:
    """Return how often rows came late into each reference."""
    found: dict[Window, int] = {}
    for version in versions:
        window = bounds(version)
        if window is not None:
            found[window] = max(found.get(window, 0), version.reference_rev)
    return found


def champion_name(session: Session, model_id: UUID) -> str | None:
    """Return the name of the version that serves; None before the first."""
    found = models.champion(session, model_id)
    return found[1].name if found else None


def bounds(version: Version) -> Window | None:
    """Return the reference window of a version, when it has one."""
    if version.reference_start is None or version.reference_end is None:
        return None
    return Window(version.reference_start, version.reference_end)


def input_of(session: Session, model: Model, window: Window) -> Hourly:
    """Read the input of all versions in a window, hour by hour."""
    return on_hours(counted_of(session, model, window), window)


def on_hours(counted: Counted, window: Window) -> Hourly:
    """Lay the numbers of a window on a grid of hours."""
    # The code of a category is no measurement: it is counted, and never too high or too low.
    edges, numbers = counted.of(counted.measured)
    return hourly(numbers, edges.names, window.start, window.end)


def counted_of(session: Session, model: Model, window: Window) -> Counted:
    """Read what is kept of the input of all versions in a window."""
    blobs = session.scalars(
        select(SummaryChunk.payload).where(
            SummaryChunk.model_id == model.id,
            SummaryChunk.start >= window.start,
            SummaryChunk.start < window.end,
        )
    ).all()
    contract = Contract.from_json(model.contract)
    edges = summaries.edges(session, model.id)
    if edges is None:
        edges = Edges(names=contract.measured, values=np.empty((len(contract.measured), 0)))
    n_known, n_bins = len(edges.names), edges.values.shape[-1] + 1
    seen = serialization.from_many(blobs) if blobs else summary.empty(n_known, n_bins)
    kept = {feature.name for feature in contract.kept}
    return Counted(
        edges=edges,
        measured=tuple(i for i, name in enumerate(edges.names) if name in contract.measured),
        kept=tuple(i for i, name in enumerate(edges.names) if name in kept),
        summary=summary.widen(seen, n_known),
    )


def matured(scene: Scene) -> date:
    """Return the first day whose forecasts need not have all their labels yet."""
    reach = scene.contract.horizon * scene.contract.step + scene.policy.label_delay
    return (scene.as_of - ceil(reach / DAY) * DAY).date()


def errors(session: Session, scene: Scene, model: Model, n_days: int) -> DayErrors:
    """Read the champion's errors on the last `n_days` days whose labels are due.

    Those of other versions that served lie beside them: a challenger's errors are not the
    champion's. Before there is a champion, all that served count.
    """
    end = matured(scene)
    days = tuple(end - timedelta(days=back) for back in range(n_days, 0, -1))
    shape = (n_days, scene.contract.horizon)
    sums = np.zeros(shape)
    n_labelled = np.zeros(shape, dtype=np.int64)
    n_expected = np.zeros(shape, dtype=np.int64)
    others: dict[str, tuple[float, int, int]] = {}
    loss, n = loss_column(scene.contract), n_classes(scene.contract)
    rows = session.scalars(
        select(AccuracyChunk).where(
            AccuracyChunk.model_id == model.id,
            AccuracyChunk.day >= days[0],
            AccuracyChunk.day < end,
            AccuracyChunk.shadow.is_(False),
            AccuracyChunk.version != REFERENCE,
        )
    )
    for row in rows:
        cells = accuracy_cells(row, scene.contract)
        if scene.champion is not None and row.version != scene.champion:
            before, own = others.get(row.version, (0.0, 0, 0)), cells.sum(axis=(0, 1))
            others[row.version] = (
                before[0] + n * float(own[loss]),
                before[1] + int(own[LABELLED]),
                before[2] + int(own[EXPECTED]),
            )
            continue
        at = days.index(row.day)
        sums[at] += n * cells[:, :, loss].sum(axis=1)
        n_labelled[at] += cells[:, :, LABELLED].sum(axis=1).astype(np.int64)
        n_expected[at] += cells[:, :, EXPECTED].sum(axis=1).astype(np.int64)
    return DayErrors(
        days=days,
        sums=sums,
        n_labelled=n_labelled,
        n_expected=n_expected,
        others={name: VersionErrors(*of) for name, of in sorted(others.items())},
        is_brier=scene.contract.is_classifier,
    )


def accuracy_cells(row: AccuracyChunk, contract: Contract) -> NDArray[np.float64]:
    """Return the stored sums, shape (step, target, 5)."""
    flat = np.frombuffer(row.payload, dtype=np.float64)
    return flat.reshape(contract.horizon, len(contract.targets), 5)
