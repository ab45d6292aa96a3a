"""Open table of scores: one row for each finding and each feature that it scores."""

from collections.abc import Iterator

from sqlalchemy.orm import Session

from monitors import registry
from monitors.baselines.segments import feature_of, segment_of
from services.open_tables import findings, open_table
from services.open_tables.open_table import NUMBER, TEXT, Batch, Column, OpenTable
from services.open_tables.sources import FINDINGS

COLUMNS = (
    *findings.FINDING,
    Column("feature", TEXT, "input, class or part"),
    Column("segment", TEXT, "null: all"),
    Column("score", NUMBER, "unit of the kind"),
    Column("threshold", NUMBER, "of the finding"),
    Column("effect", NUMBER, "where measured"),
    Column("view", TEXT, "highest statistic"),
)


def rows(session: Session, batch: Batch) -> Iterator[open_table.Row]:
    """Yield one row for each feature of each finding."""
    for finding, of in findings.read(session, batch):
        kind = registry.stored(str(of["kind"]))
        for one in kind.detail_of(finding.detail).implicated_features:
            feature = feature_of(one.feature)
            yield {
                **of,
                "feature": feature,
                "segment": None if feature == one.feature else segment_of(one.feature),
                "score": one.score,
                "threshold": finding.threshold,
                "effect": one.effect,
                "view": one.view,
            }


TABLE = OpenTable(name="drift_scores", source=FINDINGS, columns=lambda: COLUMNS, rows=rows)
