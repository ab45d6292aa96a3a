"""Golden rows: outputs of a runtime for known inputs, compared with stored outputs."""

from collections.abc import Sequence
from dataclasses import dataclass

from seqwatch_skew.comparison import FeatureSkew

# Fewer show little: a fault that befalls one row in twenty is missed by 50 rows with a
# probability of 0.95^50 = 8 %, by 20 rows with 36 %.
MIN_VECTORS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """The verdict on one replay of golden vectors.

    Attributes
    ----------
    n_vectors
        How many were compared.
    n_absent
        How many the runtime gave no answer to.
    off
        The features and outputs that differ by more than the tolerance.
    reasons
        Why it did not pass; empty when it did.
    """

    n_vectors: int
    n_absent: int
    off: tuple[str, ...]
    reasons: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the runtime may serve."""
        return not self.reasons


def evaluate(found: Sequence[FeatureSkew], n_vectors: int, n_absent: int = 0) -> Replay:
    """Return whether a replay passes: enough vectors, all of them answered, none off.

    Parameters
    ----------
    found
        Every feature and output, compared.
    n_vectors, n_absent
        Vectors with an answer, and without.

    Examples
    --------
    >>> evaluate([], n_vectors=20).reasons
    ('20 vectors, and 50 are needed',)
    """
    off = tuple(skew.name for skew in found if skew.is_skewed)
    reasons = []
    if n_vectors < MIN_VECTORS:
        reasons.append(f"{n_vectors} vectors, and {MIN_VECTORS} are needed")
    if n_absent:
        reasons.append(f"{n_absent} vectors without an answer")
    if off:
        reasons.append(f"off by more than the tolerance: {', '.join(off)}")
    return Replay(n_vectors=n_vectors, n_absent=n_absent, off=off, reasons=tuple(reasons))
