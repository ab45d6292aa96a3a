"""Validation of the header of an artifact, without torch."""

import hashlib
from dataclasses import dataclass
from typing import Any

import msgspec
from safetensors import SafetensorError, deserialize

from core.errors import ForeignArtifact

MAX_BYTES = 512 * 2**20
MAX_TENSORS = 4096
ENTRY = "seqwatch"  # of the metadata: what a template declares, as JSON

# How files begin that people send by mistake.
_FOREIGN = {
    b"PK\x03\x04": "a zip archive, perhaps from torch.save; pickles are never loaded",
    b"\x80": "a pickle; pickles are never loaded",
    b"\x1f\x8b": "a gzip file; send it unpacked",
    b"\x89HDF": "an HDF5 file",
    b"GGUF": "a GGUF file",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Header of an artifact: shape by tensor name."""

    shapes: dict[str, tuple[int, ...]]


def check_header(content: bytes) -> Header:
    """Read the header of a safetensors artifact.

    Raises
    ------
    ForeignArtifact
        With what the bytes are instead, or what is wrong with them.

    Examples
    --------
    >>> check_header(bytes(4))
    Traceback (most recent call last):
    ...
    core.errors.ForeignArtifact: not safetensors: Error while deserializing: header too small
    """
    if len(content) > MAX_BYTES:
        raise ForeignArtifact(f"{len(content)} bytes; at most {MAX_BYTES}")
    try:
        tensors = deserialize(content)  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        # Only now: a good file begins with the length of its header, which may be any number.
        what = (what for beginning, what in _FOREIGN.items() if content.startswith(beginning))
        raise ForeignArtifact(f"not safetensors: {next(what, error)}") from None
    if not 0 < len(tensors) <= MAX_TENSORS:
        raise ForeignArtifact(f"{len(tensors)} tensors; expected 1 to {MAX_TENSORS}")
    return Header(shapes={name: tuple(tensor["shape"]) for name, tensor in tensors})


def sha256_of(content: bytes) -> str:
    """Return the checksum by which an artifact is known."""
    return hashlib.sha256(content).hexdigest()


def declared(content: bytes) -> dict[str, Any]:
    """Return what an artifact declares of itself: its format, and what its template needs.

    Raises
    ------
    ForeignArtifact
        If it is no safetensors file, or its metadata is no JSON.
    """
    check_header(content)
    length = int.from_bytes(content[:8], "little")
    header = msgspec.json.decode(content[8 : 8 + length], type=dict[str, Any])
    try:
        metadata = header.get("__metadata__") or {}
        return msgspec.json.decode(metadata.get(ENTRY, "{}"), type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ForeignArtifact(f"its metadata cannot be read: {error}") from None


def declared_format(content: bytes) -> str | None:
    """Return the format that an artifact declares; None where it declares none."""
    found = declared(content).get("format")
    return found if isinstance(found, str) else None
