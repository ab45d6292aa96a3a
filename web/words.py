"""Template filters: figures and times as text."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime
from urllib.parse import quote, urlsplit

from core.schema.zone import DEFAULT, Zone
from monitors.false_alarms.false_alarm_rate import Achieved

NOTHING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
KIBI = 1024
MANY = 200  # values of one list on a page
LONG = 4_000  # characters of one document


def rate(achieved: Achieved) -> str:
    """Write the rate of alerts of a monitor, with its confidence interval.

    Examples
    --------
    >>> rate(Achieved(n_alarms=4, days=360.0))
    'once in 90 days (39.3 to 263)'
    >>> rate(Achieved(n_alarms=0, days=244.0))
    'none in 244 days (at least 81.4 apart)'
    """
    shortest, longest = achieved.interval()
    if not achieved.n_alarms:
        return f"none in {figure(achieved.days)} days (at least {figure(shortest)} apart)"
    bounds = f"{figure(shortest)} to {figure(longest)}"
    return f"once in {figure(achieved.days_between)} days ({bounds})"


def figure(value: float | None) -> str:
    """Write a number with three significant digits.

    Examples
    --------
    >>> figure(0.41932), figure(1234.5)
    ('0.419', '1,234')
    """
    if value is None:
        return NOTHING
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return text.replace("-", MINUS)


def signed(value: float | None) -> str:
    """Write a relative change.

    Examples
    --------
    >>> signed(0.042)
    '+4.2 %'
    """
    return NOTHING if value is None else f"{100 * value:+.1f} %".replace("-", MINUS)


def percent(share: float | None) -> str:
    """Write a share, with as many digits as it takes to tell it from none and from all.

    Examples
    --------
    >>> percent(0.05), percent(0.4567), percent(0.9994), percent(1.0)
    ('5 %', '45.7 %', '99.94 %', '100 %')
    """
    if share is None:
        return NOTHING
    digits = 2 if 0 < share < 0.001 or 0.999 < share < 1 else 1
    return f"{100 * share:.{digits}f}".removesuffix(".0").replace("-", MINUS) + " %"


def thousands(n: int | None) -> str:
    """Write a count, its thousands apart.

    Examples
    --------
    >>> thousands(1234567)
    '1,234,567'
    """
    return NOTHING if n is None else f"{n:,}"


def moment(at: datetime | None) -> str:
    """Write a moment, in UTC, to the minute.

    Examples
    --------
    >>> moment(datetime(2026, 1, 8, 5, 30, tzinfo=UTC))
    '2026-01-08 05:30'
    """
    return NOTHING if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"


def day(at: date | datetime | None, zone: str = DEFAULT) -> str:
    """Write a date; of a moment that of its day in a time zone.

    Examples
    --------
    >>> day(date(2026, 1, 8)), day(datetime(2026, 1, 8, 23, tzinfo=UTC), "Europe/Berlin")
    ('2026-01-08', '2026-01-09')
    """
    if isinstance(at, datetime):
        at = Zone(zone).day_of(at)
    return NOTHING if at is None else f"{at:%Y-%m-%d}"


def ago(at: datetime | None, now: datetime) -> str:
    """Write how long ago something was, in its largest unit.

    Examples
    --------
    >>> now = datetime(2026, 1, 8, 12, 30, tzinfo=UTC)
    >>> ago(datetime(2026, 1, 8, 11, tzinfo=UTC), now), ago(now, now)
    ('1 h ago', 'just now')
    """
    if at is None:
        return "never"
    seconds = int((now - at).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit} ago"
    return "just now"


def size(n_bytes: int | None) -> str:
    """Write a size in bytes.

    Examples
    --------
    >>> size(812), size(3_400_000)
    ('812 B', '3.2 MiB')
    """
    if n_bytes is None:
        return NOTHING
    value, units = float(n_bytes), ["B", "KiB", "MiB", "GiB"]
    while value >= KIBI and len(units) > 1:
        value, units = value / KIBI, units[1:]
    return f"{value:.0f} B" if units[0] == "B" else f"{value:.1f} {units[0]}"


def seconds(value: float | None) -> str:
    """Write a latency.

    Examples
    --------
    >>> seconds(0.0123), seconds(1.5), seconds(0.0004)
    ('12.3 ms', '1.5 s', '0.4 ms')
    """
    if value is None:
        return NOTHING
    return f"{value:.3g} s" if value >= 1 else f"{1000 * value:.3g} ms"


def duration(value: float | None) -> str:
    """Write a duration in its two largest units.

    Examples
    --------
    >>> duration(518), duration(96_000), duration(0)
    ('8 min 38 s', '1 d 2 h', '0 s')
    """
    if value is None:
        return NOTHING
    rest = round(value)
    parts: list[tuple[int, str]] = []
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        n, rest = divmod(rest, length)
        if n or parts:
            parts.append((n, unit))
    return " ".join(f"{n} {unit}" for n, unit in parts[:2] if n) or "0 s"


def spaced(name: str) -> str:
    """Write the name of a phase, an event or a monitor in words.

    Examples
    --------
    >>> spaced("rolled_back")
    'rolled back'
    """
    return name.replace("_", " ")


def followable(url: str) -> str:
    """Return an address that is safe to put into a link, else nothing.

    Examples
    --------
    >>> followable("https://wiki.example/runbook"), followable("javascript:alert(1)")
    ('https://wiki.example/runbook', '')
    """
    return url if urlsplit(url).scheme in ("http", "https") else ""


def instant(at: datetime | None) -> str:
    """Write a moment, in UTC, as exactly as it is known.

    Examples
    --------
    >>> instant(datetime(2026, 1, 8, 5, 30, tzinfo=UTC))
    '2026-01-08 05:30'
    >>> instant(datetime(2026, 1, 8, 5, 30, 7, 250_000, tzinfo=UTC))
    '2026-01-08 05:30:07.25'
    """
    if at is None:
        return NOTHING
    text = f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}".rstrip("0").rstrip(".")
    return text.removesuffix(":00") if text.count(":") == 2 else moment(at)


def stamp(at: datetime) -> str:
    """Write a moment as an address takes it.

    Examples
    --------
    >>> stamp(datetime(2026, 1, 8, 5, 30, tzinfo=UTC))
    '2026-01-08T05:30:00Z'
    """
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def inpath(text: str) -> str:
    """Write a name as one part of a path.

    Examples
    --------
    >>> inpath("s17:4/a b?")
    's17%3A4%2Fa%20b%3F'
    """
    return quote(text, safe="")


def some_figures(values: Sequence[float | str | None] | None) -> str:
    """Write the first few of a list.

    Examples
    --------
    >>> some_figures([1.5, 2, 3, 4, 5])
    '1.5, 2, 3, … (5)'
    """
    if not values:
        return NOTHING
    text = ", ".join(value if isinstance(value, str) else figure(value) for value in values[:3])
    return text if len(values) <= 3 else f"{text}, … ({len(values)})"


def last_figure(values: Sequence[float | str | None] | None) -> str:
    """Write the last of a list, and how long that is.

    Examples
    --------
    >>> last_figure([1.5, 3]), last_figure([7])
    ('3 (2)', '7')
    """
    if not values:
        return NOTHING
    text = some_figures(values[-1:])
    return text if len(values) == 1 else f"{text} ({len(values)})"


def listed(values: Sequence[float | str | None] | None) -> str:
    """Write a whole list, every digit; of a very long one its two ends.

    Examples
    --------
    >>> listed([0.1, 2.0])
    '0.1, 2.0'
    """
    if values is None:
        return NOTHING
    texts = [NOTHING if value is None else str(value) for value in values]
    if len(texts) > MANY:
        texts = [*texts[: MANY // 2], f"… {len(texts) - MANY} more …", *texts[-MANY // 2 :]]
    return ", ".join(texts)


def pretty(content: object) -> str:
    """Write a JSON document over several lines, cut off where it is long.

    Examples
    --------
    >>> print(pretty({"load": [1]}))
    {
     "load": [
      1
     ]
    }
    """
    text = json.dumps(content, indent=1, ensure_ascii=False, default=str)
    return text if len(text) <= LONG else f"{text[:LONG]}\n…"


WORDS = {
    word.__name__: word
    for word in (
        rate,
        figure,
        signed,
        percent,
        thousands,
        moment,
        day,
        ago,
        size,
        seconds,
        duration,
        spaced,
        followable,
        instant,
        stamp,
        inpath,
        some_figures,
        last_figure,
        listed,
        pretty,
    )
}
