"""The page of a list: every list takes `limit` and `cursor`."""

from typing import Annotated

from fastapi import Depends, Query

from services.read_models.paging import Paging

MAX_LIMIT = 1000

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Items of a page.")]
Cursor = Annotated[
    str | None, Query(max_length=2048, description="`next_cursor` of the page before.")
]


def paging(limit: Limit = 100, cursor: Cursor = None) -> Paging:
    """Return the requested page."""
    return Paging(limit=limit, cursor=cursor)


PagingDep = Annotated[Paging, Depends(paging)]
