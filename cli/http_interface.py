"""The REST interface, as commands of the shell use it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from core.errors import AppError, Unprocessable
from core.settings import Settings


class Refused(AppError):
    """The platform refused the request; the message holds the reason.

    Attributes
    ----------
    document
        Problem details (RFC 9457).
    """

    def __init__(self, message: str, document: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.document = document or {}


@contextmanager
def connected_to(
    settings: Settings, url: str | None, scopes: str, seconds: float = 60.0
) -> Iterator[httpx.Client]:
    """Give one command a client, with the key of SEQWATCH_KEY.

    Raises
    ------
    Unprocessable
        If there is no key, naming the scopes that it needs, or the address is not a URL.
    """
    key = os.environ.get("SEQWATCH_KEY", "").strip()
    if not key:
        raise Unprocessable(f"no key: set SEQWATCH_KEY to one with {scopes}")
    address = url or settings.public_url
    try:
        base_url = httpx.URL(address)
    except httpx.InvalidURL as error:
        raise Unprocessable(f"{address!r} is not a URL: {error}") from None
    with httpx.Client(
        base_url=base_url,
        headers={"Authorization": f"Bearer {key}"},
        timeout=seconds,
    ) as api:
        yield api


def asked(api: httpx.Client, method: str, path: str, **more: Any) -> dict[str, Any]:
    """Send a request and return the document of its answer.

    Raises
    ------
    Refused
        If there is no answer, or with what the platform answered.
    """
    return _document(api, answered(api, method, path, **more))


def answered(api: httpx.Client, method: str, path: str, **more: Any) -> httpx.Response:
    """Send a request and return its answer.

    Raises
    ------
    Refused
        As `asked`.
    """
    try:
        answer = api.request(method, path, **more)
    except httpx.TransportError as error:
        raise Refused(
            f"no answer from {api.base_url} ({type(error).__name__}: {error}): is the API "
            "running there? The address is SEQWATCH_PUBLIC_URL, or --url"
        ) from None
    if answer.is_error:
        document = _document(api, answer)
        raise Refused(f"{answer.status_code}: {document.get('detail', '')}", document)
    return answer


def _document(api: httpx.Client, answer: httpx.Response) -> dict[str, Any]:
    try:
        document: dict[str, Any] = answer.json()
    except ValueError:
        raise Refused(
            f"{answer.status_code}: the answer of {api.base_url} is not JSON: is this the "
            "address of Seqwatch, without a path?"
        ) from None
    return document
