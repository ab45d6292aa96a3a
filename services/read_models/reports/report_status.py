"""Status and access of Evidently reports on disk."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from sqlalchemy.orm import Session

from core.errors import NotFound, Unprocessable
from core.schema.contract import Contract
from db.queries import models
from db.queries.queue import runs
from db.tables import Finding, Model, Monitor
from db.tables.queue import RunStatus
from monitors import registry
from monitors.detail import Detail
from services.alerting.alert_transitions import REPORT_JOB

# It names no feature, and is explained by the inputs that moved.
ACCURACY = "accuracy"

# A report is a program that we did not write: a browser runs it apart from everything of
# ours (no cookies, no storage, no forms), and it reaches nobody.
HEADERS = {
    "Content-Security-Policy": (
        "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; "
        "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class State(StrEnum):
    """Where the report on a finding stands."""

    NONE = "none"
    WAITING = "waiting"
    WRITING = "writing"
    RETRYING = "retrying"
    FAILED = "failed"
    WRITTEN = "written"
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportNow:
    """Where the report on a finding stands.

    Attributes
    ----------
    why
        What went wrong the last time, or why there can be none.
    """

    state: State
    why: str = ""

    @property
    def may_be_asked_for(self) -> bool:
        """Whether asking would change anything."""
        return self.state in (State.NONE, State.FAILED)

    @property
    def is_on_its_way(self) -> bool:
        """Whether a worker has yet to write it."""
        return self.state in (State.WAITING, State.WRITING, State.RETRYING)


def path_of(root: Path, model_id: UUID, finding_id: UUID) -> Path:
    """Return where the report on a finding lies, once it is written."""
    return root / str(model_id) / f"{finding_id}.html"


def visible(session: Session, finding_id: UUID, only: UUID | None) -> Finding:
    """Return a finding.

    Raises
    ------
    NotFound
        If there is no such finding of a model that the reader may see.
    """
    finding = session.get(Finding, finding_id)
    if finding is None or only not in (None, finding.model_id):
        raise NotFound(f"no finding {finding_id}")
    return finding


def locate(session: Session, root: Path, finding_id: UUID, only: UUID | None) -> Path:
    """Return the report on a finding.

    Raises
    ------
    NotFound
        If there is no such finding of a model that the reader may see, or no
        report on it (yet).
    """
    finding = visible(session, finding_id, only)
    path = path_of(root, finding.model_id, finding_id)
    if not path.is_file():
        raise NotFound(
            f"no report on finding {finding_id}: one is written when an alert of drift fires, "
            "or on request, and takes a moment"
        )
    return path


def columns_of(contract: Contract, detail: Detail, kind: str = "") -> tuple[str, ...]:
    """Return the numbers that a finding names, the worst first.

    One of accuracy names none, and may be about any: all then.

    Examples
    --------
    >>> from core.durations import HOUR
    >>> from core.schema.feature import Feature
    >>> from monitors.detail import FeatureScore, ScoreDetail
    >>> grid = Contract(
    ...     features=(Feature(name="load"),), targets=("load",),
    ...     step=HOUR, input_length=96, horizon=24,
    ... )
    >>> scores = {"load": FeatureScore(score=1.0), "gone": FeatureScore(score=2.0)}
    >>> columns_of(grid, ScoreDetail(features=scores))
    ('load',)
    """
    if kind == ACCURACY:
        return contract.measured
    named = (each.feature for each in detail.implicated_features)
    return tuple(name for name in named if name in contract.measured)


def status_of(session: Session, root: Path, finding: Finding) -> ReportNow:
    """Return the state of the report on a finding."""
    if path_of(root, finding.model_id, finding.id).is_file():
        return ReportNow(state=State.WRITTEN)
    run = runs.newest(session, REPORT_JOB, str(finding.id))
    # One that is done without a file was written, and removed by somebody since.
    if run is None or run.status is RunStatus.DONE:
        lacks = _lacks(session, finding)
        return ReportNow(state=State.IMPOSSIBLE if lacks else State.NONE, why=lacks)
    if run.status is RunStatus.DEAD:
        return ReportNow(state=State.FAILED, why=run.error or "")
    if run.status is RunStatus.RUNNING:
        return ReportNow(state=State.WRITING)
    return ReportNow(state=State.RETRYING if run.error else State.WAITING, why=run.error or "")


def ask(session: Session, root: Path, finding: Finding, now: datetime) -> ReportNow:
    """Have a report written, unless there is one or it is on its way.

    Parameters
    ----------
    session
        Whose transaction asks.
    root
        Where the reports lie.
    finding
        Of any monitor that names features.
    now
        Wall time.

    Returns
    -------
    ReportNow
        Where it stands now.

    Raises
    ------
    Unprocessable
        If there can be none; the message holds the reason.
    """
    seen = status_of(session, root, finding)
    lacks = _lacks(session, finding)
    if seen.state is not State.WRITTEN and lacks:
        raise Unprocessable(f"no report on finding {finding.id}: {lacks}")
    if not seen.may_be_asked_for:
        return seen
    runs.ask(session, REPORT_JOB, now, now, subject=str(finding.id))
    return ReportNow(state=State.WAITING)


def _lacks(session: Session, finding: Finding) -> str:
    """Return why there can be no report on a finding; "" where there can."""
    contract = session.get_one(Model, finding.model_id).contract
    kind = session.get_one(Monitor, finding.monitor_id).kind
    if not columns_of(contract, registry.detail(kind, finding.detail), kind):
        return "it names no feature of the input that is a number"
    version = finding.version
    if version is None:
        return "no version served then, so there is no reference"
    if not models.find_version(session, finding.model_id, version).reference:
        return f"version {version!r} has no reference"
    return ""


def written(root: Path, only: UUID | None) -> frozenset[UUID]:
    """Return the findings that have a report, of one model or of all."""
    return frozenset(UUID(path.stem) for path in root.glob(f"{only or '*'}/*.html"))
