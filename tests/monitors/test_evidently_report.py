"""Evidently sees what we see, and its page keeps to itself."""

import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from monitors.explanation import evidently_report
from monitors.summaries.hourly import hourly
from monitors.summaries.summary import Floats, chunk_start, freeze
from monitors.summaries.values import Column, summarise

NAMES = ("load", "oil")
CHUNK = 400_000


def sample(seed: int, level: float = 7.4, n: int = 500) -> Floats:
    rng = np.random.default_rng(seed)
    values: Floats = rng.normal(level, 1.7, (n, len(NAMES))) * [1.0, 40.0]
    values[rng.random(values.shape) < 0.05] = np.nan
    return values


def figures(names: tuple[str, ...], reference: Floats, current: Floats) -> dict[str, Any]:
    """Evidently's figures of the current sample, by `Metric(column=…)`."""
    snapshot = evidently_report.compare(names, reference, current)
    return {metric["metric_name"]: metric["value"] for metric in snapshot.dict()["metrics"]}


def test_evidently_finds_the_mean_and_the_standard_deviation_that_we_find() -> None:
    current = sample(2, level=9.0)
    theirs = figures(NAMES, sample(1), current)
    edges = freeze(dict(zip(NAMES, current.T, strict=True)), bins=8)
    chunks, fresh = np.full(len(current), CHUNK), np.zeros(len(current), dtype=np.bool_)
    columns = [Column(values=values, chunks=chunks, repeats=fresh) for values in current.T]
    ours = hourly(summarise(columns, edges), NAMES, chunk_start(CHUNK), chunk_start(CHUNK + 1))
    for i, name in enumerate(NAMES):
        n = ours.n[0, i]
        missing = theirs[f"MissingValueCount(column={name})"]
        assert missing == {"count": ours.n_missing[0, i], "share": pytest.approx(1 - n / 500)}
        assert theirs[f"MeanValue(column={name})"] == pytest.approx(ours.mean[0, i], rel=1e-12)
        # Theirs is of a sample, n - 1; ours describes the values at hand, n.
        their_sd = theirs[f"StdValue(column={name})"] * np.sqrt((n - 1) / n)
        assert their_sd == pytest.approx(ours.sd[0, i], rel=1e-9)


def test_a_column_that_is_empty_in_one_sample_is_summarised_and_not_tested() -> None:
    current = sample(2)
    current[:, 1] = np.nan
    theirs = figures(NAMES, sample(1), current)
    tested = [name for name in theirs if name.startswith("ValueDrift")]
    assert len(tested) == 1
    assert "column=load," in tested[0]
    assert theirs["MissingValueCount(column=oil)"] == {"count": 500, "share": 1.0}


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(ValueError, match="no column has a value in both samples"):
        evidently_report.compare(NAMES, sample(1), np.full((9, 2), np.nan))


N = 120
NOISE = np.random.default_rng(3).normal(size=N)


def neighbours(value: float) -> Floats:
    """Return a value and the double next to it, in turn."""
    return np.where(np.arange(N) % 2, value, np.nextafter(value, np.inf))


EXTREME = {
    "constant": (np.full(N, 3.0), np.full(N, 3.0)),
    "two neighbouring doubles": (neighbours(1.0), neighbours(1.0)),
    "large constant": (np.full(N, 2.0**60), np.full(N, 1e13)),
    "neighbours near 2^53": (neighbours(2.0**53), neighbours(2.0**53)),
    "neighbours in one sample": (neighbours(1.0), NOISE),
    "huge offset, tiny spread": (1e15 + NOISE, 1e15 + NOISE),
    "a few steps of an offset": (1e16 + 2 * NOISE, 1e16 + 2 * NOISE),
    "subnormal": (NOISE * 1.5e-323, NOISE * 1.5e-323),
    "tiny": (NOISE * 1e-300, NOISE * 1e-300),
    "large": (NOISE * 1e99, NOISE * 1e99),
    "beyond any measurement": (NOISE * 1e307, NOISE * 1e307),
    "large and small": (np.where(np.arange(N) % 2, 1e100, 1e-100), NOISE),
    "one far outlier": (np.append(NOISE[1:], 1e90), NOISE),
    "one value": (np.append(np.full(N - 1, np.nan), 1.0), np.append(NOISE[1:], np.nan)),
    "infinite": (np.where(np.arange(N) % 9 == 0, np.inf, NOISE), NOISE),
}


def test_a_report_is_written_for_two_neighbouring_doubles() -> None:
    reference, current = (each.reshape(-1, 1) for each in EXTREME["two neighbouring doubles"])
    metrics = evidently_report.compare(["load"], reference, current).dict()["metrics"]
    name = "load (shown as constant: differs in the last digits only)"
    assert {metric["metric_name"]: metric["value"] for metric in metrics}[
        f"MeanValue(column={name})"
    ] == 1.0


@pytest.mark.slow
def test_a_report_is_written_for_every_kind_of_feature() -> None:
    reference, current = (
        np.column_stack([each[i] for each in EXTREME.values()]) for i in range(2)
    )
    snapshot = evidently_report.compare([*EXTREME], reference, current)
    page = evidently_report.html(snapshot)
    for name in EXTREME:
        assert name in page
    assert "two neighbouring doubles (shown as constant" in page
    assert "large / 1e+99" in page
    assert "large / 1e+99 (shown as constant" not in page


def test_the_page_loads_nothing_from_elsewhere_and_names_cannot_end_its_script() -> None:
    snapshot = evidently_report.compare(
        ("</script><script>alert(1)", "target"), sample(1), sample(2)
    )
    page = evidently_report.html(snapshot)
    assert "<script>alert(1)" not in page
    assert not re.search(
        r"<(?:script|link|img|iframe)[^>]*\b(?:src|href)=.?(?:https?:)?//", page
    )


def test_a_report_does_not_load_telemetry() -> None:
    evidently_report.compare(NAMES, sample(1), sample(2))
    assert {"evidently.telemetry", "iterative_telemetry"} & {*sys.modules} == set()


def test_evidently_is_not_imported_before_it_is_asked() -> None:
    code = (
        "import sys, monitors.explanation.evidently_report; print('evidently' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["False"]
