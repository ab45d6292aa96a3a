import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from seqwatch import Monitor, Options

from tests.client.api import Api

FAST = Options(linger_seconds=0.01, defaults={"version": "v1", "worker": "w-1"})
CONTRACT = {
    "features": [{"name": "load"}, {"name": "wind"}],
    "targets": ["load"],
    "step": "PT1H",
    "input_length": 3,
    "horizon": 2,
}


def _logged(
    api: Api, run: Callable[[Monitor], object], contract: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    monitor = Monitor(api.url, "k", "load", options=FAST, contract=contract)
    run(monitor)
    assert monitor.flush()
    monitor.close()
    return [row for seen in api.seen for row in seen.rows]


def test_fields_that_a_prediction_leaves_out_are_filled_in(api: Api) -> None:
    ids: list[str] = []

    def run(monitor: Monitor) -> None:
        ids.append(monitor.log(features={"load": [1.0]}, output={"load": [2.0]}))
        ids.append(monitor.log({"version": "v2"}, prediction_id="mine", worker="w-2"))

    first, second = _logged(api, run)
    assert [first["prediction_id"], second["prediction_id"]] == ids
    assert ids[1] == "mine"
    assert (first["version"], first["worker"]) == ("v1", "w-1")
    assert (second["version"], second["worker"]) == ("v2", "w-2")
    assert datetime.fromisoformat(first["at"]).tzinfo is not None


def test_ids_that_are_filled_in_differ(api: Api) -> None:
    other = Monitor(api.url, "k", "load")
    rows = _logged(api, lambda m: [m.log() for _ in range(50)] + [other.log()])
    other.close(timeout=5.0)
    assert len({row["prediction_id"] for row in rows}) == len(rows)


def test_arrays_that_the_host_uses_again_are_logged_as_they_were(api: Api) -> None:
    window = np.arange(3.0)
    nested = [[1, 2], [3]]
    output = [5.0]

    def run(monitor: Monitor) -> None:
        features: dict[str, object] = {"load": window, "tokens": nested}
        monitor.log(features=features, output={"load": output})
        window[:] = -1
        nested[0][0] = -1
        output[0] = -1
        features["load"] = None

    (row,) = _logged(api, run)
    assert row["features"] == {"load": [0.0, 1.0, 2.0], "tokens": [[1, 2], [3]]}
    assert row["output"] == {"load": [5.0]}


def test_an_array_is_split_by_the_names_of_the_contract(api: Api) -> None:
    window = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    run = lambda m: m.log(features=window, output=np.array([4.0, 5.0]))  # noqa: E731
    (row,) = _logged(api, run, CONTRACT)
    assert row["features"] == {"load": [1.0, 2.0, 3.0], "wind": [10.0, 20.0, 30.0]}
    assert row["output"] == {"load": [4.0, 5.0]}


def test_an_array_of_another_shape_is_dropped_and_counted(api: Api) -> None:
    monitor = Monitor(api.url, "k", "load", options=FAST, contract=CONTRACT)
    monitor.log(features=np.zeros((3, 5)))
    assert monitor.flush()
    monitor.close()
    assert monitor.counts().dropped == {"not_json": 1}


def test_a_prediction_is_timed_and_logged_when_its_block_ends(api: Api) -> None:
    def run(monitor: Monitor) -> None:
        with monitor.predict(session_id="s-1", features={"load": [1.0]}) as prediction:
            prediction.output = {"load": [2.0]}
            prediction.fields["cost"] = 0.5
            assert monitor.counts().logged == 0

    (row,) = _logged(api, run)
    assert (row["status"], row["session_id"], row["cost"]) == ("ok", "s-1", 0.5)
    assert row["features"], row["output"] == ({"load": [1.0]}, {"load": [2.0]})
    assert row["latency_seconds"] > 0


@pytest.mark.parametrize(
    ("error", "status"),
    [
        pytest.param(ValueError("the host's"), "error", id="an error"),
        pytest.param(TimeoutError("the host's"), "timeout", id="a timeout"),
        pytest.param(KeyboardInterrupt("the host's"), "error", id="an interrupt"),
    ],
)
def test_an_exception_passes_unchanged_and_is_the_status(
    api: Api, error: BaseException, status: str
) -> None:
    def run(monitor: Monitor) -> None:
        with pytest.raises(type(error)) as raised, monitor.predict():
            raise error
        assert raised.value is error

    (row,) = _logged(api, run)
    assert row["status"] == status
    assert "output" not in row


def test_a_status_that_the_host_sets_is_kept(api: Api) -> None:
    def run(monitor: Monitor) -> None:
        with monitor.predict() as prediction:
            prediction.status = "degraded"

    (row,) = _logged(api, run)
    assert row["status"] == "degraded"


def test_a_cancelled_task_is_a_timeout(api: Api) -> None:
    async def serve(monitor: Monitor) -> None:
        async with asyncio.timeout(0), monitor.predict(features={"load": [1.0]}):
            await asyncio.Event().wait()

    def run(monitor: Monitor) -> None:
        with pytest.raises(TimeoutError):
            asyncio.run(serve(monitor))

    (row,) = _logged(api, run)
    assert row["status"] == "timeout"
