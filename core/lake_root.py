"""Root of the prediction log: a folder, or a bucket of an object store."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

SCHEMES = ("s3", "gs", "az", "abfs", "abfss")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A place in an object store.

    Attributes
    ----------
    url
        E.g. `s3://bucket/prefix`, without a slash at the end.
    options
        How it is reached: names and values as `deltalake` knows them, e.g.
        `AWS_ENDPOINT_URL`. They may hold secrets, so they are never shown.
    """

    url: str
    options: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        return self.url


LakeRoot: TypeAlias = Path | Bucket


def lake_root(given: str, options: Mapping[str, str] | None = None) -> LakeRoot:
    """Read a folder, or the URL of an object store.

    Parameters
    ----------
    given
        As an operator writes it.
    options
        How an object store is reached; a folder needs none.

    Raises
    ------
    ValueError
        If it is a URL of a kind that we do not know.

    Examples
    --------
    >>> lake_root("s3://grid/lake/")
    Bucket(url='s3://grid/lake')
    >>> lake_root("var/lake").name
    'lake'
    >>> lake_root("ftp://grid/lake")
    Traceback (most recent call last):
    ValueError: must be a folder, or a URL of s3, gs, az, abfs, abfss
    """
    scheme, found, rest = given.partition("://")
    if not found:
        return Path(given)
    if scheme not in SCHEMES or not rest.strip("/"):
        raise ValueError(f"must be a folder, or a URL of {', '.join(SCHEMES)}")
    return Bucket(url=given.rstrip("/"), options=tuple(sorted((options or {}).items())))
