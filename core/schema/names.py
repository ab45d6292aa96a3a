"""Validation of names: characters that no name may hold."""

import re
from collections.abc import Iterator

from core.errors import Unprocessable
from core.schema.contract import Contract

# C0 and C1 controls, DEL, halves of surrogate pairs, separators of lines and paragraphs, and
# the controls that change the direction of the text around them.
_FORBIDDEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)


def check_text(field: str, text: str) -> None:
    r"""Refuse control characters in a name or a unit.

    Parameters
    ----------
    field
        Where the text was given, for the message.
    text
        Quotes, backslashes, spaces, slashes and every printable character are accepted.

    Raises
    ------
    Unprocessable
        Naming the field, the place of the first such character and its code point.

    Examples
    --------
    >>> check_text("features[0].name", r"\Processor(_Total)\% Processor Time")
    >>> check_text("features[0].name", "load\t1")
    Traceback (most recent call last):
    core.errors.Unprocessable: features[0].name: character 5 is the control character U+0009
    """
    if found := _FORBIDDEN.search(text):
        place, code = found.start() + 1, ord(found[0])
        raise Unprocessable(f"{field}: character {place} is the control character U+{code:04X}")


def check_contract(contract: Contract) -> None:
    """Refuse control characters in the names and units of a contract.

    For registration only: a contract that was stored before this rule is still read.

    Raises
    ------
    Unprocessable
        As `check_text` does.
    """
    for field, text in _texts(contract):
        check_text(field, text)


def _texts(contract: Contract) -> Iterator[tuple[str, str]]:
    for i, feature in enumerate(contract.features):
        yield f"features[{i}].name", feature.name
        yield f"features[{i}].unit", feature.unit
    for name in ("targets", "label_map"):
        for i, text in enumerate(getattr(contract, name)):
            yield f"{name}[{i}]", text


_UNPRINTABLE = re.compile(r"[^\x20-\x7e\xa0-\ud7ff\ue000-\U0010ffff]")


def printable(text: str) -> str:
    """Return a caller's text fit for a log line and for every database."""
    return _UNPRINTABLE.sub("?", text[:200])
