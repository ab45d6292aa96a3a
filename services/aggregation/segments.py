"""Segments of rows, and the names of segments."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import TypeAlias
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy.orm import Session

from core.schema.contract import ENTITY, Contract
from core.schema.feature import Sensitivity
from core.schema.rows import REFERENCE
from db.queries import segments as stored
from lake.lists import Ints, last_texts
from lake.matching import first_received
from lake.reading import Log
from monitors.baselines.segments import FIRST, MOST, NONE, OTHER, Label

Names: TypeAlias = Mapping[int, str | None]

PLACE = "segment"  # the column that `place` adds


def grown(rows: pa.Table, contract: Contract, known: Names) -> Names:
    """Return the names with those that these rows are the first to bear.

    The words of a closed vocabulary get theirs at once, in its order; other
    values in the order in which they come, which is the order of the log: so
    it does not matter how rows are cut into groups.

    Parameters
    ----------
    rows
        Predictions that are summarised, in their order.
    contract
        Has the field that defines segments.
    known
        What there is; it never changes, but for what is erased.
    """
    if not contract.segment_by or len(known) >= MOST:
        return known
    words = _vocabulary(contract) or _texts(rows, contract).dictionary.to_pylist()
    taken = {*known.values()}
    new = [word for word in words if word not in taken][: MOST - len(known)]
    return {**known, **dict(enumerate(new, start=FIRST + len(known)))}


def place(rows: pa.Table, contract: Contract, names: Names) -> pa.Table:
    """Return rows with the place of the segment that each belongs to."""
    return rows.append_column(PLACE, pa.array(places(rows, contract, names)))


def places(rows: pa.Table, contract: Contract, names: Names) -> Ints:
    """Return the place of each row's segment, shape (row,)."""
    texts = _texts(rows, contract)
    known = {name: place for place, name in names.items() if name is not None}
    of_text = [known.get(text, OTHER) for text in texts.dictionary.to_pylist()]
    at = pc.fill_null(texts.indices, len(of_text)).to_numpy(zero_copy_only=False)
    of_row: Ints = np.array([*of_text, NONE])[at]
    return of_row


def of(rows: pa.Table) -> Ints | None:
    """Return the places that `place` has added; None where it has not."""
    return rows[PLACE].to_numpy() if rows.schema.get_field_index(PLACE) >= 0 else None


def features(history: Log, days: Iterable[date], contract: Contract) -> pa.Table | None:
    """Return the feature that defines segments, of all predictions served on some days.

    None where no feature does. Only it is read, with the ids of the predictions.
    """
    if contract.segment_by in ("", ENTITY):
        return None
    parts = [history.features(day, contract.segment_by) for day in days]
    found = pa.concat_tables(filter(None, parts), promote_options="permissive")
    return found.filter(pc.not_equal(found["version"], REFERENCE))


def located(
    rows: pa.Table, read: pa.Table | None, contract: Contract, names: Names
) -> pa.Table:
    """Return rows that were read from the log with their places, in the order of those.

    Parameters
    ----------
    rows
        Served predictions, each id once, with `entity`.
    read
        From `features`, at least those of the rows.
    contract, names
        As in `place`.
    """
    if not contract.segment_by:
        return rows
    if read is not None:
        served, _ = first_received(read)
        at = pc.index_in(rows["prediction_id"], served["prediction_id"].combine_chunks())
        of_rows = pa.nulls(rows.num_rows, pa.struct([]))
        if "features" in served.column_names:
            of_rows = served["features"].take(at)
        rows = rows.append_column("features", of_rows)
    rows = place(rows, contract, names)
    return rows.take(np.argsort(rows[PLACE].to_numpy(), kind="stable"))


def label(session: Session, model_id: UUID, contract: Contract) -> Label:
    """Return what monitors call the segments of a model."""
    return label_of(stored.names(session, model_id), contract)


def label_of(names: Names, contract: Contract) -> Label:
    """Return what monitors call segments.

    Entities go by their number: a finding outlives the erasure of a name.
    """
    return Label(
        by=contract.segment_by,
        names={place: name or "" for place, name in names.items()},
        hides=contract.segment_by == ENTITY,
    )


def _vocabulary(contract: Contract) -> tuple[str, ...]:
    for feature in contract.kept:
        if feature.name == contract.segment_by:
            # Of a hash the words are not known.
            return () if feature.sensitivity is Sensitivity.HASH else feature.vocabulary
    return ()


def _texts(rows: pa.Table, contract: Contract) -> pa.DictionaryArray:
    if contract.segment_by == ENTITY:
        return rows[ENTITY].combine_chunks().cast(pa.string()).dictionary_encode()
    return last_texts(rows, "features", contract.segment_by).dictionary_encode()
