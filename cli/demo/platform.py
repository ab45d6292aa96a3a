"""What the demonstration asks of the platform: only its public interface."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from core.errors import AppError

PATIENCE_SECONDS = 60.0  # a process that was killed is back well before


class Unreachable(AppError):
    """The platform did not answer for longer than a restart takes."""


@dataclass(frozen=True, slots=True)
class Platform:
    """A thin client with a key; waits while a process is being restarted."""

    http: httpx.Client

    @classmethod
    def at(cls, url: str, key: str | None = None) -> "Platform":
        """Return a client for what answers at `url`."""
        return cls(
            httpx.Client(
                base_url=url,
                headers={"Authorization": f"Bearer {key}"} if key else {},
                timeout=30.0,
                trust_env=False,
            )
        )

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Send a request until it is answered; an error status is raised."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                answer = self.http.request(method, path, **request)
            except httpx.TransportError as error:
                reason = str(error)
            else:
                reason = f"{answer.status_code} {answer.text[:300]}"
                if answer.is_success:
                    return answer
                if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                    raise Unreachable(f"{method} {path}: {reason}")
            if time.monotonic() > until:
                raise Unreachable(f"{method} {path}: {reason}")
            time.sleep(0.2)

    def get(self, path: str, **params: Any) -> Any:
        """Return what is at `path`."""
        return self.ask("GET", path, params=params).json()

    def items(self, path: str, **params: Any) -> list[Any]:
        """Return the first items of the list at `path`: more than a demonstration has."""
        found: list[Any] = self.get(path, limit=1000, **params)["items"]
        return found

    def wait(
        self,
        path: str,
        until: Callable[[Any], bool],
        seconds: float,
        on_reading: Callable[[Any], None] = lambda _: None,
    ) -> Any:
        """Read `path` until it is as wanted, showing each reading to `on_reading`."""
        end = time.monotonic() + seconds
        while True:
            seen = self.get(path)
            on_reading(seen)
            if until(seen):
                return seen
            if time.monotonic() > end:
                raise Unreachable(f"{path} is not as wanted after {seconds:.0f} s: {seen}")
            time.sleep(0.2)
