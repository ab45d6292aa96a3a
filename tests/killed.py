"""Processes that die at work as by `kill -9`, forked from one that has imported the platform.

To start Python and import the platform anew takes 2 s of CPU, a fork 0.02 s.
"""

import signal
from collections.abc import Callable
from multiprocessing import get_context

_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["tests.erasure.crashing", "tests.late.crashing", "tests.open_tables.results"]
)


def assert_killed(work: Callable[..., None], *given: object, seconds: float = 240) -> None:
    """Let a process of its own do work that must end in its death."""
    process = _CONTEXT.Process(target=work, args=given)
    process.start()
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
    assert process.exitcode == -signal.SIGKILL, f"it ended with {process.exitcode}"
