"""Markdown templates whose values are text: what a model is called is no markup."""

import re
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+\-!|~&])")


def escaped(value: object) -> str:
    r"""Return a value as text within a line of Markdown.

    Examples
    --------
    >>> print(escaped("a_b <script>"))
    a\_b \<script\>
    >>> escaped(None), escaped(0.123456), escaped(timedelta(seconds=90))
    ('none', '0.1235', '0:01:30')
    """
    match value:
        case None:
            return "none"
        case float():
            return f"{value:.4g}".replace("-", "\\-")
        case datetime():
            return f"{value:%Y\\-%m\\-%d %H:%M:%S} UTC"
        case timedelta():
            return str(timedelta(seconds=round(value.total_seconds())))
        case _:
            return _SPECIAL.sub(r"\\\1", " ".join(str(value).split()))


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "none"


@cache
def templates(folder: Path) -> "Environment":
    """Return the templates of a folder: CommonMark with tables; `share` is a filter."""
    # Not at the start: it takes 2 MB of memory.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    found = Environment(
        loader=FileSystemLoader(folder),
        autoescape=False,  # noqa: S701 - Markdown: `escaped` is applied to each value
        finalize=escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters["share"] = _share
    return found
