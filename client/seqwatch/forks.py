"""Reinitialises objects with threads, locks or connections in a forked child."""

import os
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    """An object whose state must not be shared by parent and child."""

    def renew(self) -> None:
        """Reinitialise. Runs in the child, before anything else does."""


_alive: "WeakSet[Forked]" = WeakSet()


def on_fork(owner: Forked) -> None:
    """Call `owner.renew` in every child forked from now on, while the owner lives."""
    _alive.add(owner)


def _renew_all() -> None:
    for owner in list(_alive):
        owner.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
