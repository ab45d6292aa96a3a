"""Files of Delta's own log."""

from collections.abc import Iterable

from pyarrow import fs

LOG = "_delta_log"
_N_DIGITS = 20  # of a version, in the name of a file


def version_of(path: str) -> int | None:
    """Return the version that an entry of the log is about; None for other files.

    Examples
    --------
    >>> version_of("_delta_log/00000000000000000010.json")
    10
    >>> version_of("_delta_log/_last_checkpoint")
    """
    digits = path.removeprefix(f"{LOG}/")[:_N_DIGITS]
    return int(digits) if len(digits) == _N_DIGITS and digits.isdecimal() else None


def remove(place: fs.FileSystem, paths: Iterable[str]) -> None:
    """Remove files; one that is gone already was removed by another."""
    for path in paths:
        try:
            place.delete_file(path)
        except FileNotFoundError:
            continue
