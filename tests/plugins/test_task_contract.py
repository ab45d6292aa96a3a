"""What every task keeps, of ours and of plug-ins."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from core.durations import HOUR
from core.schema import rows, task
from core.schema.contract import Contract
from core.schema.feature import Dtype, Feature
from core.schema.task import TASKS, Matched, Scored, Task, Units
from monitors import registry
from tasks.sums import by_place, metrics, parts, total, width
from tests.api.conftest import stranger as stranger

BASE = Contract(
    features=(Feature(name="x", max_length=24),),
    targets=("y",),
    step=HOUR,
    input_length=24,
    horizon=1,
)
WORDS = ("up", "down")
# A contract of each task; lists of one length are compared by what `numbers` gives.
CONTRACTS = {
    "forecast": replace(BASE, horizon=6),
    "classification": replace(
        BASE, task="classification", targets=WORDS, label_map=WORDS, horizon=2
    ),
    "regression": replace(BASE, task="regression"),
    "tagging": replace(BASE, task="tagging", label_map=WORDS, horizon=9),
}
START = datetime.fromisoformat("2026-01-05T00:00:00+00:00")


@pytest.mark.usefixtures("plugins")
def test_every_task_is_under_contract() -> None:
    assert set(TASKS.names()) == set(CONTRACTS)


def some(contract: Contract, seed: int, n: int = 12) -> Matched:
    """Return predictions beside labels, some of which are missing."""
    chance = np.random.default_rng(seed)

    def lists(group: str, may_miss: float) -> list[Any]:
        made: list[Any] = []
        for _ in range(n):
            row = {
                each.name: (
                    [str(chance.choice(each.vocabulary)) for _ in range(each.max_length)]
                    if each.dtype is Dtype.CATEGORY
                    else chance.uniform(0, 1, min(each.max_length, contract.horizon)).tolist()
                )
                for each in rows.declared(contract, group)
            }
            made.append(None if chance.random() < may_miss else row)
        return made

    output, actual = lists("output", 0.0), lists("actual", 0.3)
    table = pa.Table.from_pylist(
        [
            {"at": START + i * HOUR, "output": row, "prediction_id": str(i), "entity": "e"}
            for i, row in enumerate(output)
        ]
    )
    if task.of(contract).compares_lists:
        none = np.empty((n, 0, 0))
        labels = pa.array(actual, rows.label_schema(contract).field("actual").type)
        return Matched(rows=table, predicted=none, actual=none, naive=none, labels=labels)
    missing = {name: [np.nan] * contract.horizon for name in contract.targets}
    dense = [
        np.array([[(row or missing)[name] for name in contract.targets] for row in of])
        for of in (output, actual)
    ]
    predicted, known = (values.transpose(0, 2, 1) for values in dense)
    naive = np.roll(known, 1, axis=0)
    return Matched(rows=table, predicted=predicted, actual=known, naive=naive)


def cut(matched: Matched, of: slice) -> Matched:
    return Matched(
        rows=matched.rows.slice(of.start, of.stop - of.start),
        predicted=matched.predicted[of],
        actual=matched.actual[of],
        naive=matched.naive[of],
        labels=None
        if matched.labels is None
        else matched.labels.slice(of.start, of.stop - of.start),
    )


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("name", CONTRACTS)
def test_every_task_keeps_its_contract(name: str) -> None:
    of, contract = TASKS.find(name), CONTRACTS[name]
    assert (of.name, bool(of.question)) == (name, True)
    assert of.refuses(contract) == () or not of.refuses(contract)
    assert contract.targets == tuple(each.name for each in of.output(contract))
    assert contract.targets == tuple(each.name for each in of.label(contract))
    assert all(registry.find(kind) for kind in of.monitors)
    units = Units(std=np.ones(len(contract.targets)), season_steps=24)
    matched = some(contract, seed=3)
    scored = of.score(contract, units, matched)
    check_shapes(of, contract, scored)
    chunks = [
        of.score(contract, units, cut(matched, each)) for each in (slice(0, 5), slice(5, 12))
    ]
    summed = total(parts(scored))
    assert summed.shape[-1] == width(of) + 1
    np.testing.assert_allclose(sum(total(parts(each)) for each in chunks), summed)
    np.testing.assert_allclose(
        sum(sums for _, sums in by_place(parts(scored), np.arange(12) // 4)), summed
    )
    assert {metric.name for metric in of.metrics} == set(metrics(of, summed[..., :-1]))
    for each in of.streams:
        sums = each.sums(matched, scored)
        assert each.stream.from_bytes(each.stream.to_bytes(sums)).shape == sums.shape


def check_shapes(of: Task, contract: Contract, scored: Scored) -> None:
    shape = (12, *of.cells(contract))
    for values in (scored.expected, scored.labelled, scored.loss, scored.naive, *scored.sums):
        assert values.shape == shape
        assert np.isfinite(values).all()
    assert (np.asarray(scored.loss) >= 0).all()
    assert (scored.labelled <= scored.expected).all()
    assert ((np.asarray(scored.loss) == 0) | (scored.labelled > 0)).all()
    assert scored.usable.all()


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": np.full((12, 1, 1), -1.0)}, "a loss is negative"),
        ({"loss": np.full((12, 1, 1), np.nan)}, "loss is not finite"),
        ({"naive": np.zeros((1, 1, 1))}, "naive has shape"),
        ({"labelled": np.full((12, 1, 1), 2.0)}, "more is labelled than expected"),
        ({"usable": np.ones(3, dtype=np.bool_)}, "usable"),
    ],
)
def test_what_a_task_returns_is_checked(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    contract, of = CONTRACTS["regression"], TASKS.find("regression")

    def score(*given: Any) -> Scored:
        return replace(of.score(*given), **changes)

    monkeypatch.setattr(task, "of", lambda _: replace(of, score=score))
    units = Units(std=np.ones(1), season_steps=24)
    with pytest.raises(ValueError, match=message):
        task.scored(contract, units, some(contract, seed=3))
