"""A FastAPI service: the version is chosen by session, and every answer is logged."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import torch
from fastapi import FastAPI
from pydantic import BaseModel
from seqwatch import Monitor, Router
from seqwatch.asgi import Watch

from examples.serving.model import Forecaster


class Question(BaseModel):
    """The last hours of one site."""

    session_id: str
    entity: str
    load: list[float]
    temperature: list[float]


def create_app(
    monitor: Monitor, router: Router, models: Mapping[str, Forecaster], default: str
) -> FastAPI:
    """Return the service.

    Parameters
    ----------
    models
        The loaded versions.
    default
        The version to serve with until the routing is known.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        router.start()
        yield
        router.close()
        monitor.close()

    app = FastAPI(lifespan=lifespan)
    app.add_middleware(Watch, paths=("/forecasts",))

    @app.post("/forecasts")
    def forecast(question: Question) -> dict[str, object]:
        version = router.choose(question.session_id) or default
        if version not in models:  # a challenger that could not be loaded
            version = router.champion or default
        windows = torch.tensor([[question.load, question.temperature]]).transpose(1, 2)
        with torch.no_grad():
            output, _ = models[version](windows)
        values: list[float] = output[0].tolist()
        # Status, latency and trace come from the request.
        prediction_id = monitor.log(
            version=version,
            session_id=question.session_id,
            entity=question.entity,
            features={"load": question.load, "temperature": question.temperature},
            output={"load": values},
        )
        return {"prediction_id": prediction_id, "load": values}

    return app
