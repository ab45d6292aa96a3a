"""Writer of the Evidently report on a finding: reference against window."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from sqlalchemy.orm import Session, sessionmaker

from core.errors import NotFound, Unprocessable
from core.lake_root import LakeRoot
from core.window import Stretches, Window
from db.queries import models
from db.session import read_only
from db.tables import Finding, Model, Monitor
from lake.reading import Log
from lake.sampling import sample_input
from monitors import registry
from monitors.explanation import evidently_report
from services.evaluation import input_history
from services.read_models.explanations import features
from services.read_models.reports import report_status

ROWS = 5_000  # of each sample: what Evidently shows no longer changes, and its time does
COLUMNS = 40  # those that are named first; each takes about 0.3 s and 80 kB


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a report is about."""

    model_id: UUID
    finding_id: UUID
    features: tuple[str, ...]
    reference: Stretches
    current: Window


def write(
    sessions: sessionmaker[Session], lake: LakeRoot, root: Path, finding_id: UUID
) -> Path:
    """Write the report on a finding, whole or not at all; once is enough.

    Parameters
    ----------
    sessions
        Opens one transaction, to read.
    lake, root
        Where the log and the reports lie.
    finding_id
        A finding that names features.

    Raises
    ------
    NotFound
        If there is no such finding, or its version is gone.
    Unprocessable
        If the version has no reference, or no feature is named.
    ValueError
        If no feature has a value in both windows.
    """
    # load
    with read_only(sessions) as session:
        subject = subject_of(session, finding_id)
    path = report_status.path_of(root, subject.model_id, finding_id)
    if path.is_file():
        return path
    log, seed = Log(lake, subject.model_id), finding_id.int
    reference, current = (
        sample_input(log, windows, subject.features, ROWS, seed)
        for windows in (subject.reference, (subject.current,))
    )

    # decide
    html = evidently_report.html(evidently_report.compare(subject.features, reference, current))

    # save
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=path.parent, prefix=".incoming-") as folder:
        draft = Path(folder) / path.name
        draft.write_text(html, encoding="utf-8")
        draft.replace(path)
    return path


def subject_of(session: Session, finding_id: UUID) -> Subject:
    """Return the subject of the report on a finding; raises as `write` does."""
    finding = session.get(Finding, finding_id)
    if finding is None or finding.version is None:
        raise NotFound(f"no finding {finding_id} on a version")
    version = models.find_version(session, finding.model_id, finding.version)
    reference = version.reference
    if not reference:
        raise Unprocessable(f"version {finding.version!r} has no reference")
    model = session.get_one(Model, finding.model_id)
    contract = model.contract
    kind = session.get_one(Monitor, finding.monitor_id).kind
    columns = report_status.columns_of(contract, registry.detail(kind, finding.detail), kind)
    if not columns:
        raise Unprocessable(
            f"finding {finding_id} names no feature of the input that is a number"
        )
    window = Window(finding.window_start, finding.window_end)
    if kind == report_status.ACCURACY:
        columns = _farthest_first(session, model, columns, (window,), reference)
    return Subject(
        model_id=finding.model_id,
        finding_id=finding_id,
        features=columns[:COLUMNS],
        reference=reference,
        current=window,
    )


def _farthest_first(
    session: Session,
    model: Model,
    columns: tuple[str, ...],
    current: Stretches,
    reference: Stretches,
) -> tuple[str, ...]:
    """Order columns as the page of the finding does; what no summary knows comes last."""
    now, baseline = (
        input_history.load(session, model, *parts) for parts in (current, reference)
    )
    names = [each.feature for each in features.farthest(now, baseline)]
    known = [name for name in names if name in columns]
    return (*known, *(name for name in columns if name not in known))
