"""The routing document, and the choice of the version of a session."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

N_BUCKETS = 10_000  # a share is counted in basis points


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A version, and the checksum of its artifact (None: an artifact of the host)."""

    version: str
    sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """The routing document: the share of new sessions by version.

    Attributes
    ----------
    epoch
        Rises with every change.
    champion, challenger
        The versions in service; there may be none of either.
    share_bp
        Share of new sessions for the challenger, in basis points.
    salt
        Of the rollout; see `bucket`.
    is_shadowed
        Score every session with the other version too, and log it as shadow.
    """

    model: str
    epoch: int
    champion: Served | None
    challenger: Served | None = None
    share_bp: int = 0
    salt: str = ""
    is_shadowed: bool = False

    @property
    def served(self) -> tuple[Served, ...]:
        """Every version that the document names, the champion first."""
        return tuple(one for one in (self.champion, self.challenger) if one is not None)

    def choose(self, session_id: str) -> str | None:
        """Return the version for a new session; None when there is no champion yet.

        Examples
        --------
        >>> routing = Routing(
        ...     model="load", epoch=3, champion=Served(version="v1", sha256=None),
        ...     challenger=Served(version="v2", sha256=None), share_bp=500, salt="r-1",
        ... )
        >>> chosen = [routing.choose(f"session-{i}") for i in range(10_000)]
        >>> chosen.count("v2")
        499
        """
        if self.challenger and bucket(self.salt, session_id) < self.share_bp:
            return self.challenger.version
        return self.champion.version if self.champion else None

    @classmethod
    def from_json(cls, text: str | bytes) -> "Routing":
        """Read the document. Raises ValueError when it is something else."""
        try:
            fields: dict[str, Any] = json.loads(text)
            return cls(
                model=fields["model"],
                epoch=int(fields["epoch"]),
                champion=_served(fields["champion"]),
                challenger=_served(fields.get("challenger")),
                share_bp=int(fields.get("share_bp", 0)),
                salt=str(fields.get("salt", "")),
                is_shadowed=bool(fields.get("is_shadowed", False)),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a routing document: {error!r}") from None


def bucket(salt: str, session_id: str) -> int:
    """Return the bucket of a session, in [0, 10000), the same everywhere and always.

    A session stays in its bucket while the share rises, so that sessions only
    ever move from champion to challenger.

    Examples
    --------
    >>> bucket("rollout-1", "session-7")
    760
    """
    digest = hashlib.sha256(f"{salt}:{session_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % N_BUCKETS


def _served(fields: dict[str, Any] | None) -> Served | None:
    if fields is None:
        return None
    return Served(version=fields["version"], sha256=fields.get("sha256"))
