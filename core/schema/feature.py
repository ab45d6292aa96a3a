"""Feature of a contract: type, range, length and sensitivity."""

from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from math import isfinite

from core.errors import Unprocessable

MAX_VOCABULARY = 10_000  # texts
MAX_TEXT_BYTES = 512  # of one text, also of one name
MAX_BUCKETS = 1_000
# Of a number's magnitude. Beyond it a value is no measurement, and sums of products
# overflow: rows that hold one are quarantined as `out_of_range`.
LARGEST = 1e100


class Dtype(StrEnum):
    """What a feature's list holds."""

    NUMBER = "number"
    CATEGORY = "category"


class Sensitivity(StrEnum):
    """What becomes of a value before anything is stored."""

    NONE = "none"
    DROP = "drop"
    HASH = "hash"
    BUCKET = "bucket"


# From the least to the most that is taken away; hash and bucket are for different dtypes.
STRICTNESS = {
    Sensitivity.NONE: 0,
    Sensitivity.BUCKET: 1,
    Sensitivity.HASH: 1,
    Sensitivity.DROP: 2,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One input of the model, always a list.

    Attributes
    ----------
    name
        The key under `features` in every prediction row.
    unit
        For people, e.g. "MW". Not interpreted.
    min_length, max_length
        How many steps one row may carry, both included.
    dtype
        A list of numbers, or a list of texts.
    optional
        A row may leave it out.
    minimum, maximum
        The allowed range of a number, both included; None is no bound.
    vocabulary
        The allowed texts of a category; empty allows every text.
    sensitivity
        `drop` stores nothing, `hash` (categories) the HMAC of each text
        under the model's key, `bucket` (numbers) the middle of its bucket.
    bucket_edges
        Ascending; a value below the first or from the last on becomes that edge.
    context
        It explains other inputs, as weather or a set-point does: its own drift is no finding.
    """

    name: str
    unit: str = ""
    min_length: int = 1
    max_length: int = 4096
    dtype: Dtype = Dtype.NUMBER
    optional: bool = False
    minimum: float | None = None
    maximum: float | None = None
    vocabulary: tuple[str, ...] = ()
    sensitivity: Sensitivity = Sensitivity.NONE
    bucket_edges: tuple[float, ...] = ()
    context: bool = False

    def __post_init__(self) -> None:
        if not self.name or len(self.name.encode(errors="replace")) > MAX_TEXT_BYTES:
            raise Unprocessable(
                f"a feature or a target has an empty name, or one over {MAX_TEXT_BYTES} bytes"
            )
        if not 1 <= self.min_length <= self.max_length:
            raise self._fault("needs 1 <= min_length <= max_length")
        if self.dtype is Dtype.CATEGORY:
            self._check_category()
        else:
            self._check_number()

    @property
    def takes_booleans(self) -> bool:
        """Whether true and false are numbers of it, 1 and 0: its range is exactly 0 to 1."""
        return self.dtype is Dtype.NUMBER and (self.minimum, self.maximum) == (0, 1)

    @property
    def is_kept(self) -> bool:
        """Whether the log has a column for it."""
        return self.sensitivity is not Sensitivity.DROP

    def _check_category(self) -> None:
        if self.minimum is not None or self.maximum is not None:
            raise self._fault("minimum and maximum are for numbers")
        if self.sensitivity is Sensitivity.BUCKET or self.bucket_edges:
            raise self._fault("sensitivity bucket and bucket_edges are for numbers")
        if len(self.vocabulary) > MAX_VOCABULARY:
            raise self._fault(f"vocabulary has more than {MAX_VOCABULARY} texts")
        if len({*self.vocabulary}) < len(self.vocabulary):
            raise self._fault("vocabulary names a text twice")
        for text in self.vocabulary:
            # "surrogatepass" counts half of a surrogate pair, which no encoding can store.
            n_bytes = len(text.encode(errors="surrogatepass"))
            is_unicode = not any("\ud800" <= each <= "\udfff" for each in text)
            if not 0 < n_bytes <= MAX_TEXT_BYTES or "\0" in text or not is_unicode:
                raise self._fault(
                    f"a text of the vocabulary is empty, not Unicode, holds a NUL character "
                    f"or is over {MAX_TEXT_BYTES} bytes"
                )

    def _check_number(self) -> None:
        if self.vocabulary:
            raise self._fault("vocabulary is for categories")
        if self.sensitivity is Sensitivity.HASH:
            raise self._fault("sensitivity hash is for categories; use bucket or drop")
        bounds = [bound for bound in (self.minimum, self.maximum) if bound is not None]
        if not all(map(isfinite, bounds)):
            raise self._fault("minimum and maximum must be finite")
        if bounds != sorted(bounds):
            raise self._fault("needs minimum <= maximum")
        self._check_buckets()

    def _check_buckets(self) -> None:
        edges = self.bucket_edges
        if self.sensitivity is not Sensitivity.BUCKET:
            if edges:
                raise self._fault("bucket_edges are for sensitivity bucket")
            return
        if not 2 <= len(edges) <= MAX_BUCKETS:
            raise self._fault(f"sensitivity bucket needs 2 to {MAX_BUCKETS} bucket_edges")
        is_rising = all(low < high for low, high in pairwise(edges))
        if not all(map(isfinite, edges)) or not is_rising:
            raise self._fault("bucket_edges must be finite and ascend")

    def _fault(self, reason: str) -> Unprocessable:
        return Unprocessable(f"feature {self.name!r}: {reason}")
