"""Labels of an alert, its fingerprint, and matchers of labels, as Alertmanager has them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

Labels: TypeAlias = Mapping[str, str]

_MATCHER = re.compile(
    r'\s*([a-zA-Z_:][a-zA-Z0-9_:]*|"(?:[^"\\]|\\.)+")\s*(=~|!~|!=|=)\s*(.*?)\s*', re.DOTALL
)
_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"|((?:[^"\\]|\\.)*)', re.DOTALL)  # quoted, or not
_ESCAPE = re.compile(r'\\([n"\\])')

_OFFSET, _PRIME, _MASK = 0xCBF29CE484222325, 0x100000001B3, (1 << 64) - 1


def fingerprint(labels: Labels) -> str:
    """Fingerprint of an alert: FNV-1a, 64 bit, over its sorted labels, in 16 hex digits.

    Examples
    --------
    >>> fingerprint({"alertname": "DemoAlert", "server": "ni3", "severity": "critical"})
    '8a07086b74f3ba78'
    """
    digest = _OFFSET
    for name, value in sorted(labels.items()):
        for byte in b"".join(one.encode() + b"\xff" for one in (name, value)):
            digest = (digest ^ byte) * _PRIME & _MASK
    return f"{digest:016x}"


def group_key(route: str, labels: Labels) -> str:
    """Return the key of a group: its route and the labels that it is grouped by.

    Examples
    --------
    >>> group_key("", {"model": "grid", "alertname": "accuracy"})
    '{}:{alertname="accuracy", model="grid"}'
    """
    shown = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    return f"{{{route}}}:{{{shown}}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Matcher:
    """A condition on one label; a label that is absent is empty.

    Attributes
    ----------
    name
        Of the label.
    value
        The value, or a regular expression that must match all of it.
    is_regex
        Whether it is a regular expression.
    is_equal
        False: the label must not match.
    """

    name: str
    value: str
    is_regex: bool = False
    is_equal: bool = True

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a matcher needs the name of a label")
        if self.is_regex:
            _matches(self.value, "")

    def matches(self, labels: Labels) -> bool:
        """Return whether the labels fulfil the condition.

        Examples
        --------
        >>> Matcher(name="model", value="grid|load", is_regex=True).matches({"model": "load"})
        True
        >>> Matcher(name="team", value="", is_equal=False).matches({"model": "load"})
        False
        """
        value = labels.get(self.name, "")
        if self.is_regex:
            return _matches(self.value, value) is self.is_equal
        return (value == self.value) is self.is_equal


def parse_matcher(text: str) -> Matcher:
    """Return the condition that a text states, as Alertmanager writes it.

    Raises
    ------
    ValueError
        If it states none.

    Examples
    --------
    >>> parse_matcher('model=~"grid|load"')
    Matcher(name='model', value='grid|load', is_regex=True, is_equal=True)
    >>> parse_matcher("team != ml")
    Matcher(name='team', value='ml', is_regex=False, is_equal=False)
    """
    found = _MATCHER.fullmatch(text)
    value = None if found is None else _TEXT.fullmatch(found[3])
    if found is None or value is None:
        raise ValueError(f'{text!r} is no matcher, such as model="grid" or team=~"a|b"')
    name, operator = found[1], found[2]
    return Matcher(
        name=_unescaped(name.strip('"')),
        value=_unescaped(value[1] or value[2] or ""),
        is_regex=operator.endswith("~"),
        is_equal=operator.startswith("="),
    )


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda one: "\n" if one[1] == "n" else one[1], text)


def all_match(matchers: Iterable[Matcher], labels: Labels) -> bool:
    """Return whether labels fulfil every condition."""
    return all(one.matches(labels) for one in matchers)


def check_selective(matchers: Sequence[Matcher]) -> None:
    """Refuse matchers that every alert fulfils.

    Raises
    ------
    ValueError
        If there is none, or if all of them match a label that is absent.
    """
    if not matchers:
        raise ValueError("matchers: at least one is needed")
    if all_match(matchers, {}):
        raise ValueError("matchers: at least one must not match an empty label")


@lru_cache(maxsize=10_000)
def _matches(pattern: str, value: str) -> bool:
    """Return whether an expression in the syntax of RE2, which Go has too, matches all of it.

    Its time is linear in the length of the value, whoever writes the expression.
    """
    try:
        found = pc.match_substring_regex(pa.scalar(value), f"^(?:{pattern})$")
    except pa.ArrowInvalid as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    return bool(found.as_py())
