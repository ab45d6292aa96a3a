"""Routing: the share of new sessions by version."""

import hashlib
from dataclasses import dataclass

N_BUCKETS = 10_000  # a share is counted in basis points


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A version that an inference service may load."""

    version: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """The document that inference services follow.

    Attributes
    ----------
    epoch
        Rises with every change; the entity tag is made of it.
    champion
        Serves every session that the challenger does not.
    challenger
        The version in canary, or None.
    share_bp
        Share of *new* sessions for the challenger, in basis points. A session
        stays with the version that began it.
    salt
        Of the rollout. Raising the share only moves sessions from champion to
        challenger, never back.
    is_shadowed
        Score every session with the other version too, without serving it,
        so that the two are compared on the same sessions.
    """

    model: str
    epoch: int
    champion: Served | None
    challenger: Served | None = None
    share_bp: int = 0
    salt: str = ""
    is_shadowed: bool = False


def bucket(salt: str, session_id: str) -> int:
    """Return the bucket of a session, in [0, 10000), the same everywhere and always.

    Examples
    --------
    >>> bucket("rollout-1", "session-7")
    760
    """
    digest = hashlib.sha256(f"{salt}:{session_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % N_BUCKETS


def choose(routing: Routing, session_id: str) -> str | None:
    """Return the version that serves a new session; None when there is no champion yet."""
    if routing.challenger and bucket(routing.salt, session_id) < routing.share_bp:
        return routing.challenger.version
    return routing.champion.version if routing.champion else None
