"""Routing: the share of new sessions by version."""

from dataclasses import dataclass


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
