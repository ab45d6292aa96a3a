"""What people declare about a model: its contract, and the policy of its owner."""

from typing import Any

import pytest

from core.durations import DAY, to_text
from core.errors import Unprocessable
from core.policy import Policy
from core.schema.contract import MAX_STEP, MAX_STEPS, Contract

CONTRACT = {
    "features": [{"name": "load"}],
    "targets": ["load"],
    "step": "PT1H",
    "input_length": 96,
    "horizon": 24,
}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        pytest.param({"features": []}, "at least one feature", id="no feature"),
        pytest.param({"targets": []}, "at least one feature and one target", id="no target"),
        pytest.param({"targets": ["a", "a"]}, "must be unique", id="the same target twice"),
        pytest.param({"targets": [""]}, "empty name", id="a target without a name"),
        pytest.param({"features": [{"name": ""}]}, "empty name", id="nor a feature"),
        pytest.param({"horizon": 0}, "must be at least 1", id="no horizon"),
        pytest.param({"horizon": MAX_STEPS + 1}, "at most 10000", id="an endless horizon"),
        pytest.param({"input_length": 10**12}, "at most 10000", id="an endless past"),
        pytest.param({"step": "P100000000D"}, "PT1S to P7D", id="an endless step"),
        pytest.param({"step": "PT1.5S"}, "whole seconds", id="half a second more"),
        pytest.param({"features": "load"}, "features", id="a name where a list belongs"),
        pytest.param(
            {"features": [{"name": "load", "min_length": 3, "max_length": 2}]},
            "'load': needs 1 <= min_length <= max_length",
            id="no length fits",
        ),
        pytest.param({"horizons": 3}, "unknown horizons; known: features", id="misspelt"),
        pytest.param(
            {"features": [{"name": "load", "units": "MW"}]},
            "feature 'load': unknown units; known: name, unit",
            id="misspelt in a feature",
        ),
    ],
)
def test_a_contract_that_means_nothing_is_refused_by_name(
    changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(Unprocessable, match=message):
        Contract.from_json({**CONTRACT, **changed})


@pytest.mark.parametrize("stored", [None, [], "contract", 1])
def test_what_is_no_object_is_no_contract_and_no_policy(stored: Any) -> None:
    with pytest.raises(Unprocessable, match="contract: Expected `object`"):
        Contract.from_json(stored)
    with pytest.raises(Unprocessable, match="policy: Expected `object`"):
        Policy.from_json(stored)


def test_the_digest_depends_on_what_is_declared_and_on_nothing_else() -> None:
    one = Contract.from_json(CONTRACT)
    assert Contract.from_json(dict(reversed(CONTRACT.items()))).digest == one.digest
    assert Contract.from_json({**CONTRACT, "horizon": 25}).digest != one.digest


def test_the_longest_window_stays_within_the_calendar() -> None:
    extremes = {"horizon": MAX_STEPS, "step": to_text(MAX_STEP)}
    contract = Contract.from_json({**CONTRACT, **extremes})
    assert (contract.horizon * contract.step).days < 200 * 366


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        pytest.param({"gate_day": 3}, "unknown gate_day; known: days_between", id="misspelt"),
        pytest.param({"gate_window": "PT0S"}, "P1D <= gate_window < new_labels", id="no gate"),
        pytest.param(
            {"gate_window": "P14D"}, "P1D <= gate_window", id="nothing left to learn from"
        ),
        pytest.param(
            {"gate_window": "P2DT12H"}, "gate_window must be whole days", id="half a day"
        ),
        pytest.param({"cool_down": "-PT1S"}, "must not be negative", id="negative"),
        pytest.param({"cool_down": "P40000D"}, "cool_down must not", id="for ever"),
        pytest.param(
            {"training_history": "P40000D"}, "training_history must not be more", id="long past"
        ),
        pytest.param(
            {"label_delay": 129_600},
            "ISO 8601 duration such as P7D or PT36H, got `int` - at `\\$.label_delay`",
            id="a number",
        ),
        pytest.param({"days_between_false_alarms": float("inf")}, "must be 1 to", id="never"),
        pytest.param({"days_between_false_alarms": 0.5}, "must be 1 to", id="twice a day"),
        pytest.param({"retrain_on_accuracy": 1}, "bool", id="one is not yes"),
    ],
)
def test_a_policy_that_means_nothing_is_refused_by_name(
    changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(Unprocessable, match=message):
        Policy.from_json(changed)


def test_fields_that_a_policy_leaves_out_take_their_defaults() -> None:
    assert Policy.from_json({}) == Policy()
    assert Policy.from_json(Policy().to_json()) == Policy()
    assert Policy.from_json({"training_history": "P30D"}).training_history == 30 * DAY
