"""An inference service that is monitored by Seqwatch.

It keeps the sessions, follows the routing document, and logs its predictions. It
continues with the last document while Seqwatch is down. How an artifact becomes
a forecast function is an argument: nothing here knows torch.
"""

import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from seqwatch import Monitor, Options, Router, Routing

from core.errors import AppError, Unprocessable
from core.schema.contract import Contract
from examples.forecaster.serving import Answer, Forecaster
from examples.forecaster.sessions import Sessions, Step, UnknownSession
from examples.forecaster.versions import Load, VersionFailed, Versions

# How much of its log a killed process may lose. Event time may run a thousand times
# faster than wall time here: the client's default would be days of it.
LINGER_SECONDS = 0.05


class ServiceSettings(BaseSettings):
    """Read from `FORECASTER_…` in the environment."""

    model_config = SettingsConfigDict(env_prefix="FORECASTER_", frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(default=8770, ge=0, le=65535)
    seqwatch_url: str = "http://127.0.0.1:8765"
    seqwatch_key: SecretStr
    model: str = "transformers"
    folder: Path = Path("var/forecaster")
    look_every: timedelta = timedelta(seconds=1)
    time_to_live: timedelta = timedelta(days=2)
    max_sessions: int = Field(default=10_000, ge=1)
    acknowledged: Path | None = None  # file for the acknowledged ids, one a line


class Item(BaseModel):
    """One step of one session; lists are oldest first."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    session_id: str = Field(min_length=1)
    entity: str
    at: AwareDatetime
    step_index: int = Field(ge=0)
    start: bool = False
    end: bool = False
    context: dict[str, list[float]] | None = None
    values: dict[str, list[float]]


class Steps(BaseModel):
    """The steps of one request."""

    items: Annotated[list[Item], Field(min_length=1, max_length=4096)]


class Forecasted(BaseModel):
    """The forecast of one step."""

    session_id: str
    prediction_id: str
    version: str
    output: dict[str, list[float]]


class Forecasts(BaseModel):
    """The answers, in the order of the items."""

    items: list[Forecasted]


def create_app(settings: ServiceSettings, contract: Contract, load: Load) -> FastAPI:
    """Build the service; its threads start and end with the application."""
    versions = Versions(load, contract)
    key = settings.seqwatch_key.get_secret_value()

    def prepare(routing: Routing) -> None:
        versions.prepare(routing, router.fetch_artifact)

    router = Router(
        settings.seqwatch_url,
        key,
        settings.model,
        cache=settings.folder / "cache",
        every=settings.look_every.total_seconds(),
        prepare=prepare,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        monitor = Monitor(
            settings.seqwatch_url,
            key,
            settings.model,
            settings.folder / "spool",
            Options(
                linger_seconds=LINGER_SECONDS,
                on_acknowledged=_recorder(settings.acknowledged),
            ),
        )
        app.state.router = router
        app.state.monitor = monitor
        app.state.forecaster = Forecaster(
            contract,
            lambda: router.current,
            versions,
            Sessions(contract.input_length, settings.time_to_live, settings.max_sessions),
            monitor,
            worker=f"{socket.gethostname()}:{os.getpid()}",
        )
        router.start()
        yield
        router.close()
        monitor.close()

    app = FastAPI(title="Forecaster", lifespan=lifespan)
    app.add_exception_handler(AppError, _refuse)
    app.add_exception_handler(VersionFailed, _fail)

    @app.post("/sessions/steps")
    def steps(asked: Steps) -> Forecasts:
        forecaster: Forecaster = app.state.forecaster
        answers = forecaster.serve([_step(contract, item) for item in asked.items])
        return Forecasts.model_construct(items=[_forecasted(contract, one) for one in answers])

    @app.get("/health")
    def health() -> JSONResponse:
        routing = router.current
        is_ready = routing is not None and routing.champion is not None
        return JSONResponse(
            {
                "ready": is_ready,
                "epoch": routing.epoch if routing else None,
                "versions": list(versions.names()),
                "log": asdict(app.state.monitor.counts()),
            },
            status_code=200 if is_ready else 503,
        )

    return app


def _recorder(path: Path | None) -> Callable[[Sequence[str]], None] | None:
    """Return a function that writes acknowledged ids to a file, in whole lines."""
    if path is None:
        return None

    def record(ids: Sequence[str]) -> None:
        with path.open("a") as file:
            file.write("".join(f"{one}\n" for one in ids))

    return record


def _step(contract: Contract, item: Item) -> Step:
    if item.start != (item.context is not None):
        raise Unprocessable(f"session {item.session_id}: start and context belong together")
    context = None if item.context is None else _columns(contract, item.context)
    values = _columns(contract, item.values)
    if not len(values):
        raise Unprocessable(f"session {item.session_id}: values are empty")
    return Step(
        session_id=item.session_id,
        entity=item.entity,
        at=item.at,
        step_index=item.step_index,
        values=values,
        context=context,
        is_end=item.end,
    )


def _columns(contract: Contract, columns: dict[str, list[float]]) -> NDArray[np.float64]:
    if columns.keys() != {*contract.feature_names}:
        raise Unprocessable(f"channels must be exactly {', '.join(contract.feature_names)}")
    if len({len(values) for values in columns.values()}) > 1:
        raise Unprocessable("channels must be of equal length")
    return np.array([columns[name] for name in contract.feature_names], dtype=np.float64).T


def _forecasted(contract: Contract, answer: Answer) -> Forecasted:
    columns: list[list[float]] = answer.values.T.tolist()
    return Forecasted.model_construct(
        session_id=answer.session_id,
        prediction_id=answer.prediction_id,
        version=answer.version,
        output=dict(zip(contract.targets, columns, strict=True)),
    )


def _refuse(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AppError)
    content: dict[str, object] = {"error": type(error).__name__, "detail": str(error)}
    if isinstance(error, UnknownSession):
        content["sessions"] = error.session_ids
    return JSONResponse(content, status_code=error.status)


def _fail(_: Request, error: Exception) -> JSONResponse:
    content = {"error": type(error).__name__, "detail": "no version could forecast"}
    return JSONResponse(content, status_code=500)
