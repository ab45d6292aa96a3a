import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqwatch import Monitor, Options
from seqwatch.contract import digest

from core.schema.contract import Contract
from tests.client.api import Api

PLAIN: dict[str, Any] = {
    "features": [{"name": "load"}, {"name": "wind", "unit": "m/s", "max_length": 24}],
    "targets": ["load"],
    "step": "PT1H",
    "input_length": 24,
    "horizon": 2,
}


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({}, id="what was always there"),
        pytest.param(
            {"stride": 1, "padding": "none", "label_map": []}, id="defaults, declared"
        ),
        pytest.param(
            {"padding": "left", "padding_value": 1.0}, id="a whole number, as a float"
        ),
        pytest.param({"scaler": {"load": [0.5, 2.0]}}, id="a scaler"),
        pytest.param({"label_map": ["low", "high"]}, id="classes"),
        pytest.param({"sensitive_fields": {"entity": "hash"}}, id="sensitive fields"),
        pytest.param({"zone": "UTC", "calendar": {}, "segment_by": ""}, id="no zone, declared"),
        pytest.param({"zone": "Asia/Tokyo", "segment_by": "entity"}, id="a zone"),
        pytest.param(
            {"calendar": {"business_days": ["monday"], "holidays": []}}, id="business days"
        ),
        pytest.param({"calendar": {"holidays": ["2026-12-25"]}}, id="a holiday"),
        pytest.param({"widens": ["ab"]}, id="what it replaces is no part of it"),
        pytest.param(
            {
                "features": [
                    {"name": "load", "minimum": 0.0, "maximum": 1.5, "optional": True},
                    {"name": "kind", "dtype": "category", "vocabulary": ["a", "b"]},
                    {"name": "age", "sensitivity": "bucket", "bucket_edges": [0, 18.0, 65]},
                    {"name": "rain", "context": True},
                ]
            },
            id="features with more fields",
        ),
    ],
)
def test_the_digest_is_the_platform_s(more: dict[str, Any]) -> None:
    document = {**PLAIN, **more}
    assert digest(document) == Contract.from_json(document).digest
    assert digest(Contract.from_json(document).to_json()) == digest(document)


@given(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(1, 100),
)
def test_the_digest_is_the_platform_s_for_any_name_and_number(
    name: str, minimum: float, length: int
) -> None:
    feature = {"name": name, "minimum": minimum, "max_length": length}
    document = {**PLAIN, "features": [feature]}
    assert digest(document) == Contract.from_json(document).digest


def test_the_digest_goes_with_every_batch_also_after_a_restart(api: Api, tmp_path: Any) -> None:
    api.stop()
    options = Options(linger_seconds=0.01)
    first = Monitor(api.url, "k", "load", tmp_path, options, contract=PLAIN)
    first.log(version="v1")
    first.close(timeout=0.3)
    api.start()
    second = Monitor(api.url, "k", "load", tmp_path, options)
    second.log(version="v1")
    assert second.flush()
    second.close()
    sent = [seen.headers.get("seqwatch-contract") for seen in api.seen]
    assert sent == [digest(PLAIN), None]


@pytest.mark.parametrize(
    "document", [{}, {"features": [1], "targets": []}, json.loads('{"features": 7}')]
)
def test_what_is_no_contract_is_refused_at_the_start(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a contract"):
        Monitor("http://127.0.0.1:9", "k", "load", contract=document)
