"""Ids that repeat within a request, and how the answer names their rows."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from api.server.responses import MAX_NAMED, outcome
from core.errors import RowFault
from core.terms import Terms
from services.ingest import Batch, Feed, Format
from services.ingest.formats.decode import decode
from tests.databases import ON_SQLITE
from tests.ingest.conftest import (
    CONTRACT,
    LABELS,
    PREDICTIONS,
    Rows,
    Stored,
    answered,
    as_json,
    label,
    prediction,
)
from tests.ingest.formats import ENCODINGS, SHAPES


@ON_SQLITE
@pytest.mark.parametrize(("content_type", "encode"), ENCODINGS[:2])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_row_whose_id_stood_before_is_dropped_and_named(
    client: TestClient,
    stored: Stored,
    shape: Callable[[Rows], Any],
    content_type: str,
    encode: Callable[[object], bytes],
) -> None:
    rows = [
        prediction(prediction_id="a", at="no time"),
        prediction(prediction_id="a", entity="first good one"),
        prediction(prediction_id="b", entity=None),
        prediction(prediction_id="a", entity="repeats"),
        prediction(prediction_id="b", entity="repeats"),
    ]
    headers = {"Content-Type": content_type}
    answer = client.post(PREDICTIONS, content=encode(shape(rows)), headers=headers)
    body = answer.json()
    assert (answer.status_code, body["accepted"], body["quarantined"]) == (422, 2, 1)
    assert body["duplicates"] == [3, 4]
    assert [row["row"] for row in body["errors"]] == [0]
    assert [row["entity"] for row in stored()] == ["first good one", None]


@pytest.mark.parametrize(
    "ids",
    [
        pytest.param(["b", "b"], id="side by side"),
        pytest.param(["b", "a", "b"], id="apart"),
    ],
)
def test_a_repeated_id_is_found_beside_batches_without_a_good_row(ids: list[str]) -> None:
    rows = [prediction(prediction_id=name) for name in ids]
    broken = as_json({"rows": [prediction(unheard_of=1)]})
    bodies = [as_json({"rows": rows}), *[broken] * (len(ids) - 1)]
    model_id, terms = uuid4(), Terms(contract=CONTRACT)
    batches = {
        no: Batch(
            model_id=model_id,
            model="grid",
            terms=terms,
            feed=Feed.PREDICTIONS,
            format=Format.JSON,
            body=body,
        )
        for no, body in enumerate(bodies)
    }
    (section,), refused = decode(batches, datetime(2026, 1, 2, tzinfo=UTC), max_rows=10)
    assert section.drafts[0].duplicates == (len(ids) - 1,)
    assert not refused


@ON_SQLITE
def test_served_and_shadow_may_share_an_id_and_labels_may_repeat_one(
    client: TestClient, stored: Stored
) -> None:
    both = {"rows": [prediction(), prediction(shadow=True, version="v2")]}
    assert client.post(PREDICTIONS, json=both).json() == answered(2)
    assert client.post(LABELS, json={"rows": [label(), label()]}).json() == answered(2)


@ON_SQLITE
def test_an_answer_names_a_thousand_rows_and_counts_the_rest(
    client: TestClient, settings: object
) -> None:
    faults = [RowFault(row=row, field="at", reason="missing") for row in range(MAX_NAMED + 7)]
    body = outcome(n_accepted=0, faults=faults, duplicates=range(MAX_NAMED + 2))
    assert (len(body["errors"]), body["more_errors"]) == (MAX_NAMED, 7)
    assert (len(body["duplicates"]), body["more_duplicates"]) == (MAX_NAMED, 2)
    assert body["quarantined"] == MAX_NAMED + 7


def test_the_same_body_as_reference_and_as_predictions_is_two_batches(
    client: TestClient,
) -> None:
    """Who sent to the wrong route and repeated it on the right one lost the rows."""
    row = {"prediction_id": "p", "at": "2026-01-01T00:00:00Z", "features": {"load": 1.5}}
    reference = PREDICTIONS.replace("predictions", "reference")
    answers = [
        client.post(path, json={"rows": [row]}).json()
        for path in (reference, PREDICTIONS, reference)
    ]
    assert [answer["duplicate"] for answer in answers] == [False, False, True]
