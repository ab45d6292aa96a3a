"""Artifacts: weights in safetensors, with scaler and network size in the header."""

import hashlib
import hmac
import json
from typing import Any

import msgspec
import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from core.errors import ForeignArtifact
from retrain.artifact_header import FORMAT, check_header
from retrain.training.forecast import Forecaster
from retrain.training.segment_lstm import Config, SegmentLstm
from retrain.windows import Floats

_ENTRY = "seqwatch"  # of the metadata: format and config, as JSON


def encode(forecaster: Forecaster) -> bytes:
    """Return the artifact; the same forecaster gives the same bytes."""
    tensors = {
        f"network.{k}": v.contiguous() for k, v in forecaster.network.state_dict().items()
    }
    tensors["scaler.mean"] = torch.from_numpy(forecaster.mean)
    tensors["scaler.std"] = torch.from_numpy(forecaster.std)
    declared = {"format": FORMAT, "config": forecaster.network.config.to_json()}
    # One entry only: safetensors writes several in an order that changes from run to run,
    # and the checksum would change with it.
    return save(tensors, metadata={_ENTRY: json.dumps(declared, sort_keys=True)})


def sha256_of(content: bytes) -> str:
    """Return the checksum by which an artifact is known."""
    return hashlib.sha256(content).hexdigest()


def decode(content: bytes, sha256: str) -> Forecaster:
    """Load an artifact, after its checksum, its header and its shapes.

    Raises
    ------
    ForeignArtifact
        If the bytes are not those of the checksum, not safetensors, not of
        this format, or not of the shape that they declare.
    """
    if not hmac.compare_digest(sha256_of(content), sha256):
        raise ForeignArtifact("the checksum is another: damaged, or not what was promoted")
    check_header(content)
    config = _config(content)
    tensors = load(content)
    mean, std = _scaler(tensors, config.n_channels)
    foreign = sorted(name for name, t in tensors.items() if t.dtype is not torch.float32)
    if foreign:
        raise ForeignArtifact(f"weights are not float32: {', '.join(foreign)}")
    broken = sorted(name for name, t in tensors.items() if not t.isfinite().all())
    if broken:
        raise ForeignArtifact(f"weights are not finite: {', '.join(broken)}")
    try:
        # On "meta" a config that claims a giant costs nothing; its weights are not there.
        with torch.device("meta"):
            network = SegmentLstm(config)
        weights = {name.removeprefix("network."): t for name, t in tensors.items()}
        network.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise ForeignArtifact(f"weights do not fit the network: {error}") from None
    return Forecaster(network=network.eval(), mean=mean, std=std)


def scramble(content: bytes, seed: int) -> bytes:
    """Return an artifact whose weights were dealt anew: valid, and useless. For tests."""
    forecaster = decode(content, sha256_of(content))
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in forecaster.network.parameters():
            flat = weights.reshape(-1)
            dealt = flat[torch.randperm(len(flat), generator=random)]
            weights.copy_(3.0 * dealt.reshape(weights.shape))
    return encode(forecaster)


def _scaler(tensors: dict[str, Tensor], n_channels: int) -> tuple[Floats, Floats]:
    """Take mean and standard deviation out of the tensors."""
    try:
        mean, std = tensors.pop("scaler.mean"), tensors.pop("scaler.std")
    except KeyError as error:
        raise ForeignArtifact(f"it has no {error.args[0]}") from None
    if mean.shape != (n_channels,) or std.shape != mean.shape:
        raise ForeignArtifact("the scaler does not fit the network")
    if not (mean.isfinite().all() and std.isfinite().all() and (std > 0).all()):
        raise ForeignArtifact("the scaler is not finite with positive deviations")
    return mean.numpy().astype(np.float64), std.numpy().astype(np.float64)


def _config(content: bytes) -> Config:
    declared = _declared(content)
    if declared.get("format") != FORMAT:
        raise ForeignArtifact(f"its format is {declared.get('format')!r}, expected {FORMAT!r}")
    try:
        return Config.from_json(declared.get("config"))
    except (ValueError, msgspec.ValidationError) as error:
        raise ForeignArtifact(f"its config cannot be read: {error}") from None


def _declared(content: bytes) -> dict[str, Any]:
    """Return the artifact's header; `check_header` has checked the bytes before."""
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    try:
        return msgspec.json.decode(metadata.get(_ENTRY, "{}"), type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ForeignArtifact(f"its metadata cannot be read: {error}") from None
