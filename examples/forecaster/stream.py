"""Replays a fleet against the service and the API, one event day at a time.

The stream has the true values, so that it can return the error of the service on
each day independently of Seqwatch.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import httpx
import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from core.errors import AppError
from examples.forecaster.tables import (
    DAY,
    due_labels,
    label_arrivals,
    label_table,
    label_tables,
    reference_tables,
)
from examples.forecaster.world import (
    CHANNELS,
    CONTRACT,
    N_HISTORY,
    STAGGER,
    STRIDE,
    World,
    time_of,
)

ARROW_STREAM = "application/vnd.apache.arrow.stream"
_JSON = {"Content-Type": "application/json"}
PAUSE = 0.1  # seconds between two attempts

# A killed process is restarted; one that answers with these is starting.
_AWAY = frozenset({429, 502, 503, 504})


class Unreachable(AppError):
    """The service or the API was unreachable for longer than `patience`."""


class Refused(AppError):
    """The service or the API answered with an error."""


class Stream:
    """The users of the service, and the meters that send labels later.

    Every entity opens one session a day, at the hour of its group, and sends
    its new hours every six. All entities of one hour go into one request.

    Parameters
    ----------
    world
        The fleet.
    service, api
        Clients with the base URL of the service, and of Seqwatch with a key
        of scope `ingest`.
    model
        Its name at Seqwatch.
    patience
        Seconds for which an unreachable service is retried.
    seed
        Of the delays of labels.
    """

    def __init__(
        self,
        world: World,
        *,
        service: httpx.Client,
        api: httpx.Client,
        model: str,
        patience: float = 120.0,
        seed: int = 7,
    ) -> None:
        self._world = world
        self._service = service
        self._api = api
        self._model = model
        self._patience = patience
        self._arrivals = label_arrivals(world, seed)
        self._scale = world.actual[:, :N_HISTORY].std(axis=(0, 1))
        self._errors: dict[int, dict[tuple[int, int], float]] = defaultdict(dict)

    @property
    def n_days(self) -> int:
        """Days that can be replayed, with true values for every forecast."""
        return (self._world.n_hours - N_HISTORY - CONTRACT.horizon) // DAY

    def send_history(self) -> int:
        """Send the readings and labels from before the start of the service.

        Sending it again changes nothing.

        Returns
        -------
        int
            Rows sent.
        """
        n_rows = 0
        for route, tables in (
            ("reference", reference_tables(self._world)),
            ("labels", label_tables(self._world, self._arrivals)),
        ):
            for i, table in enumerate(tables):
                self._send_table(route, table, f"history-{route}-{i}")
                n_rows += table.num_rows
        return n_rows

    def step(self, day: int) -> None:
        """Replay one event day: every session, then the labels that arrive on it.

        Parameters
        ----------
        day
            Counted from the start of the service, from 0.

        Raises
        ------
        Unreachable
            When the service or the API is unreachable.
        Refused
            When the service or the API answers with an error.
        """
        first_hour = N_HISTORY + day * DAY
        for hour in range(DAY):
            self.play_hour(day, hour)
        due = due_labels(self._arrivals, first_hour, first_hour + DAY)
        if due:
            table = label_table(self._world, due, self._arrivals)
            self._send_table("labels", table, f"labels-{first_hour}")

    def play_hour(self, day: int, hour: int) -> None:
        """Replay the sessions that have a step in one hour of a day. Raises like `step`."""
        group, is_between = divmod(hour % STRIDE, STAGGER)
        entities = range(group, len(self._world.entities), STRIDE // STAGGER)
        if entities and not is_between:
            self._ask(day, N_HISTORY + day * DAY + hour, hour // STRIDE, entities)

    def served_error(self, day: int) -> float:
        """Return the error of the forecasts of one day.

        Returns
        -------
        float
            Mean absolute error over entities, steps, channels and hours ahead,
            in standard deviations of each channel before the start of the service.
            NaN when nothing was served on that day.
        """
        errors = self._errors.get(day)
        return float(np.mean(list(errors.values()))) if errors else float("nan")

    def _ask(self, day: int, hour: int, step_index: int, entities: Sequence[int]) -> None:
        items = [self._item(day, hour, step_index, entity) for entity in entities]
        response = self._post_steps(items)
        if response.status_code == httpx.codes.CONFLICT:
            # The service was restarted without its sessions: start them again.
            lost = set(response.json()["sessions"])
            items = [
                self._start(item, hour, entity) if item["session_id"] in lost else item
                for item, entity in zip(items, entities, strict=True)
            ]
            response = self._post_steps(items)
        _expect_ok(response)
        self._record_errors(day, hour, entities, response.json()["items"])

    def _post_steps(self, items: Sequence[dict[str, object]]) -> httpx.Response:
        content = msgspec.json.encode({"items": items})
        return self._persist(
            lambda: self._service.post("/sessions/steps", content=content, headers=_JSON)
        )

    def _item(self, day: int, hour: int, step_index: int, entity: int) -> dict[str, object]:
        item: dict[str, object] = {
            "session_id": f"{self._world.entities[entity]}:{day}",
            "entity": self._world.entities[entity],
            "at": time_of(hour),
            "step_index": step_index,
            "end": step_index == DAY // STRIDE - 1,
            "values": self._columns(entity, hour - STRIDE + 1, hour + 1),
        }
        return self._start(item, hour, entity) if step_index == 0 else item

    def _start(self, item: dict[str, object], hour: int, entity: int) -> dict[str, object]:
        end = hour - STRIDE + 1
        context = self._columns(entity, end - CONTRACT.input_length, end)
        return {**item, "start": True, "context": context}

    def _columns(self, entity: int, start: int, end: int) -> dict[str, list[float]]:
        columns: list[list[float]] = self._world.observed[entity, start:end].T.tolist()
        return dict(zip(CHANNELS, columns, strict=True))

    def _record_errors(
        self,
        day: int,
        hour: int,
        entities: Sequence[int],
        answers: Iterable[dict[str, dict[str, list[float]]]],
    ) -> None:
        for entity, answer in zip(entities, answers, strict=True):
            predicted = np.array([answer["output"][name] for name in CHANNELS]).T
            true = self._world.actual[entity, hour + 1 : hour + 1 + CONTRACT.horizon]
            error: NDArray[np.float64] = np.abs(predicted - true) / self._scale
            self._errors[day][entity, hour] = float(error.mean())

    def _send_table(self, route: str, table: pa.Table, batch_id: str) -> None:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        response = self._persist(
            lambda: self._api.post(
                f"/v1/models/{self._model}/{route}",
                content=sink.getvalue().to_pybytes(),
                headers={"Content-Type": ARROW_STREAM, "Idempotency-Key": batch_id},
            )
        )
        _expect_ok(response)

    def _persist(self, attempt: Callable[[], httpx.Response]) -> httpx.Response:
        deadline = time.monotonic() + self._patience
        while True:
            try:
                response = attempt()
                if response.status_code not in _AWAY:
                    return response
                reason = f"{response.status_code} {response.text}"
            except httpx.TransportError as error:
                reason = repr(error)
            if time.monotonic() > deadline:
                raise Unreachable(f"no answer in {self._patience:.0f} s: {reason}")
            time.sleep(PAUSE)


def _expect_ok(response: httpx.Response) -> None:
    if not response.is_success:
        raise Refused(f"{response.status_code} from {response.url}: {response.text[:500]}")
