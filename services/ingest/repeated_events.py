"""Events whose id was received before are dropped, whatever batch they come in."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy.orm import Session

from db.queries.log import event_ids
from services.ingest.formats.columns import Mask
from services.ingest.formats.decode import Draft, Section


def drop(
    session: Session, section: Section, drafts: Sequence[Draft], now: datetime
) -> tuple[Section, list[Draft]]:
    """Leave out the events whose ids were stored before, and store the other ids.

    Parameters
    ----------
    session
        Session of the transaction that stores the events.
    section
        Of events.
    drafts
        Its batches that were not received before; at least one.
    now
        When they were received.

    Returns
    -------
    section, drafts
        Without these events; `duplicates` of the drafts names them.
    """
    ids, keep = section.table["event_id"].to_pylist(), section.keep.copy()
    sent = {ids[row] for draft in drafts for row in _kept(draft, keep)}
    new = event_ids.add(session, drafts[0].batch.model_id, sent, now)
    found = []
    for draft in drafts:
        repeated = []
        for row in _kept(draft, keep):
            if ids[row] in new:
                new.remove(ids[row])
            else:
                repeated.append(draft.positions[row - draft.rows.start])
                keep[row] = False
        if repeated:
            n_kept, duplicates = draft.n_kept - len(repeated), (*draft.duplicates, *repeated)
            draft = replace(draft, n_kept=n_kept, duplicates=duplicates)
        found.append(draft)
    return replace(section, keep=keep), found


def _kept(draft: Draft, keep: Mask) -> list[int]:
    return [row for row in range(draft.rows.start, draft.rows.stop) if keep[row]]
