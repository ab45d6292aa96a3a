import json

import pytest
from seqwatch.delivery.answers import (
    LONGEST_DELAY,
    Again,
    Delivered,
    Refused,
    delay,
    read_answer,
)


def _body(**fields: object) -> bytes:
    return json.dumps(fields).encode()


FAULTS = [
    {"row": 1, "field": "at", "reason": "without zone"},
    {"row": 1, "field": "x", "reason": "?"},
]


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        pytest.param(
            200,
            _body(accepted=3, duplicate=True, quarantined=0),
            Delivered(n_accepted=3, n_rejected=0, faulty=frozenset()),
            id="a duplicate was delivered",
        ),
        pytest.param(
            200,
            _body(accepted=2, duplicate=True, quarantined=1),
            Delivered(n_accepted=2, n_rejected=1, faulty=None),
            id="a duplicate with rejects does not name which",
        ),
        pytest.param(
            422,
            _body(type="urn:seqwatch:error:BadRows", detail="", accepted=2, errors=FAULTS),
            Delivered(n_accepted=2, n_rejected=1, faulty=frozenset({1})),
            id="bad rows are delivered with rejects, each counted once",
        ),
        pytest.param(
            422,
            _body(accepted=0, quarantined=3, errors=FAULTS),
            Delivered(n_accepted=0, n_rejected=3, faulty=None),
            id="more bad rows than are named",
        ),
        pytest.param(
            200,
            _body(
                accepted=1, duplicate=False, duplicates=[1], quarantined=1, errors=FAULTS[:1]
            ),
            Delivered(n_accepted=1, n_rejected=1, faulty=frozenset({1}), n_doubled=1),
            id="a row with the id of another",
        ),
        pytest.param(
            422,
            _body(type="urn:seqwatch:error:Unprocessable", detail="empty", errors=FAULTS),
            Refused(reason="refused_422"),
            id="a batch that means nothing is dropped",
        ),
        pytest.param(409, b"", Refused(reason="refused_409"), id="a used batch id is dropped"),
        pytest.param(413, b"", Refused(reason="refused_413"), id="too large is dropped"),
        pytest.param(401, b"", Again(), id="an unknown key may be mended"),
        pytest.param(404, b"", Again(), id="the model may be registered later"),
        pytest.param(500, b"", Again(is_crash=True), id="a crash passes"),
        pytest.param(502, b"<html>", Again(), id="a proxy without a server passes"),
        pytest.param(301, b"", Again(), id="redirects are not followed"),
        pytest.param(
            200,
            b"not json",
            Delivered(n_accepted=3, n_rejected=0, faulty=frozenset()),
            id="any 200 means kept",
        ),
    ],
)
def test_an_answer_becomes_a_value(
    status: int, body: bytes, expected: Delivered | Again | Refused
) -> None:
    assert read_answer(status, body, n_rows=3) == expected


@pytest.mark.parametrize(
    ("header", "after"),
    [("7", 7.0), ("soon", None), (None, None), ("999999", 300.0)],
)
def test_the_server_may_ask_for_patience(header: str | None, after: float | None) -> None:
    assert read_answer(503, b"", 1, header) == Again(after=after)


def test_the_pause_grows_to_its_bound_and_no_further() -> None:
    pauses = [delay(attempts, jitter=1.0) for attempts in range(1, 200)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_DELAY
