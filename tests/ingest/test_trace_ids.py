"""Rows take the trace id of their request."""

import pytest
from fastapi.testclient import TestClient

from tests.databases import ON_SQLITE
from tests.ingest.conftest import PREDICTIONS, Stored, answered, prediction

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@ON_SQLITE
@pytest.mark.parametrize(
    ("traceparent", "expected"),
    [
        pytest.param(f"00-{TRACE}-00f067aa0ba902b7-01", TRACE, id="valid"),
        pytest.param(f"cc-{TRACE}-00f067aa0ba902b7-01-later", TRACE, id="a later version"),
        pytest.param(f"00-{'0' * 32}-00f067aa0ba902b7-01", None, id="all zero"),
        pytest.param(f"00-{TRACE}-{'0' * 16}-01", None, id="no parent"),
        pytest.param(f"ff-{TRACE}-00f067aa0ba902b7-01", None, id="no version"),
        pytest.param(f"00-{TRACE.upper()}-00f067aa0ba902b7-01", None, id="capitals"),
        pytest.param(f"00-{TRACE}-00f067aa0ba902b7-01-x", None, id="too long"),
        pytest.param("what is this", None, id="something else"),
    ],
)
def test_rows_without_a_trace_id_take_that_of_their_request(
    client: TestClient, stored: Stored, traceparent: str, expected: str | None
) -> None:
    rows = [prediction(), prediction(prediction_id="p-2", trace_id="own")]
    headers = {"traceparent": traceparent}
    assert client.post(PREDICTIONS, json={"rows": rows}, headers=headers).json() == answered(2)
    assert [row["trace_id"] for row in stored()] == [expected, "own"]
