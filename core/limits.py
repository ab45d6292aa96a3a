"""Limits of a key, and the token bucket that enforces a rate."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from core.errors import Unprocessable
from core.stored import parsed

BURST_SECONDS = 10.0  # of its rate, that a key may send at once after a rest
MOST = 2**53  # any number that JSON carries exactly


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a key may send; None stands for the limit of the installation.

    Attributes
    ----------
    body_bytes
        Of one request, unpacked.
    rows
        Of one batch.
    rows_per_second
        In the long run, at each replica.
    burst_rows
        At once, after a rest; by default ten seconds of its rate.
    waiting_bytes
        Of its requests that are being read or wait for the disk.
    """

    body_bytes: int | None = None
    rows: int | None = None
    rows_per_second: int | None = None
    burst_rows: int | None = None
    waiting_bytes: int | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not 1 <= value <= MOST:
                raise Unprocessable(f"limits: {name} must be at least 1")
        if self.burst_rows is not None and self.rows_per_second is None:
            raise Unprocessable("limits: burst_rows needs rows_per_second")

    def to_json(self) -> dict[str, Any]:
        """Return the form that is stored: only the limits that are set."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Limits":
        """Read the stored form.

        Raises
        ------
        Unprocessable
            Naming the entry that is unknown or of the wrong type.

        Examples
        --------
        >>> Limits.from_json({"rows_per_second": 500}).to_json()
        {'rows_per_second': 500}
        """
        return parsed(stored, cls, "limits")


AS_INSTALLED = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A token bucket that may go into debt: whoever is not in debt may send one batch.

    A batch is charged by its rows once they are counted. It is never too large
    for the bucket; it is followed by a longer pause. In the long run the rate
    is held exactly.

    Attributes
    ----------
    rate
        Rows per second.
    burst
        Rows; the balance never rises above it.
    balance
        Rows, at the moment `at`. Negative is debt.
    at
        Seconds, of any clock that only goes forward.
    """

    rate: float
    burst: float
    balance: float
    at: float

    def later(self, at: float) -> "Bucket":
        """Return the bucket as it is at a later moment."""
        gained = max(at - self.at, 0.0) * self.rate
        balance = min(self.balance + gained, self.burst)
        return replace(self, balance=balance, at=max(at, self.at))

    def charged(self, n_rows: int) -> "Bucket":
        """Return the bucket after a batch.

        Examples
        --------
        >>> bucket = Bucket(rate=100.0, burst=1000.0, balance=1000.0, at=0.0)
        >>> bucket.charged(1200).seconds_of_debt
        2.0
        >>> bucket.charged(1200).later(3.0).balance
        100.0
        """
        return replace(self, balance=self.balance - n_rows)

    @property
    def seconds_of_debt(self) -> float:
        """How long until the debt is paid; 0 without debt."""
        return max(-self.balance / self.rate, 0.0)
