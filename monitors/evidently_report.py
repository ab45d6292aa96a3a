"""How does Evidently, which many people know, see two samples of input?

A second opinion to look at, never a verdict that Seqwatch acts on: its tests
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

from monitors.summary import Floats

if TYPE_CHECKING:
    from evidently.core.report import Snapshot


def compare(names: Sequence[str], reference: Floats, current: Floats) -> "Snapshot":
    """Let Evidently summarise two samples and test each column for drift.

    Parameters
    ----------
    names
        The columns, each once. `<` is shown as `(`: Evidently writes names
        into a script as they are, and one could end it.
    reference, current : (row, column)
        Numbers in the columns' own units; NaN is missing. A column without
        any value in one of the samples is summarised and not tested.

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
    columns = [name.replace("<", "(") for name in names]
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
