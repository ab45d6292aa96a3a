"""The stream against the real service over HTTP."""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pytest
import uvicorn
from pydantic import SecretStr

from examples.forecaster.app import ServiceSettings, create_app
from examples.forecaster.stream import Refused, Stream, Unreachable
from examples.forecaster.tables import label_arrivals
from examples.forecaster.world import (
    CHANNELS,
    CONTRACT,
    N_HISTORY,
    STAGGER,
    STRIDE,
    Scenario,
    make_world,
    read_series,
    time_of,
)
from tests.forecaster.registry import Registry, load

WORLD = make_world(
    read_series(None, seed=1)[: N_HISTORY + 6 * 24], n_entities=7, seed=5, scenario=Scenario()
)


class Service:
    """The real application on a real port, which can be stopped and started again."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.port = 0

    def start(self) -> None:
        app = create_app(self._settings, CONTRACT, partial(load, horizon=CONTRACT.horizon))
        config = uvicorn.Config(app, port=self.port, log_level="error", ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
        self.port = self._server.servers[0].sockets[0].getsockname()[1]

    def stop(self) -> None:
        assert self._server is not None
        assert self._thread is not None
        self._server.should_exit = True
        self._thread.join()


@pytest.fixture
def service(registry: Registry, tmp_path: Path) -> Iterator[Service]:
    registry.publish(v1=b"0")
    settings = ServiceSettings(
        seqwatch_url=registry.url,
        seqwatch_key=SecretStr("sw_key"),
        model="m",
        folder=tmp_path,
        look_every=timedelta(hours=1),
    )
    service = Service(settings)
    service.start()
    yield service
    service.stop()


NewStream = Callable[..., Stream]


@pytest.fixture
def new_stream(service: Service, registry: Registry) -> Iterator[NewStream]:
    to_service = httpx.Client(base_url=f"http://127.0.0.1:{service.port}")
    to_api = httpx.Client(base_url=registry.url)
    with to_service, to_api:
        yield partial(Stream, WORLD, service=to_service, api=to_api, model="m")


def _labels(tables: dict[str, pa.Table]) -> list[dict[str, object]]:
    return [
        row for batch, table in tables.items() if "labels" in batch for row in table.to_pylist()
    ]


def _offset(entity: int) -> int:
    """Return the hour of the day at which an entity opens its session."""
    return STAGGER * (entity % (STRIDE // STAGGER))


def test_a_day_is_four_steps_of_one_session_per_entity(
    service: Service, registry: Registry, new_stream: NewStream
) -> None:
    new_stream().step(0)
    service.stop()
    service.start()  # it has sent all it logged by then
    rows = registry.logged().values()
    sessions = Counter(row["session_id"] for row in rows)
    assert set(sessions.values()) == {4}
    assert len(sessions) == len(WORLD.entities)
    assert Counter(row["session_start"] for row in rows) == {True: 7, False: 21}
    assert Counter(row["session_end"] for row in rows) == {True: 7, False: 21}
    days = {row["at"][:10] for row in rows}
    assert days == {time_of(N_HISTORY).date().isoformat()}


def test_every_hour_of_every_entity_is_logged_exactly_once_over_days(
    service: Service, registry: Registry, new_stream: NewStream
) -> None:
    stream = new_stream()
    for day in range(3):
        stream.step(day)
    service.stop()
    service.start()
    logged: dict[str, list[tuple[str, list[list[float]]]]] = defaultdict(list)
    for row in registry.logged().values():
        columns = [row["features"][name] for name in CHANNELS]
        logged[row["entity"]].append((row["at"], columns))
    for entity, name in enumerate(WORLD.entities):
        parts = sorted(logged[name])
        hours = N_HISTORY + _offset(entity) + STRIDE * np.arange(len(parts))
        # pydantic reads "…+00:00" and the log has the same moment
        assert [at for at, _ in parts] == [time_of(int(hour)).isoformat() for hour in hours]
        values = np.concatenate([np.array(columns).T for _, columns in parts])
        start = hours[0] - STRIDE + 1
        assert (values == WORLD.observed[entity, start : start + len(values)]).all()


def test_the_stream_knows_how_wrong_the_service_was(
    service: Service, registry: Registry, new_stream: NewStream
) -> None:
    stream = new_stream()
    assert np.isnan(stream.served_error(1))
    stream.step(1)
    # The registry's version 0 repeats the last value.
    scale = WORLD.actual[:, :N_HISTORY].std(axis=(0, 1))
    errors = []
    for entity in range(len(WORLD.entities)):
        for step in range(4):
            hour = N_HISTORY + 24 + _offset(entity) + STRIDE * step
            ahead = WORLD.actual[entity, hour + 1 : hour + 25]
            errors.append((np.abs(ahead - WORLD.observed[entity, hour]) / scale).mean())
    assert stream.served_error(1) == pytest.approx(np.mean(errors))


def test_labels_come_once_late_and_on_the_day_they_arrive(
    service: Service, registry: Registry, new_stream: NewStream
) -> None:
    stream = new_stream()
    stream.send_history()
    for day in range(stream.n_days):
        before = set(registry.tables)
        stream.step(day)
        new = {batch: registry.tables[batch] for batch in set(registry.tables) - before}
        for row in _labels(new):
            arrived = row["arrived_at"]
            assert isinstance(arrived, datetime)
            assert time_of(N_HISTORY + day * 24) <= arrived < time_of(N_HISTORY + day * 24 + 24)
    labels = _labels(registry.tables)
    names = [(row["entity"], row["target_at"]) for row in labels]
    assert len(set(names)) == len(names)
    arrivals = label_arrivals(WORLD, seed=7)
    end = N_HISTORY + stream.n_days * 24
    assert len(names) == (arrivals < end).sum()
    late = arrivals - (np.arange(arrivals.shape[1]) + 1) * 24
    assert late.min() >= 6
    assert late.max() <= 30


def test_the_history_is_what_was_read_before_the_service_opened(
    service: Service, registry: Registry, new_stream: NewStream
) -> None:
    stream = new_stream()
    n_rows = stream.send_history()
    assert n_rows == sum(table.num_rows for table in registry.tables.values())
    assert stream.send_history() == n_rows  # under the same batch ids
    parts = [table for batch, table in registry.tables.items() if "reference" in batch]
    table = pa.concat_tables(parts)
    assert table.num_rows == len(WORLD.entities) * N_HISTORY // 24
    assert len(set(table["prediction_id"].to_pylist())) == table.num_rows
    row = table.slice(table.num_rows - 1, 1).to_pylist()[0]
    assert row["entity"] == WORLD.entities[-1]
    assert row["at"] == time_of(N_HISTORY - 1)
    last_day = WORLD.observed[-1, N_HISTORY - 24 : N_HISTORY]
    assert [row["features"][name] for name in CHANNELS] == last_day.T.tolist()


def test_a_restart_of_the_service_costs_no_step(
    service: Service, registry: Registry, new_stream: NewStream
) -> None:
    stream = new_stream()
    stream.step(0)
    restart = threading.Timer(0.05, _restart, [service])
    restart.start()
    stream.step(1)
    restart.join()
    stream.step(2)
    service.stop()
    service.start()
    steps = {(row["session_id"], row["step_index"]) for row in registry.logged().values()}
    assert len(steps) == 3 * 4 * len(WORLD.entities)


def test_lost_sessions_are_given_back(
    service: Service, registry: Registry, new_stream: NewStream
) -> None:
    stream = new_stream()
    for hour in range(24):
        if hour == 12:
            _restart(service)
        stream.play_hour(0, hour)
    expected = new_stream()
    expected.step(0)
    assert stream.served_error(0) == expected.served_error(0)


def test_patience_has_an_end(
    service: Service, registry: Registry, new_stream: NewStream
) -> None:
    stream = new_stream(patience=0.0)
    registry.stop()
    service.stop()
    try:
        with pytest.raises(Unreachable):
            stream.step(0)
    finally:
        registry.start()
        service.start()


def test_what_is_refused_is_not_tried_again(
    service: Service, registry: Registry, new_stream: NewStream
) -> None:
    registry.publish(v1=b"-1")
    _restart(service)
    with pytest.raises(Refused, match="500"):
        new_stream().step(0)


def _restart(service: Service) -> None:
    service.stop()
    service.start()


def test_the_truth_is_known_for_every_forecast_of_the_last_day(
    service: Service, registry: Registry, new_stream: NewStream
) -> None:
    stream = new_stream()
    assert stream.n_days == 5
    assert WORLD.n_hours - N_HISTORY - stream.n_days * 24 >= CONTRACT.horizon
