"""Query parameters: one that is misspelt is refused, and not ignored."""

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params

from core.errors import Unprocessable


async def refuse_unknown(request: Request) -> None:
    """Refuse a request with a query parameter that its route does not have.

    Raises
    ------
    Unprocessable
        Naming the parameters that are unknown, and listing those there are.
    """
    if not request.query_params:
        return
    route = request.scope["route"]
    known = {field.alias for field in get_flat_params(route.dependant)}
    known -= route.param_convertors.keys()
    unknown = sorted({*request.query_params} - known)
    if unknown:
        there_are = ", ".join(sorted(known)) or "none"
        raise Unprocessable(
            f"query parameter {', '.join(unknown)}: unknown; known: {there_are}"
        )
