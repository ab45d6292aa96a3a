"""The description of this API, for viewers and generators of clients."""

from typing import Any

from fastapi import APIRouter, Request

from api.dependencies import CallerDep

router = APIRouter(tags=["description"])


@router.get("/openapi.json")
def openapi(request: Request, _: CallerDep) -> dict[str, Any]:
    """Describe every address that this process answers."""
    description: dict[str, Any] = request.app.openapi()
    return description
