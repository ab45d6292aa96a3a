"""A classifier logs a probability for each class: they are compared with the labels."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker

from services.aggregation.fold import fold_all
from services.labels.label_join import join_all
from services.retention.archive import archive_all
from tests.api.conftest import Clients

CLASSES = ["calm", "storm"]
CONTRACT = {
    "features": [{"name": "pressure", "max_length": 24}],
    "targets": CLASSES,
    "label_map": CLASSES,
    "task": "classification",
    "step": "PT1H",
    "input_length": 24,
    "horizon": 1,
}


@pytest.mark.parametrize(
    ("predicted", "storms", "bias"),
    [
        pytest.param(0.75, 6, 0.0, id="calibrated"),
        pytest.param(0.75, 2, 0.5, id="over-confident of storm"),
    ],
)
def test_the_bias_of_a_class_is_how_much_too_surely_it_is_named(
    as_key: Clients,
    sessions: sessionmaker[Session],
    tmp_path: Path,
    now: datetime,
    predicted: float,
    storms: int,
    bias: float,
) -> None:
    operator, sender = as_key("operate", "read"), as_key("ingest")
    assert operator.put("/v1/models/sky", json={"contract": CONTRACT}).status_code == 201
    at = now - timedelta(hours=9)
    rows = [
        {
            "prediction_id": f"p{i}",
            "version": "v1",
            "at": (at + i * timedelta(minutes=1)).isoformat(),
            "features": {"pressure": [1013.0]},
            "output": {"calm": [1 - predicted], "storm": [predicted]},
        }
        for i in range(8)
    ]
    labels = [
        {
            "prediction_id": f"p{i}",
            "actual": {"calm": [float(i >= storms)], "storm": [float(i < storms)]},
        }
        for i in range(8)
    ]
    answers = [
        sender.post("/v1/models/sky/predictions", json={"rows": rows}),
        sender.post("/v1/models/sky/labels", json={"rows": labels}),
    ]
    assert [answer.is_success for answer in answers] == [True, True], answers[0].text
    later = now + timedelta(days=1000)  # whatever the clock of the writer shows
    fold_all(sessions, later)
    archive_all(sessions, tmp_path / "lake", later)
    join_all(sessions, tmp_path / "lake", later)

    answer = operator.get("/v1/models/sky/accuracy").json()

    found = {part["part"]: part for part in answer["parts"]}
    assert {name: part["n"] for name, part in found.items()} == {"calm+1": 8, "storm+1": 8}
    assert found["storm+1"]["bias"] == pytest.approx(bias)
    assert found["calm+1"]["bias"] == pytest.approx(-bias)
    # The error of a class is its part of the Brier score, which is the sum over classes.
    part = (8 - storms) / 8 * predicted**2 + storms / 8 * (1 - predicted) ** 2
    assert found["storm+1"]["error"] == pytest.approx(part)
    assert answer["days"][0]["error"] == pytest.approx(2 * part)
    assert answer["days"][0]["coverage"] == 1.0
    storm = next(one for one in answer["classes"] if one["name"] == "storm")
    assert (storm["version"], storm["n"]) == ("v1", 8)
    assert storm["predicted"] == pytest.approx(predicted)
    assert storm["observed"] == pytest.approx(storms / 8)
    [row] = [one for one in storm["bins"] if one["n"]]
    assert (row["low"], row["high"], row["n"]) == (0.7, 0.8, 8)
    # What chance adds to the square is taken off; less than it is no error.
    square = (storms / 8 - predicted) ** 2 - storms / 8 * (1 - storms / 8) / 7
    assert storm["error"] == pytest.approx(max(square, 0.0) ** 0.5)
