"""How figures and moments are written on a page."""

from datetime import UTC, date, datetime
from urllib.parse import urlsplit

NOTHING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
KIBI = 1024


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
    return f"{100 * share:.{digits}f}".removesuffix(".0") + " %"


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


def day(at: date | datetime | None) -> str:
    """Write a date.

    Examples
    --------
    >>> day(date(2026, 1, 8))
    '2026-01-08'
    """
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


WORDS = {
    word.__name__: word
    for word in (
        figure,
        signed,
        percent,
        thousands,
        moment,
        day,
        ago,
        size,
        seconds,
        spaced,
        followable,
    )
}
