"""Dataclasses whose fields are attributes of other objects, such as rows of the database."""

from typing import Any, TypeVar

T = TypeVar("T")


def from_attributes(kind: type[T], *sources: object, **given: Any) -> T:
    """Return a dataclass with the attributes of the same names.

    Parameters
    ----------
    kind
        A dataclass with keyword arguments.
    sources
        Each field comes from the first that has an attribute of its name.
    given
        Fields that are stated.

    Raises
    ------
    TypeError
        If a field without a default is neither stated nor found.

    Examples
    --------
    >>> from core.window import Window, midnight
    >>> from datetime import date, timedelta
    >>> day = Window(midnight(date(2026, 1, 1)), midnight(date(2026, 1, 2)))
    >>> from_attributes(Window, day, end=day.start + timedelta(hours=1)).start == day.start
    True
    """
    declared: Any = kind
    for name in declared.__dataclass_fields__.keys() - given.keys():
        found = next((source for source in sources if hasattr(source, name)), None)
        if found is not None:
            given[name] = getattr(found, name)
    return kind(**given)
