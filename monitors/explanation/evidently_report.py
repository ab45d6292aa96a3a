"""Evidently report on two samples of input.

A report for people; Seqwatch does not act on it: its tests
take every row for independent and know no season. This is the only module
that imports evidently, and it does so when it is asked: the import takes
seconds and a good hundred megabytes.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from monitors.summaries.summary import Floats

if TYPE_CHECKING:
    from evidently.core.report import Snapshot


# Evidently cuts the range of each sample into some 30 bins at most, and fails where fewer
# doubles lie in it.
MIN_STEPS = 128
NOTE = " (shown as constant: differs in the last digits only)"
# Beyond it Evidently's own arithmetic overflows; ingestion refuses such values.
MAX_SIZE = 1e100
# The bins of a constant are cut from one unit around it, in which a double must have room.
MAX_CONSTANT = 1e12


def compare(names: Sequence[str], reference: Floats, current: Floats) -> "Snapshot":
    """Let Evidently summarise two samples and test each column for drift.

    Parameters
    ----------
    names
        The columns, each once. `<` is shown as `(`: Evidently writes names
        into a script as they are, and one could end it.
    reference, current : (row, column)
        Numbers in the columns' own units; NaN is missing. A column without
        any value in one of the samples is summarised and not tested. Values beyond
        1e100 count as missing. A column of larger numbers than 1e12 is shown divided by
        a power of ten, which is added to its name. Where the values of a sample differ
        in the last digits only, fewer than 128 doubles apart, the report shows their
        median as a constant, and marks it in the name of the column.

    Returns
    -------
    Snapshot
        Evidently's own, with its default tests and thresholds.

    Raises
    ------
    ValueError
        If no column has a value in both samples.

    References
    ----------
    .. [1] https://docs.evidentlyai.com/metrics/preset_data_drift

    Examples
    --------
    >>> rng = np.random.default_rng(7)
    >>> before, after = rng.normal(0, 1, (200, 1)), rng.normal(3, 1, (200, 1))
    >>> compare(["load"], before, after).dict()["metrics"][0]["value"]
    {'count': 1.0, 'share': 1.0}
    """
    scale = _scales(reference, current)
    (reference, is_flat), (current, is_also_flat) = (
        _shown(np.where(np.abs(rows) <= MAX_SIZE, rows, np.nan) / scale)
        for rows in (reference, current)
    )
    columns = [
        name.replace("<", "(") + f" / {by:g}" * bool(by != 1) + NOTE * bool(flat)
        for name, by, flat in zip(names, scale, is_flat | is_also_flat, strict=True)
    ]
    n_values = [np.isfinite(rows).sum(axis=0) for rows in (reference, current)]
    tested = [column for column, n in zip(columns, np.min(n_values, axis=0), strict=True) if n]
    if not tested:
        raise ValueError("no column has a value in both samples")
    with _quietly():
        import pandas as pd  # type: ignore[import-untyped]
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset, DataSummaryPreset

        meaning = DataDefinition(numerical_columns=columns)
        samples = (
            Dataset.from_pandas(pd.DataFrame(rows, columns=columns), data_definition=meaning)
            for rows in (current, reference)
        )
        report = Report([DataDriftPreset(columns=tested), DataSummaryPreset()])
        return report.run(*samples)


def _scales(reference: Floats, current: Floats) -> Floats:
    """Return what each column is divided by: 1, or a power of ten for large numbers."""
    sizes = np.abs(np.vstack([reference, current]))
    sizes = np.where(sizes <= MAX_SIZE, sizes, 0.0)  # neither NaN
    most = np.max(sizes, axis=0, initial=0.0)
    power = np.floor(np.log10(np.maximum(most, 1.0)))
    scales: Floats = np.where(most > MAX_CONSTANT, 10.0**power, 1.0)
    return scales


def _shown(rows: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Return a sample that Evidently can describe, and which columns it shows as constant.

    Parameters
    ----------
    rows : (row, column)
        Numbers; NaN is missing.

    Returns
    -------
    rows : (row, column)
        With the median where only the last digits differ.
    is_flat : (column,)
        Where the median was taken.

    Examples
    --------
    >>> _shown(np.array([[1.0], [np.nextafter(1.0, 2.0)], [1.0]]))[0].ravel().tolist()
    [1.0, 1.0, 1.0]
    """
    shown = rows.copy()
    is_flat = np.zeros(shown.shape[1], np.bool_)
    for i, values in enumerate(shown.T):
        there = values[np.isfinite(values)]
        if there.size:
            spread = there.max() - there.min()
            is_flat[i] = 0 < spread < MIN_STEPS * np.spacing(np.abs(there).max())
        if is_flat[i]:
            shown[np.isfinite(values), i] = np.quantile(there, 0.5, method="lower")
    return shown, is_flat


def html(snapshot: "Snapshot") -> str:
    """Return the report as one page that loads nothing from elsewhere.

    Parameters
    ----------
    snapshot
        From `compare`.

    Returns
    -------
    str
        HTML with inline scripts, about 4 MB: serve it in a sandbox.
    """
    with _quietly():
        page: str = snapshot.get_html_str(as_iframe=False)
        return page


@contextmanager
def _quietly() -> Iterator[None]:
    """Let Evidently neither report to its makers nor warn of its own past."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
