"""Storage of artifacts by SHA-256."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from uuid import UUID

from sqlalchemy.orm import Session

from core.errors import Conflict, NotFound
from db.queries import models
from lake import storage
from retrain.artifact_header import check_header
from services.models import champion_pointer


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An artifact that lies in its place."""

    sha256: str
    n_bytes: int
    path: Path


def path_of(root: Path, model: str, sha256: str) -> Path:
    """Return where an artifact lies."""
    return root / model / f"{sha256}.safetensors"


def store(root: Path, model: str, content: bytes) -> Stored:
    """Check the bytes and put them in their place; whole, or not at all.

    Raises
    ------
    ForeignArtifact
        Naming what they are instead of safetensors.
    """
    check_header(content)
    sha256 = hashlib.sha256(content).hexdigest()
    path = path_of(root, model, sha256)
    storage.mark(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, prefix=".incoming-", delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).chmod(0o644)
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    _sync_folder(path.parent)
    return Stored(sha256=sha256, n_bytes=len(content), path=path)


def attach(session: Session, model_id: UUID, version_name: str, stored: Stored) -> bool:
    """Attach these weights to a version; True when it had none.

    Raises
    ------
    NotFound
        If there is no such version.
    Conflict
        If it has other weights: a version's weights never change.
    """
    version = models.find_version(session, model_id, version_name)
    if version.sha256 not in (None, stored.sha256):
        raise Conflict(f"version {version_name!r} has other weights: make a new version")
    is_new = version.sha256 is None
    version.sha256, version.n_bytes = stored.sha256, stored.n_bytes
    if is_new:  # the routing document names the hash of what it lets serve
        champion_pointer.touch_routing(session, model_id)
    return is_new


def locate(
    session: Session, model_id: UUID, model: str, version_name: str, root: Path
) -> Stored:
    """Return where a version's weights lie.

    Raises
    ------
    NotFound
        If there is no such version, or its weights are kept elsewhere.
    """
    version = models.find_version(session, model_id, version_name)
    if version.sha256 is None or version.n_bytes is None:
        raise NotFound(f"the weights of version {version_name!r} are not kept here")
    path = path_of(root, model, version.sha256)
    return Stored(sha256=version.sha256, n_bytes=version.n_bytes, path=path)


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut, as the file itself does."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
