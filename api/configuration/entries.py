"""Entries of a configuration document: parsed by the bodies of the interface."""

from collections.abc import Collection
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from services.configuration.faults import Faults

E = TypeVar("E", bound=BaseModel)


def parse(
    kind: type[E],
    path: tuple[str, ...],
    raw: object,
    faults: Faults,
    known_bad: Collection[str] = (),
) -> E | None:
    """Return an entry; None where something is wrong.

    Parameters
    ----------
    kind
        The body.
    path
        The place of the entry in its document.
    raw
        As it was sent.
    faults
        Takes what is wrong.
    known_bad
        Fields whose faults were found before: they are left out.
    """
    if not isinstance(raw, dict):
        faults.add(path, "must be a mapping")
        return None
    raw = {name: value for name, value in raw.items() if name not in known_bad}
    try:
        entry = kind.model_validate(raw)
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False):
            place = fault["loc"]
            if not place or place[0] not in known_bad:
                faults.add([*path, *place], fault["msg"])
        return None
    return None if known_bad else entry
