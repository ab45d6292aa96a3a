"""Every reason for which a training must fail is known before it begins."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from core.durations import DAY, HOUR
from core.policy import Policy
from core.schema.contract import Contract
from core.schema.feature import Dtype, Feature, Sensitivity
from retrain.templates.segment_lstm import FORMAT
from retrain.trainable import Base, Material, can_retrain

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CONTRACT = Contract(
    features=(Feature(name="load"), Feature(name="wind")),
    targets=("load",),
    step=HOUR,
    input_length=96,
    horizon=24,
)
BASE = Base(name="v1", has_weights=True, artifact_format=FORMAT)
GOOD = Material(
    contract=CONTRACT, base=BASE, watermark=NOW, first_event=NOW - 50 * DAY, has_labels=True
)
CLASSES = ("no", "yes")


def why_not(**changes: object) -> tuple[str, ...]:
    return can_retrain(replace(GOOD, **changes), Policy())  # type: ignore[arg-type]


def test_where_a_trainer_can_work_there_is_no_reason() -> None:
    assert why_not() == ()
    assert why_not(base=None) == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param(
            {"contract": replace(CONTRACT, task="classification")},
            "the template is not for task 'classification'",
            id="classifier",
        ),
        pytest.param(
            {"contract": replace(CONTRACT, targets=("price",))},
            "the template forecasts its own inputs; not among them: price",
            id="the target is no input",
        ),
        pytest.param(
            {
                "contract": replace(
                    CONTRACT,
                    features=(*CONTRACT.features, Feature(name="shop", dtype=Dtype.CATEGORY)),
                )
            },
            "the template takes numbers that are kept; not so: shop",
            id="a category",
        ),
        pytest.param(
            {
                "contract": replace(
                    CONTRACT,
                    features=(
                        *CONTRACT.features,
                        Feature(name="pay", sensitivity=Sensitivity.DROP),
                    ),
                )
            },
            "the template takes numbers that are kept; not so: pay",
            id="a feature that is not kept",
        ),
        pytest.param(
            {"base": replace(BASE, has_weights=False)},
            "the weights of v1 are kept elsewhere: nothing to build on",
            id="no weights",
        ),
        pytest.param(
            {"base": replace(BASE, artifact_format=None)},
            "v1 was not trained here: no installed template reads weights of the format None",
            id="uploaded",
        ),
        pytest.param(
            {"has_labels": False},
            "no label was ever received: there is nothing to learn from",
            id="no labels",
        ),
        pytest.param(
            {"watermark": None},
            "nothing was ever logged for this model: there is nothing to learn",
            id="nothing logged",
        ),
        pytest.param(
            {"base": None, "first_event": NOW - 20 * DAY},
            "the log holds 18.5 days whose labels are due; a first version needs 28.0",
            id="too short a history",
        ),
        pytest.param(
            {"base": None, "first_event": None},
            "the log holds 0.0 days whose labels are due; a first version needs 28.0",
            id="no input",
        ),
    ],
)
def test_each_reason_is_reported(changes: dict[str, object], reason: str) -> None:
    assert why_not(**changes) == (reason,)


def test_all_reasons_are_reported_at_once() -> None:
    price = replace(CONTRACT, targets=("price",))
    base = replace(BASE, has_weights=False)
    assert len(why_not(contract=price, base=base, has_labels=False)) == 3
