"""Trace of a request: W3C Trace Context, level 1."""

import re

# Later versions of the format may have more fields after another dash.
_TRACEPARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-[0-9a-f]{2}"
    r"(?P<more>-.*)?"
)


def trace_id(traceparent: str) -> str | None:
    """Return the trace id of a `traceparent`; None where it is not valid.

    Examples
    --------
    >>> trace_id("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    '4bf92f3577b34da6a3ce929d0e0e4736'
    >>> trace_id("00-00000000000000000000000000000000-00f067aa0ba902b7-01") is None
    True
    """
    found = _TRACEPARENT.fullmatch(traceparent.strip())
    if (
        found is None
        or found["version"] == "ff"
        or (found["more"] and found["version"] == "00")
    ):
        return None
    if not found["trace"].strip("0") or not found["parent"].strip("0"):
        return None
    return found["trace"]
