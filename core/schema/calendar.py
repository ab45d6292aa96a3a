"""Calendar of a contract: business days and holidays."""

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from core.errors import Unprocessable

MAX_HOLIDAYS = 10_000
SUNDAY = 6


class Weekday(StrEnum):
    """A day of the week."""

    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"


_ORDER = tuple(Weekday)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """Business days and holidays, in the zone of the contract.

    Attributes
    ----------
    business_days
        Days of the week on which business is done, from Monday on; empty where all are alike.
    holidays
        Dates, ascending: they are compared with the last day of the week that is no business
        day, or with Sundays where all are alike.
    """

    business_days: tuple[Weekday, ...] = ()
    holidays: tuple[date, ...] = ()

    def __post_init__(self) -> None:
        places = [_ORDER.index(day) for day in self.business_days]
        if places != sorted({*places}):
            raise Unprocessable(
                "calendar: business_days must be in order from monday, no day twice"
            )
        if len(self.holidays) > MAX_HOLIDAYS:
            raise Unprocessable(f"calendar: at most {MAX_HOLIDAYS} holidays")
        if list(self.holidays) != sorted({*self.holidays}):
            raise Unprocessable("calendar: holidays must ascend, each once")
        if self.holidays and len(places) == len(_ORDER):
            raise Unprocessable(
                "calendar: a holiday is compared with days without business, "
                "and business_days names all seven"
            )

    def weekday(self, day: date) -> int:
        """Return the day of the week that a day is compared with: 0 is Monday.

        Examples
        --------
        >>> christmas = Calendar(holidays=(date(2026, 12, 25),))
        >>> christmas.weekday(date(2026, 12, 24)), christmas.weekday(date(2026, 12, 25))
        (3, 6)
        """
        return self._of_holidays if day in self.holidays else day.weekday()

    def alike(self, day: date, within: int) -> list[date]:
        """Return the days before one that it is compared with, the newest first.

        Parameters
        ----------
        day
            Compared.
        within
            How many days before it are searched.

        Examples
        --------
        >>> friday = Calendar(holidays=(date(2026, 5, 1),)).alike(date(2026, 5, 15), 28)
        >>> [day.isoformat() for day in friday]
        ['2026-05-08', '2026-04-24', '2026-04-17']
        """
        before = (day - timedelta(days=back) for back in range(1, within + 1))
        return [one for one in before if self.weekday(one) == self.weekday(day)]

    @property
    def _of_holidays(self) -> int:
        if not self.business_days:
            return SUNDAY
        return max(place for place, day in enumerate(_ORDER) if day not in self.business_days)
