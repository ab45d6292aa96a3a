"""Artifacts of networks: weights in safetensors, with scaler and network size in the header."""

import hmac
import json
from collections.abc import Callable

import msgspec
import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from core.errors import ForeignArtifact
from retrain.artifact_header import ENTRY, declared, sha256_of
from retrain.training.forecast import Forecaster, Network, Shape
from retrain.windows import Floats


def encode(forecaster: Forecaster, format_: str) -> bytes:
    """Return the artifact; the same forecaster gives the same bytes."""
    tensors = {
        f"network.{k}": v.contiguous() for k, v in forecaster.network.state_dict().items()
    }
    tensors["scaler.mean"] = torch.from_numpy(forecaster.mean)
    tensors["scaler.std"] = torch.from_numpy(forecaster.std)
    entry = {"format": format_, "config": msgspec.to_builtins(forecaster.network.config)}
    # One entry only: safetensors writes several in an order that changes from run to run,
    # and the checksum would change with it.
    return save(tensors, metadata={ENTRY: json.dumps(entry, sort_keys=True)})


def decode(
    content: bytes,
    sha256: str,
    format_: str,
    config: type[Shape],
    network: Callable[[Shape], Network],
) -> Forecaster:
    """Load an artifact, after its checksum, its header and its shapes.

    Parameters
    ----------
    content, sha256
        The artifact, and the checksum that it must have.
    format_
        That it must declare.
    config, network
        The shape that it declares, and how a network of that shape is made.

    Raises
    ------
    ForeignArtifact
        If the bytes are not those of the checksum, not safetensors, not of
        this format, or not of the shape that they declare.
    """
    if not hmac.compare_digest(sha256_of(content), sha256):
        raise ForeignArtifact("the checksum is another: damaged, or not what was promoted")
    shape = _shape(content, format_, config)
    tensors = load(content)
    mean, std = _scaler(tensors, shape.n_channels)
    foreign = sorted(name for name, t in tensors.items() if t.dtype is not torch.float32)
    if foreign:
        raise ForeignArtifact(f"weights are not float32: {', '.join(foreign)}")
    broken = sorted(name for name, t in tensors.items() if not t.isfinite().all())
    if broken:
        raise ForeignArtifact(f"weights are not finite: {', '.join(broken)}")
    try:
        # On "meta" a config that claims a giant costs nothing; its weights are not there.
        with torch.device("meta"):
            made = network(shape)
        weights = {name.removeprefix("network."): t for name, t in tensors.items()}
        made.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise ForeignArtifact(f"weights do not fit the network: {error}") from None
    return Forecaster(network=made.eval(), mean=mean, std=std)


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


def _shape(content: bytes, format_: str, config: type[Shape]) -> Shape:
    found = declared(content)
    if found.get("format") != format_:
        raise ForeignArtifact(f"its format is {found.get('format')!r}, expected {format_!r}")
    try:
        return msgspec.convert(found.get("config"), config)
    except (ValueError, msgspec.ValidationError) as error:
        raise ForeignArtifact(f"its config cannot be read: {error}") from None
