"""The description of this API, for viewers and generators of clients."""

from typing import Any

from fastapi import APIRouter, FastAPI, Request

from api import ingest
from api.dependencies import CallerDep

router = APIRouter(tags=["description"])


class Application(FastAPI):
    """An application that also describes its plain ASGI routes."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI description of every address."""
        described = super().openapi()
        return {**described, "paths": {**ingest.openapi_paths(), **described["paths"]}}


@router.get("/openapi.json")
def openapi(request: Request, _: CallerDep) -> dict[str, Any]:
    """Describe every address that this process answers."""
    description: dict[str, Any] = request.app.openapi()
    return description
