"""Evidently reports on disk: where they lie, who may see them, how they are shown."""

from pathlib import Path
from uuid import UUID

from sqlalchemy.orm import Session

from core.errors import NotFound
from db.tables import Finding

# The job that writes a report; its subject is the finding.
JOB = "report"

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


def path_of(root: Path, model_id: UUID, finding_id: UUID) -> Path:
    """Return where the report on a finding lies, once it is written."""
    return root / str(model_id) / f"{finding_id}.html"


def locate(session: Session, root: Path, finding_id: UUID, only: UUID | None) -> Path:
    """Return the report on a finding.

    Raises
    ------
    NotFound
        If there is no such finding of a model that the reader may see, or no
        report on it (yet).
    """
    finding = session.get(Finding, finding_id)
    if finding is None or only not in (None, finding.model_id):
        raise NotFound(f"no finding {finding_id}")
    path = path_of(root, finding.model_id, finding_id)
    if not path.is_file():
        raise NotFound(
            f"no report on finding {finding_id}: one is written when an alert of drift fires, "
            "and takes a moment"
        )
    return path


def written(root: Path, only: UUID | None) -> frozenset[UUID]:
    """Return the findings that have a report, of one model or of all."""
    return frozenset(UUID(path.stem) for path in root.glob(f"{only or '*'}/*.html"))
