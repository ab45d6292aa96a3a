"""What is stored in place of a sensitive text."""

import pytest

from core.schema.contract import Contract
from core.schema.masking import KEY_BYTES, conceal, new_key, stored_forms
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
    ("field", "kept"),
    [
        pytest.param("entity", "s-1", id="what is not sensitive stays"),
        pytest.param("worker", None, id="what is dropped is gone"),
        pytest.param("features.name", None, id="a feature too"),
        pytest.param("features.load", "s-1", id="a feature that is not sensitive stays"),
        pytest.param("features.session_id", "s-1", id="a feature called like a field is none"),
    ],
)
def test_what_is_concealed(field: str, kept: str | None) -> None:
    assert conceal(SECRET, KEY, field, "s-1") == kept


def test_the_same_text_has_the_same_hash_in_one_field_of_one_model_only() -> None:
    forms = {
        conceal(SECRET, key, field, text)
        for key in (KEY, bytes(KEY_BYTES))
        for field in ("session_id", "features.area")
        for text in ("s-1", "s-2")
    }
    assert len(forms) == 8
    assert conceal(SECRET, KEY, "session_id", "s-1") == conceal(
        SECRET, KEY, "session_id", "s-1"
    )
    assert stored_forms(KEY, "session_id", "s-1") == (
        "s-1",
        conceal(SECRET, KEY, "session_id", "s-1"),
    )


def test_without_a_key_nothing_that_needs_one_is_stored() -> None:
    with pytest.raises(ValueError, match="session_id is hashed"):
        conceal(SECRET, None, "session_id", "s-1")
    assert stored_forms(None, "session_id", "s-1") == ("s-1",)


def test_no_two_models_get_the_same_key() -> None:
    assert len({new_key() for _ in range(100)}) == 100
