"""Context of an evaluation: model, champion, slot, references."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from core.schema.zone import Zone
from core.window import Stretches, duration
from db.queries import models
from db.queries.summary_rows import SummaryRows
from db.tables import Model, Monitor, Version
from monitors.kind import EvaluationContext, ReferenceOf
from services.models import monitor_config


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """Which version served when a day was evaluated, and when that was (wall time)."""

    champion: str | None
    known_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A model as an evaluation reads it.

    Attributes
    ----------
    versions
        Oldest first.
    champion
        The one of them that serves.
    monitors
        Those that are enabled, by name.
    rows
        Reads its summaries, each once.
    """

    model: Model
    versions: Sequence[Version]
    champion: Version | None
    monitors: Sequence[Monitor]
    rows: SummaryRows


def subject(session: Session, model_id: UUID) -> Subject:
    """Read a model with its versions and monitors."""
    model, versions, champion = models.with_versions(session, model_id)
    return Subject(
        model=model,
        versions=versions,
        champion=champion,
        monitors=monitor_config.enabled(session, model_id),
        rows=SummaryRows(session, model_id),
    )


def load(of: Subject, as_of: datetime, past: Past | None = None) -> EvaluationContext:
    """Return what every evaluation of a slot needs; the rest is read by the sources.

    Parameters
    ----------
    of
        Which model.
    as_of
        The end of the event day.
    past
        The version to evaluate, when it is not the one that serves now.
    """
    model, versions, champion = of.model, of.versions, of.champion
    if past is not None:
        champion = next((v for v in versions if v.name == past.champion), None)
        versions = [v for v in versions if v.created_at <= past.known_at or v is champion]
    edges = of.rows.edges()
    name = champion.name if champion else None
    contract = model.contract
    return EvaluationContext(
        model_id=str(model.id),
        contract=contract,
        policy=model.policy,
        as_of=as_of,
        champion=name,
        serving=name,
        references=references(versions, champion),
        objective=champion.objective if champion else None,
        revisions=revisions(versions),
        features=edges.names if edges else (),
        zone=Zone(contract.zone),
        n_sharing=max(monitor_config.n_sharing(of.monitors), 1),
    )


def references(
    versions: Iterable[Version], champion: Version | None
) -> dict[ReferenceOf, Stretches]:
    """Return what kinds are fitted on, given the versions that were known."""
    return {
        ReferenceOf.CHAMPION: () if champion is None else champion.reference,
        ReferenceOf.WIDEST: max((v.reference for v in versions), key=duration, default=()),
    }


def revisions(versions: Iterable[Version]) -> dict[Stretches, int]:
    """Return how often rows came late into each reference."""
    found: dict[Stretches, int] = {}
    for version in versions:
        own = version.reference
        found[own] = max(found.get(own, 0), version.reference_rev)
    return found


def champion_name(session: Session, model_id: UUID) -> str | None:
    """Return the name of the version that serves; None before the first."""
    found = models.champion(session, model_id)
    return found[1].name if found else None
