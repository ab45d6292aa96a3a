"""What is stored in place of a sensitive text."""

import pytest

from core.schema.contract import Contract
from core.schema.feature import Sensitivity
from core.schema.masking import KEY_BYTES, hashed, new_key, sensitivity_of, stored_forms
from tests.core.test_declarations import CONTRACT

KEY = bytes(range(KEY_BYTES))
SECRET = Contract.from_json(
    {
        **CONTRACT,
        "features": [
            {"name": "load"},
            {"name": "area", "dtype": "category", "sensitivity": "hash"},
            {"name": "name", "dtype": "category", "sensitivity": "drop"},
        ],
        "sensitive_fields": {"session_id": "hash", "worker": "drop"},
    }
)


@pytest.mark.parametrize(
    ("field", "way"),
    [
        pytest.param("entity", Sensitivity.NONE, id="what is not sensitive stays"),
        pytest.param("worker", Sensitivity.DROP, id="what is dropped is gone"),
        pytest.param("features.name", Sensitivity.DROP, id="a feature too"),
        pytest.param("features.load", Sensitivity.NONE, id="a feature that is not stays"),
        pytest.param(
            "features.session_id", Sensitivity.NONE, id="a feature called like a field is none"
        ),
    ],
)
def test_what_is_concealed(field: str, way: Sensitivity) -> None:
    assert sensitivity_of(SECRET, field) is way


def test_the_same_text_has_the_same_hash_in_one_field_of_one_model_only() -> None:
    forms = {
        hashed(key, field, text)
        for key in (KEY, bytes(KEY_BYTES))
        for field in ("session_id", "features.area")
        for text in ("s-1", "s-2")
    }
    assert len(forms) == 8
    assert stored_forms(KEY, "session_id", "s-1") == (
        "s-1",
        hashed(KEY, "session_id", "s-1"),
    )
    assert stored_forms(None, "session_id", "s-1") == ("s-1",)


def test_no_two_models_get_the_same_key() -> None:
    assert len({new_key() for _ in range(100)}) == 100
